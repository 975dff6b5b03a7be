//! pcictl run again, to be a process beside this one.

use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::{geteuid, getppid};

/// This very program, be it that its file was replaced since.
pub(crate) const PROGRAM: &str = "/proc/self/exe";

/// What starts it under its own name, with nothing of the environment. Whoever starts it, ends it.
#[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "each caller owns what it starts"))]
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg0("pcictl").env_clear();
    command
}

/// Whether the other end of a line is this process's parent, which made it, and is of the same user: else this was started by
/// hand.
pub(crate) fn is_of_parent(line: &impl AsFd) -> bool {
    peer(line) == Some(getppid().as_raw().unsigned_abs())
}

/// The process at the other end of a line; none if it is not of this user.
pub(crate) fn peer(line: &impl AsFd) -> Option<u32> {
    let peer = getsockopt(line, PeerCredentials).ok().filter(|peer| peer.uid() == geteuid().as_raw())?;
    u32::try_from(peer.pid()).ok()
}

/// The name that `ps` and `pidof` know this process by, of 15 bytes at most.
#[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "a name, and no file that outlives anybody"))]
pub(crate) fn be_called(name: &str) {
    let _ = std::fs::write("/proc/self/comm", name);
}

/// Leaves the terminal and the working directory, and hears no signal any more that a terminal or an operator sends.
pub(crate) fn detach() {
    // Fails only for the leader of a session, which is what it shall become.
    let _ = nix::unistd::setsid();
    for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGPIPE, Signal::SIGTSTP] {
        // SAFETY: no handler is installed, the signal is ignored from here on.
        let _ = unsafe { signal(number, SigHandler::SigIgn) };
    }
    let _ = std::env::set_current_dir("/");
}
