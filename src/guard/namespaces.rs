//! sysfs of other network namespaces, as containers have them: each has inodes of its own for the same files, and so needs
//! marks of its own.
//!
//! No event tells that a network namespace is made, so they are looked for every [`PERIOD`]. The guard marks the files in a
//! mount of its own, made by a helper that enters the namespace; that is the same sysfs as the namespace's own mounts, also as
//! those that are yet to be made, and no path of a container is walked.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use crate::execute::rerun;
use crate::guard::link::{self, Message};
use crate::host::procfs::Procfs;
use crate::host::sysfs::Sysfs;
use crate::usage::namespaces::{Namespace, bind_mounted, mount_sysfs};

/// How often new namespaces are looked for.
pub(crate) const PERIOD: Duration = Duration::from_secs(2);

/// The word that turns pcictl into the helper.
pub(crate) const SUBCOMMAND: &str = "guard-sysfs";

/// A helper that takes longer than this is given up; the namespace is tried again.
const PATIENCE: u16 = 1000;

/// A network namespace with its sysfs.
#[derive(Debug)]
pub(crate) struct View {
    /// Its name: `net:[4026532500]`.
    pub(crate) id: String,
    /// Its sysfs.
    pub(crate) sysfs: Sysfs,
}

impl View {
    /// Whether it is still that of a namespace. Once that has gone, the kernel gives its number to another one; the last
    /// interface that it loses, long before the number is free, is its loopback (cleanup_net in net/core/net_namespace.c).
    pub(crate) fn is_alive(&self) -> bool {
        self.sysfs.names("class/net").is_ok_and(|names| names.is_some_and(|names| !names.is_empty()))
    }
}

/// The network namespaces of this machine but the guard's own: those that a process is in, and those that a mount pins.
pub(crate) fn others(procfs: &Procfs) -> Vec<Namespace> {
    let own = procfs.link("self/ns/net").ok().flatten();
    let pids = procfs.pids().unwrap_or_default();
    let of_process = |pid: &u32| {
        let file = format!("{pid}/ns/net");
        let id = procfs.link(&file).ok()??;
        Some(Namespace { id, file: format!("/proc/{file}"), of: format!("pid {pid}") })
    };
    let mounts = procfs.text("self/mountinfo").ok().flatten().unwrap_or_default();
    let mut found: Vec<Namespace> = Vec::new();
    for namespace in pids.iter().filter_map(of_process).chain(bind_mounted(&mounts, "net")) {
        let is_own = own.as_ref() == Some(&namespace.id);
        if !is_own && found.iter().all(|known| known.id != namespace.id) {
            found.push(namespace);
        }
    }
    found
}

/// The sysfs of a namespace.
///
/// # Errors
/// It is gone, or cannot be entered.
pub(crate) fn open(namespace: &Namespace) -> io::Result<View> {
    let (line, theirs) = link::pair()?;
    let mut command = rerun::command(Path::new(rerun::PROGRAM));
    command.args([SUBCOMMAND, &namespace.file]).stdin(Stdio::from(theirs));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    drop(command);
    let ready = poll(&mut [PollFd::new(line.as_fd(), PollFlags::POLLIN)], PollTimeout::from(PATIENCE));
    let answer = if ready == Ok(1) { link::receive(&line, false)? } else { None };
    let _ = child.kill();
    let _ = child.wait();
    let mount: Option<OwnedFd> = answer.and_then(|(_, mut descriptors)| descriptors.pop());
    let sysfs = Sysfs::mounted(mount.ok_or(io::ErrorKind::NotFound)?)?;
    Ok(View { id: namespace.id.clone(), sysfs })
}

/// Enters a namespace, mounts its sysfs nowhere, and gives it to the guard, if this process was started by one.
pub(crate) fn run_if_started(file: &str) -> Option<ExitCode> {
    let line = std::io::stdin();
    rerun::is_of_parent(&line).then_some(())?;
    let _ = set_pdeathsig(Signal::SIGKILL);
    let mounted = || -> io::Result<()> {
        setns(std::fs::File::open(file)?, CloneFlags::CLONE_NEWNET)?;
        link::send(line.as_fd(), &Message::Complete, &[mount_sysfs()?.as_fd()])
    };
    Some(mounted().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
}
