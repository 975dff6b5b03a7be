//! The only place that reads and writes /sys, or a dumped tree of it.
//!
//! Every path is relative to the `sys` directory and opened from its descriptor. What has vanished reads as `None`: a
//! device may go while one looks (ENODEV from an open file, then ENOENT), and that is no error. Which files are safe to
//! read is the caller's business; the ones that can block behind a stuck driver must not be asked for.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat};
use nix::sys::stat::Mode;

use crate::error::{Error, ErrorKind, Result};

/// sysfs gives out at most one page an attribute (fs/sysfs/file.c).
const PAGE: usize = 4096;

/// The tree of /sys that is looked at: this machine's, or a dumped one that can only be read.
#[derive(Debug)]
pub struct Sysfs {
    sys: OwnedFd,
    root: PathBuf,
    dump: bool,
}

impl Sysfs {
    /// Opens `/sys`, or `DIR/sys` of a dumped tree.
    ///
    /// # Errors
    /// The directory is not there or cannot be entered.
    pub fn open(sysroot: Option<&Path>) -> Result<Self> {
        let root = sysroot.unwrap_or(Path::new("/")).to_path_buf();
        let path = root.join("sys");
        let sys =
            open(&path, OFlag::O_DIRECTORY | OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(|errno| {
                let what = match (errno, sysroot) {
                    (Errno::ENOENT | Errno::ENOTDIR, Some(_)) => "no dumped tree there: it must hold a directory `sys`",
                    (Errno::ENOENT | Errno::ENOTDIR, None) => "sysfs is not mounted: mount -t sysfs sysfs /sys",
                    _ => errno.desc(),
                };
                let kind = if errno == Errno::EACCES { ErrorKind::NotPermitted } else { ErrorKind::NoSuchDevice };
                Error::new(kind, format!("{}: {what}", path.display()))
            })?;
        Ok(Self { sys, root, dump: sysroot.is_some() })
    }

    /// Whether this is a dumped tree, in which nothing may be changed.
    pub fn is_dump(&self) -> bool {
        self.dump
    }

    /// The root that other parts of the system (/etc, /usr/share) are found under.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The whole path of something below `sys`, for messages.
    pub fn display(&self, path: &str) -> String {
        self.root.join("sys").join(path).display().to_string()
    }

    /// Opens below `sys`; in a dumped tree the kernel itself refuses (EXDEV) what leads out of it.
    fn open_at(&self, path: &str, flags: OFlag) -> nix::Result<OwnedFd> {
        let flags = flags | OFlag::O_CLOEXEC;
        if self.dump {
            let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_BENEATH);
            openat2(self.sys.as_fd(), path, how)
        } else {
            openat(self.sys.as_fd(), path, flags, Mode::empty())
        }
    }

    /// Reads an attribute as text without its last newline; `None` if it, or its device, is not there.
    ///
    /// # Errors
    /// Any other failure, rights above all.
    pub fn read(&self, path: &str) -> io::Result<Option<String>> {
        Ok(self.read_bytes(path, PAGE)?.map(|bytes| {
            let text = String::from_utf8_lossy(&bytes);
            text.trim_end_matches(['\n', '\0']).to_owned()
        }))
    }

    /// Reads at most `limit` bytes of a file in one call; `None` if it, or its device, is not there.
    ///
    /// # Errors
    /// Any other failure, rights above all.
    pub fn read_bytes(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let read = || {
            let file = self.open_at(path, OFlag::O_RDONLY | OFlag::O_NOCTTY | OFlag::O_NONBLOCK)?;
            let mut bytes = vec![0; limit];
            let length = nix::unistd::read(&file, &mut bytes)?;
            bytes.truncate(length);
            Ok(bytes)
        };
        present(read())
    }

    /// The names in a directory, in no order; `None` if it is not there.
    ///
    /// # Errors
    /// Any other failure, rights above all.
    pub fn names(&self, path: &str) -> io::Result<Option<Vec<String>>> {
        let list = || {
            let directory = self.open_at(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
            let mut names = Vec::new();
            for entry in Dir::from_fd(directory)?.iter() {
                match entry?.file_name().to_str() {
                    Ok("." | "..") | Err(_) => {}
                    Ok(name) => names.push(name.to_owned()),
                }
            }
            Ok(names)
        };
        present(list())
    }

    /// Where a link points, as written; `None` if it is not there or is no link.
    ///
    /// # Errors
    /// Any other failure, rights above all.
    pub fn link(&self, path: &str) -> io::Result<Option<String>> {
        match present(readlinkat(self.sys.as_fd(), path).map(|target| target.to_string_lossy().into_owned())) {
            Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => Ok(None),
            result => result,
        }
    }

    /// The last step of a link's target: how sysfs names a driver or an IOMMU group.
    ///
    /// # Errors
    /// As [`link`](Self::link).
    pub fn link_name(&self, path: &str) -> io::Result<Option<String>> {
        Ok(self.link(path)?.and_then(|target| target.rsplit('/').next().map(str::to_owned)))
    }

    /// Whether something is there under that path, links not followed.
    pub fn exists(&self, path: &str) -> bool {
        use nix::fcntl::AtFlags;
        nix::sys::stat::fstatat(self.sys.as_fd(), path, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok()
    }

    /// Writes one value to a file of this machine's /sys, in one call. May block as long as the kernel pleases.
    ///
    /// # Errors
    /// Whatever the kernel answers; for a dumped tree always EROFS.
    pub fn write(&self, path: &str, value: &str) -> Result<(), Errno> {
        if self.dump {
            return Err(Errno::EROFS);
        }
        let file = self.open_at(path, OFlag::O_WRONLY | OFlag::O_NOCTTY)?;
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
}

/// Turns "it has gone" into `None`.
fn present<T>(result: nix::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENOENT | Errno::ENODEV | Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Follows a link below `sys` by its text alone: the steps from `sys` down, or `None` if it leads out of the tree.
///
/// `from` is the directory that the link is in. Nothing is resolved on disk, so a link in a dumped tree cannot lead
/// anywhere else than its text says.
pub fn follow(from: &str, target: &str) -> Option<String> {
    let mut steps: Vec<&str> = from.split('/').filter(|step| !step.is_empty()).collect();
    if target.starts_with('/') {
        return None;
    }
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                steps.pop()?;
            }
            step => steps.push(step),
        }
    }
    Some(steps.join("/"))
}

/// A directory entry's name as text, for callers that walk with `walkdir`.
pub fn lossless(name: &OsStr) -> Option<&str> {
    std::str::from_utf8(name.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_the_tree() {
        let from = "bus/pci/devices";
        assert_eq!(
            follow(from, "../../../devices/pci0000:00/0000:00:03.0").as_deref(),
            Some("devices/pci0000:00/0000:00:03.0")
        );
        assert_eq!(follow(from, "../../../../etc"), None);
        assert_eq!(follow(from, "/etc"), None);
    }
}
