//! The helper: pcictl run again to make one write, which may take as long as the kernel pleases.
//!
//! It has what it needs and no more: its standard input is the journal, its standard output the line to whoever waits,
//! on which it is also told to go, and it keeps the locks open that it was told to keep. It hears no signal that a
//! terminal or an operator sends, for the kernel could not heed one anyway, and the journal must get its line.

use std::io::Write as _;
use std::os::fd::{AsFd, RawFd};
use std::process::ExitCode;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::execute::{rerun, vf_write};
use crate::host::hotplug_thread::wait_until_idle;
use crate::plan::action::StepRef;
use crate::state::journal::store;

/// The word that turns pcictl into a helper. No command of the command line: it is started by pcictl itself.
pub(crate) const SUBCOMMAND: &str = "kernel-write";

/// What a helper waits for before it makes its write.
pub(crate) const START: &[u8] = b"go";

/// What a helper is told, in the order of its arguments.
pub(crate) fn arguments(mark: StepRef, keep: &[RawFd], path: &str, value: &str) -> [String; 5] {
    let keep: Vec<String> = keep.iter().map(ToString::to_string).collect();
    [SUBCOMMAND.to_owned(), path.to_owned(), value.to_owned(), mark.to_string(), keep.join(",")]
}

/// Makes the write, if this process was started by pcictl to make one. Called by hand it is no command at all.
pub fn run_if_helper() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().map(|word| word.to_str().map(str::to_owned)).skip(1);
    let mut arguments = std::iter::from_fn(move || arguments.next().flatten());
    if arguments.next()? != SUBCOMMAND || !rerun::is_of_parent(&std::io::stdout()) {
        return None;
    }
    let (path, value, mark) = (arguments.next()?, arguments.next()?, arguments.next()?.parse::<StepRef>().ok()?);
    let keep: Vec<RawFd> = arguments.next()?.split(',').filter_map(|number| number.parse().ok()).collect();
    detach(&keep);
    if !wait_for_start() {
        return Some(ExitCode::SUCCESS);
    }
    rerun::be_called("pcictl-write");
    let answer = write(&path, &value);
    if answer.is_ok() {
        // The locks are for all that the kernel does with it.
        wait_until_idle(&path, &value);
    }
    let code = answer.err().map_or(0, |errno| errno as i32);
    // The journal first: once the locks are free, whoever takes them reads what became of this.
    let _ = store::note_end(std::io::stdin().as_fd(), mark, code);
    for descriptor in keep {
        let _ = nix::unistd::close(descriptor);
    }
    let _ = writeln!(std::io::stdout(), "{code}");
    Some(ExitCode::SUCCESS)
}

/// Waits for the word to go; false if it will not come, because whoever started this has no use for it or is no more.
fn wait_for_start() -> bool {
    let mut word = [0; START.len()];
    loop {
        match nix::unistd::read(std::io::stdout().as_fd(), &mut word) {
            Ok(length) => return word[..length] == *START,
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Leaves the terminal, the working directory and every open file that is none of its business.
fn detach(keep: &[RawFd]) {
    rerun::detach();
    // Named after /proc/self/exe it would be called `exe`.
    rerun::be_called("pcictl-ready");
    let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")
        .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
        .unwrap_or_default();
    for descriptor in open.into_iter().filter(|number| *number > 2 && !keep.contains(number)) {
        let _ = nix::unistd::close(descriptor);
    }
}

fn write(path: &str, value: &str) -> Result<(), Errno> {
    if let Some((directory, setting)) = vf_write::parse(path, value) {
        return vf_write::set(directory, setting);
    }
    let file = open(path, OFlag::O_WRONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC, Mode::empty())?;
    // A signal may end the call only before the kernel's handler has begun, so writing again is safe.
    loop {
        match nix::unistd::write(&file, value.as_bytes()) {
            Ok(written) if written == value.len() => return Ok(()),
            Ok(_) => return Err(Errno::EIO),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
