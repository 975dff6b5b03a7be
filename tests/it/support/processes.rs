//! Processes started by a program that runs many tests at once.
//!
//! From fork to exec a child has every file of its parent open, other tests' locks among them, and locks last as long as
//! anybody has the file open. So all tests start their processes here, and a test that takes locks in this very process,
//! or has files open that a child would keep, holds all others off meanwhile.

use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{OpenptyResult, openpty};

/// Read by whoever must not be forked from meanwhile, written by whoever forks.
static STARTS: RwLock<()> = RwLock::new(());

/// Starts a process; when this returns, the child has let go of what was not meant for it.
pub fn start(command: &mut Command) -> Child {
    let _starting = hold_off_all();
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", command.get_program().to_string_lossy()))
}

/// Runs a process without input to its end.
pub fn output(command: &mut Command) -> Output {
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = start(command).wait_with_output().expect("it ends");
    super::check_form(&output.stdout);
    output
}

/// This program again, with nothing but one test, which is ignored otherwise.
pub fn this_test(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([name, "--exact", "--ignored", "--nocapture", "--test-threads", "1"]);
    command
}

/// A status as a number: it can be compared, but tells none.
pub fn number(status: ExitCode) -> u8 {
    (0..=u8::MAX).find(|number| ExitCode::from(*number) == status).expect("a status")
}

/// A terminal of the test's own, whose ends only get those processes that they are given to.
pub fn terminal() -> OpenptyResult {
    // Whoever is started before they are marked keeps them open.
    let _alone = hold_off_all();
    let terminal = openpty(None, None).expect("a terminal");
    for fd in [&terminal.master, &terminal.slave] {
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("a descriptor");
    }
    terminal
}

/// As long as the value lives, no test starts a process.
pub fn hold_off_starts() -> RwLockReadGuard<'static, ()> {
    STARTS.read().unwrap_or_else(PoisonError::into_inner)
}

/// As long as the value lives, this test alone may start processes, and none takes locks.
pub fn hold_off_all() -> RwLockWriteGuard<'static, ()> {
    STARTS.write().unwrap_or_else(PoisonError::into_inner)
}
