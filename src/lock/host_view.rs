//! One machine, one lock directory: what the machine's first process sees decides which one that is.
//!
//! In a container, or where somebody has mounted over /run for a few processes only, there would be a second directory, in
//! which the same kernel could be changed without meeting anybody. So a lock on this machine is taken only by processes of
//! the first pid namespace, and only in the directory that the first process finds under the same path.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{FileStat, Mode, fstat, stat};

use crate::error::{Error, ErrorKind, Result, plain, rights_hint};
use crate::host::procfs::FIRST_PID_NAMESPACE;

/// What this process and the first one see.
#[derive(Clone, Debug)]
pub struct HostView {
    /// `/proc`.
    proc: PathBuf,
}

impl HostView {
    /// This machine's.
    pub fn live() -> Self {
        Self::of(PathBuf::from("/proc"))
    }

    /// By another `/proc`, for tests: of it, `self/ns/pid` and `1/root` are read.
    pub(crate) fn of(proc: PathBuf) -> Self {
        Self { proc }
    }

    /// # Errors
    /// This process is in a container, or the run directory is another one for the first process, or that cannot be told.
    pub(crate) fn check(&self, run: &Path) -> Result<()> {
        self.check_pid_namespace()?;
        self.check_directory(run)
    }

    /// Why what is seen from here is not what the machine's own pcictl sees; none if it is, or that cannot be told.
    pub fn difference(&self, run: &Path) -> Option<String> {
        let error = self.check(run).err()?;
        (error.kind() == ErrorKind::Refused).then(|| error.to_string())
    }

    fn check_pid_namespace(&self) -> Result<()> {
        let link = self.proc.join("self/ns/pid");
        let namespace = fs::read_link(&link).map_err(|error| Error::io(link.display(), &error))?;
        if namespace.as_os_str() == FIRST_PID_NAMESPACE {
            return Ok(());
        }
        let message =
            "this runs in a container (a pid namespace of its own), where its locks protect nothing on the host";
        Err(Error::new(ErrorKind::Refused, message).hint("run it on the host"))
    }

    /// Whether a directory, or what it is going to be made in, is the same here and there.
    fn check_directory(&self, path: &Path) -> Result<()> {
        let first = self.root_of_first().map_err(|error| cannot_tell(path, &error))?;
        let exists = |found: nix::Result<FileStat>| match found {
            Ok(stat) => Ok(Some((stat.st_dev, stat.st_ino))),
            Err(nix::errno::Errno::ENOENT) => Ok(None),
            Err(errno) => Err(cannot_tell(path, &errno.into())),
        };
        for path in path.ancestors() {
            let (here, there) = (exists(stat(path))?, exists(stat_in(&first, path))?);
            if here != there {
                return Err(differs(path));
            }
            if here.is_some() {
                return Ok(());
            }
        }
        Err(differs(path))
    }

    fn root_of_first(&self) -> io::Result<OwnedFd> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(open(&self.proc.join("1/root"), flags, Mode::empty())?)
    }
}

/// As the first process would find it: no link leads out of its root.
fn stat_in(root: &OwnedFd, path: &Path) -> nix::Result<FileStat> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    fstat(openat2(root.as_fd(), path, how)?)
}

fn differs(path: &Path) -> Error {
    let message = format!(
        "{} is another directory for this process than for the rest of the machine (a mount namespace or root of its own), \
         so its locks protect nothing",
        path.display()
    );
    Error::new(ErrorKind::Refused, message)
        .hint("run it in the mount namespace of the host: nsenter -t 1 -m pcictl ...")
}

fn cannot_tell(path: &Path, error: &io::Error) -> Error {
    let message = format!(
        "it cannot be told whether {} is the same for this process and for the rest of the machine: {}",
        path.display(),
        plain(error)
    );
    Error::new(ErrorKind::NotPermitted, message).hint(format!("{} (CAP_SYS_PTRACE)", rights_hint()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A /proc by these two links.
    fn view(namespace: &str, root: &Path) -> (tempfile::TempDir, HostView) {
        let proc = tempfile::tempdir().unwrap();
        for directory in ["self/ns", "1"] {
            fs::create_dir_all(proc.path().join(directory)).unwrap();
        }
        symlink(namespace, proc.path().join("self/ns/pid")).unwrap();
        symlink(root, proc.path().join("1/root")).unwrap();
        let view = HostView::of(proc.path().to_owned());
        (proc, view)
    }

    #[test]
    fn the_same_directory_for_all_is_fine_and_so_is_one_that_is_to_be_made() {
        let (proc, view) = view(FIRST_PID_NAMESPACE, Path::new("/"));
        view.check(proc.path()).unwrap();
        view.check(&proc.path().join("run/pcictl")).unwrap();
        assert_eq!(view.difference(proc.path()), None);
    }

    #[test]
    fn a_container_is_refused() {
        let (proc, view) = view("pid:[4026532001]", Path::new("/"));
        assert_eq!(view.check(proc.path()).unwrap_err().kind(), ErrorKind::Refused);
        assert!(view.difference(proc.path()).unwrap().contains("container"));
    }

    #[test]
    fn a_private_run_directory_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (proc, view) = view(FIRST_PID_NAMESPACE, root.path());
        let run = proc.path().join("run");
        // The first process has nothing there, then one of its own; here there is none, then one.
        for made in [None, Some(root.path().join(run.strip_prefix("/").unwrap())), Some(run.clone())] {
            made.iter().for_each(|path| fs::create_dir_all(path).unwrap());
            let error = view.check(&run).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_refused_and_no_difference() {
        let (proc, view) = view(FIRST_PID_NAMESPACE, Path::new("/nowhere"));
        assert_eq!(view.check(proc.path()).unwrap_err().kind(), ErrorKind::NotPermitted);
        assert_eq!(view.difference(proc.path()), None);
    }
}
