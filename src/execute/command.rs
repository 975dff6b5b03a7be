//! Runs an operator's command under locks, and passes signals and its exit status on.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};

use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigHandler, SigSet, Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::{Pid, getppid};

use crate::error::{Error, ErrorKind, Result};
use crate::lock::acquire::{Handover, Held};

/// What shells add to the signal that ended a command.
const BY_SIGNAL: i32 = 128;

/// What may be sent to pcictl in the command's stead. SIGCHLD is how pcictl learns that the command has ended.
const SIGNALS: [Signal; 8] = [
    Signal::SIGCHLD,
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
];

/// Runs the command, a program and its arguments, to its end and passes on to it what is sent to pcictl meanwhile. A command
/// that does not inherit the locks does not outlive pcictl.
#[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "the operator's command, which this one waits for"))]
pub(crate) fn run_under(held: &Held, words: &[OsString], inherit: bool) -> Result<ExitStatus> {
    let [program, arguments @ ..] = words else { return Err(Error::usage("a command is missing after --")) };
    let mut command = Command::new(program);
    command.args(arguments);
    let waited_for: SigSet = SIGNALS.into_iter().collect();
    let mut before = SigSet::empty();
    let trouble = |errno: Errno| Error::io("signals cannot be passed on", &errno.into());
    nix::sys::signal::sigprocmask(nix::sys::signal::SigmaskHow::SIG_BLOCK, Some(&waited_for), Some(&mut before))
        .map_err(trouble)?;
    let signals = SignalFd::with_flags(&waited_for, nix::sys::signalfd::SfdFlags::SFD_CLOEXEC).map_err(trouble)?;
    if inherit { held.handover() } else { Handover::default() }.apply(&mut command);
    let parent = nix::unistd::getpid();
    let prepare = move || {
        before.thread_set_mask()?;
        if !inherit {
            set_pdeathsig(Signal::SIGKILL)?;
            // pcictl may have died before that call.
            if getppid() != parent {
                return Err(Errno::ESRCH.into());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made (sigprocmask, prctl, getppid), and no memory is allocated.
    unsafe { command.pre_exec(prepare) };
    // Whoever ignores it would never hear that the command has ended, and an ignored signal stays so over an exec.
    // SAFETY: no handler is installed.
    unsafe { nix::sys::signal::signal(Signal::SIGCHLD, SigHandler::SigDfl) }.map_err(trouble)?;
    let mut child = command.spawn().map_err(|error| cannot_run(&command, &error))?;
    wait_for(&mut child, &signals)
}

fn wait_for(child: &mut Child, signals: &SignalFd) -> Result<ExitStatus> {
    let pid =
        Pid::from_raw(i32::try_from(child.id()).map_err(|_| Error::new(ErrorKind::Failed, "the command has no pid"))?);
    loop {
        if let Some(status) = child.try_wait().map_err(|e| Error::io("waiting for the command", &e))? {
            return Ok(status);
        }
        let Ok(Some(received)) = signals.read_signal() else { continue };
        // What the kernel sends comes from the terminal and went to the command as well.
        let from_terminal = received.ssi_code == libc::SI_KERNEL;
        let signal = i32::try_from(received.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
        if let Some(signal) = signal.filter(|signal| *signal != Signal::SIGCHLD && !from_terminal) {
            // It may just have ended; then there is nobody left to be told.
            let _ = kill(pid, signal);
        }
    }
}

pub(crate) fn shell_status(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

/// The command was never begun.
fn cannot_run(command: &Command, error: &std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NoSuchCommand,
        _ => ErrorKind::CannotRun,
    };
    let name = command.get_program().to_string_lossy();
    let hint = match kind {
        ErrorKind::NoSuchCommand => {
            "a program's name or path is needed; what only a shell knows is run by: sh -c '...'"
        }
        // EAGAIN and ENOMEM of fork(2).
        _ if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::OutOfMemory) => {
            "no process could be started: see ulimit -u, pids.max of the control group"
        }
        _ => "it must be a program that may be executed; a script without its #! line is run by: sh SCRIPT",
    };
    let message = format!("{name}: cannot be run: {}; nothing was done", crate::error::plain(error));
    Error::new(kind, message).hint(hint)
}
