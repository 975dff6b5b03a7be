//! What the kernel says of a descriptor that a process has open: which file, which lock, which offset.
//!
//! Only the kernel itself is asked, by /proc/PID/fdinfo and the text of links. A file system behind a descriptor may be on
//! a server that is gone, or be some user's own program, and would never answer.

use std::io::{self, ErrorKind as Io};

use nix::errno::Errno;

use crate::host::procfs::Procfs;
use crate::lock::offset_tag::OffsetTag;
use crate::lock::proc_locks::{FlockLine, KernelFile};

/// A descriptor as /proc/PID/fdinfo describes it (fs/proc/fd.c, seq_show).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fdinfo {
    /// What the process says about the lock.
    pub(crate) tag: Option<OffsetTag>,
    /// The mount that the file was opened on.
    pub(crate) mount: Option<u64>,
    /// The inode; kernels before 5.14 do not tell.
    pub(crate) inode: Option<u64>,
    /// The file, if this very descriptor carries a lock of flock(2).
    pub(crate) locked: Option<KernelFile>,
}

impl Fdinfo {
    pub(crate) fn parse(text: &str) -> Self {
        let mut info = Self::default();
        for line in text.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let number = || value.trim().parse::<u64>().ok();
            match name {
                "pos" => info.tag = number().and_then(OffsetTag::from_offset),
                "mnt_id" => info.mount = number(),
                "ino" => info.inode = number(),
                "lock" => info.locked = info.locked.or(FlockLine::parse(value.trim()).map(|line| line.file)),
                _ => {}
            }
        }
        info
    }

    /// What this process's own descriptor is.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn own(procfs: &Procfs, descriptor: i32) -> io::Result<Self> {
        let path = format!("self/fdinfo/{descriptor}");
        procfs.text(&path)?.map(|text| Self::parse(&text)).ok_or_else(|| Io::NotFound.into())
    }
}

/// An open descriptor of a process that leads to a file with a name.
#[derive(Debug)]
pub(crate) struct Descriptor<'a> {
    /// Its number.
    pub(crate) number: &'a str,
    /// The text of its link.
    pub(crate) target: &'a str,
    /// What the kernel says of it.
    pub(crate) info: Fdinfo,
}

/// What came of the look at a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// All was seen, or the process is gone.
    Seen,
    /// This process may not look into that one.
    Denied,
}

/// Calls `each` for the descriptors of a process that may be lock files, until it has enough of them.
///
/// # Errors
/// This process has too few descriptors or too little memory left to look.
pub(crate) fn each_descriptor(procfs: &Procfs, pid: u32, each: &mut dyn FnMut(&Descriptor<'_>)) -> io::Result<Access> {
    // That of a lock file takes a tenth of it.
    let mut buffer = [0; 2048];
    let Some((table, numbers)) = numbers(procfs, pid)? else { return Ok(Access::Denied) };
    for number in numbers {
        let target = match procfs.link(&format!("{table}/fd/{number}")) {
            // A path of more than a page cannot be told, and it may be any.
            Err(error) if error.raw_os_error() == Some(Errno::ENAMETOOLONG as i32) => Some("/".to_owned()),
            target => match told(target)? {
                Some(target) => target,
                None => return Ok(Access::Denied),
            },
        };
        let Some(target) = target.filter(|target| may_be_lock_file(target)) else { continue };
        let Some(text) = told(procfs.start_of(&format!("{table}/fdinfo/{number}"), &mut buffer))? else {
            return Ok(Access::Denied);
        };
        let Some(text) = text else { continue };
        each(&Descriptor { number: &number, target: &target, info: Fdinfo::parse(&text) });
    }
    Ok(Access::Seen)
}

/// The open descriptors of a process, and the task that has them: of a process that was killed there may be threads left, which
/// are in the kernel and keep all open (`exit_files` in kernel/exit.c). None if they may not be looked at.
fn numbers(procfs: &Procfs, pid: u32) -> io::Result<Option<(String, Vec<String>)>> {
    let mut table = pid.to_string();
    let Some(numbers) = told(procfs.names(&format!("{table}/fd")))? else { return Ok(None) };
    let mut numbers = numbers.unwrap_or_default();
    if numbers.is_empty() && procfs.process(pid).ok().flatten().is_some_and(|process| process.has_threads()) {
        for thread in procfs.names(&format!("{pid}/task")).ok().flatten().unwrap_or_default() {
            let of_thread = format!("{pid}/task/{thread}");
            if let Some(Some(found)) = told(procfs.names(&format!("{of_thread}/fd")))? {
                if !found.is_empty() {
                    (table, numbers) = (of_thread, found);
                    break;
                }
            }
        }
    }
    Ok(Some((table, numbers)))
}

/// None for what may not be looked at, for whatever reason; an error for want of means to look.
pub(crate) fn told<T>(answer: io::Result<T>) -> io::Result<Option<T>> {
    let is_own = |error: &io::Error| {
        let errno = error.raw_os_error().map(Errno::from_raw);
        matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM))
    };
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_own(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Files of the kernel are none, and neither are pipes and sockets, which have no path.
fn may_be_lock_file(target: &str) -> bool {
    let below = |directory: &str| target.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
    target.starts_with('/') && !below("/proc") && !below("/sys") && (!below("/dev") || below("/dev/shm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_says_of_a_descriptor() {
        let text = "pos:\t998\nflags:\t02100002\nmnt_id:\t27\nino:\t11691\nlock:\t1: FLOCK  ADVISORY  WRITE 359 00:13:11691 0 EOF\n";
        let info = Fdinfo::parse(text);
        let file = KernelFile { device: nix::sys::stat::makedev(0, 0x13), inode: 11691 };
        assert_eq!((info.mount, info.inode, info.locked), (Some(27), Some(11691), Some(file)));
        assert_eq!(info.tag, OffsetTag::from_offset(998));
        // Before 5.14, with a lock of another kind, at the start of the file.
        let text = "pos:\t0\nflags:\t0100002\nmnt_id:\t9\nlock:\t1: POSIX  ADVISORY  READ 359 00:13:11691 0 EOF\n";
        assert_eq!(Fdinfo::parse(text), Fdinfo { mount: Some(9), ..Fdinfo::default() });
    }

    /// As of one that was killed while a thread of it is in the kernel.
    #[test]
    fn a_process_whose_first_thread_has_ended_has_its_descriptors_still() {
        use std::os::fd::AsRawFd as _;

        use nix::libc;
        use nix::sys::signal::{Signal, kill};
        use nix::unistd::{ForkResult, fork};

        let file = tempfile::NamedTempFile::new().unwrap();
        // SAFETY: the child takes no lock that another thread could have held but that of malloc, and ends by a signal.
        let child = match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                let _ = crate::host::child::close_all_but(vec![file.as_raw_fd()]);
                std::thread::spawn(|| {
                    loop {
                        std::thread::park();
                    }
                });
                // SAFETY: this thread alone ends; nothing of it is used by the other one.
                unsafe { libc::syscall(libc::SYS_exit, 0) };
                crate::host::child::leave()
            }
        };
        let (procfs, pid) = (Procfs::live().unwrap(), child.as_raw().unsigned_abs());
        while procfs.stat(&pid.to_string()).unwrap().state != 'Z' {
            std::thread::yield_now();
        }
        let mut found = Vec::new();
        let access = each_descriptor(&procfs, pid, &mut |descriptor| found.push(descriptor.target.to_owned()));
        kill(child, Signal::SIGKILL).unwrap();
        nix::sys::wait::waitpid(child, None).unwrap();
        assert_eq!((access.unwrap(), found), (Access::Seen, vec![file.path().to_str().unwrap().to_owned()]));
    }

    #[test]
    fn only_files_with_a_path_of_their_own_can_be_lock_files() {
        for target in ["/run/pcictl/locks/root.lock", "/dev/shm/x/locks/root.lock (deleted)", "/devices", "/srv/x"] {
            assert!(may_be_lock_file(target), "{target}");
        }
        for target in ["pipe:[17]", "anon_inode:[eventpoll]", "/dev/fuse", "/proc/1/fd", "/sys/kernel/x"] {
            assert!(!may_be_lock_file(target), "{target}");
        }
    }
}
