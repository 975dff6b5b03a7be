//! The only place that reads /sys, or a dumped tree of it. Writes are made by the writer, see [`crate::execute::supervisor`].
//!
//! Every path is relative to the `sys` directory and opened from its descriptor. What has vanished reads as `None`: a
//! device may go while one looks (ENODEV from an open file, then ENOENT), and that is no error. Which files are safe to
//! read is the caller's business; the ones that can block behind a stuck driver must not be asked for.

use std::borrow::Cow;
use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result, plain};
use crate::host::root::{Directory, Entries, Root, each_entry, present};
use crate::pci::address::PciAddress;

/// sysfs gives out at most one page an attribute (fs/sysfs/file.c).
const PAGE: usize = 4096;

/// The tree of /sys that is looked at: this machine's, or a dumped one that can only be read.
#[derive(Debug)]
pub struct Sysfs {
    sys: Dir,
    files: Root,
}

/// An open directory of the tree. What is read below it costs the kernel no walk from the top.
#[derive(Debug)]
pub(crate) struct Dir {
    directory: Directory,
    path: String,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Sysfs {
    /// Opens `/sys`, or `DIR/sys` of a dumped tree.
    ///
    /// # Errors
    /// The directory is not there or cannot be entered.
    pub fn open(sysroot: Option<&Path>) -> Result<Self> {
        let files = Root::open(sysroot).map_err(|error| {
            unusable(&sysroot.unwrap_or(Path::new("/")).display().to_string(), sysroot.is_some(), &error)
        })?;
        let sys =
            files.directory().open("sys").map_err(|error| unusable(&files.display("sys"), files.is_dump(), &error))?;
        Ok(Self { sys: Dir { directory: sys, path: String::new() }, files })
    }

    /// A sysfs that was mounted for looking alone, by its descriptor.
    ///
    /// # Errors
    /// There is no root directory to be opened.
    pub(crate) fn mounted(fd: OwnedFd) -> io::Result<Self> {
        let sys = Dir { directory: Directory::opened(fd), path: String::new() };
        Ok(Self { sys, files: Root::open(None)? })
    }

    /// Whether this is a dumped tree, in which nothing may be changed.
    pub(crate) fn is_dump(&self) -> bool {
        self.files.is_dump()
    }

    /// Where the root is that other parts of the system (/etc, /usr/share) are found under.
    pub(crate) fn root(&self) -> &Path {
        self.files.path()
    }

    /// The opener of other parts of the system (/etc, /usr/share).
    pub fn files(&self) -> &Root {
        &self.files
    }

    /// The directory `sys` itself.
    pub(crate) fn top(&self) -> &Dir {
        &self.sys
    }

    /// The whole path of something below `sys`, for messages.
    pub(crate) fn display(&self, path: &str) -> String {
        self.files.path().join("sys").join(path).display().to_string()
    }

    /// Reads an attribute as text without its last newline; `None` if it, or its device, is not there.
    ///
    /// # Errors
    /// Any other failure, rights above all.
    pub(crate) fn read(&self, path: &str) -> io::Result<Option<String>> {
        self.sys.read(path, str::to_owned)
    }

    /// Reads at most `limit` bytes of a file in one call; `None` if it, or its device, is not there.
    ///
    /// # Errors
    /// Any other failure, rights above all.
    pub(crate) fn read_bytes(&self, path: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        self.sys.read_bytes(path, limit.min(PAGE), <[u8]>::to_vec)
    }

    /// Opens a file for reading at offsets, as configuration space is read; `None` if it is not there.
    ///
    /// # Errors
    /// Any other failure, rights above all.
    pub(crate) fn file(&self, path: &str) -> io::Result<Option<std::fs::File>> {
        Ok(present(self.sys.directory.kernel_file(path))?.map(Into::into))
    }

    /// The names in a directory, in no order; `None` if it is not there.
    ///
    /// # Errors
    /// Any other failure, rights above all.
    pub(crate) fn names(&self, path: &str) -> io::Result<Option<Vec<String>>> {
        let mut names = Vec::new();
        let Some(directory) = self.sys.open(path)? else { return Ok(None) };
        directory.each(&mut Entries::default(), |name, _| names.push(name.to_owned()))?;
        Ok(Some(names))
    }

    /// The names in a directory, in order; none if it is not there or cannot be read: for looks whose caller would do
    /// nothing else then.
    pub(crate) fn listed(&self, path: &str) -> Vec<String> {
        let mut names = self.names(path).ok().flatten().unwrap_or_default();
        names.sort_unstable();
        names
    }

    /// An attribute without the blanks around it; none if it is not there or cannot be read, as with
    /// [`listed`](Self::listed).
    pub(crate) fn value(&self, path: &str) -> Option<String> {
        Some(self.read(path).ok().flatten()?.trim().to_owned())
    }

    /// Where a link points, as written; `None` if it is not there or is no link.
    ///
    /// # Errors
    /// Any other failure, rights above all.
    pub(crate) fn link(&self, path: &str) -> io::Result<Option<String>> {
        self.sys.link(path, str::to_owned)
    }

    /// The last step of a link's target: how sysfs names a driver or an IOMMU group.
    ///
    /// # Errors
    /// As [`link`](Self::link).
    pub(crate) fn link_name(&self, path: &str) -> io::Result<Option<String>> {
        self.sys.link(path, |target| last_step(target).to_owned())
    }

    /// The driver that has the device of this directory; none too where that cannot be read.
    pub(crate) fn driver(&self, path: &str) -> Option<String> {
        self.link_name(&format!("{path}/driver")).ok().flatten()
    }

    /// Whether something is there under that path, links not followed.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.sys.exists(path)
    }

    /// Whether a function is there.
    pub(crate) fn has_function(&self, address: PciAddress) -> bool {
        self.exists(&address.sysfs_link())
    }

    /// What a function says it is, for the choice of its driver; none if it is not there, or cannot be read.
    pub(crate) fn modalias(&self, address: PciAddress) -> Option<String> {
        self.read(&format!("{}/modalias", address.sysfs_link())).ok().flatten()
    }
}

impl Dir {
    /// Where it is below `sys`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Where something below it is below `sys`.
    pub(crate) fn join(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) }
    }

    /// Opens a directory below, to be listed or to read what is in it; `None` if it is not there.
    ///
    /// # Errors
    /// Any other failure, rights above all.
    pub(crate) fn open(&self, path: &str) -> io::Result<Option<Self>> {
        self.open_as(path, path)
    }

    /// Opens the directory of a function if it leads to a bus, which takes one call for those that do not.
    ///
    /// # Errors
    /// Any other failure, rights above all.
    pub(crate) fn open_bridge(&self, path: &str) -> io::Result<Option<Self>> {
        self.open_as(&format!("{path}/pci_bus/.."), path)
    }

    fn open_as(&self, route: &str, path: &str) -> io::Result<Option<Self>> {
        let directory = present(self.directory.open(route))?;
        Ok(directory.map(|directory| Self { directory, path: self.join(path) }))
    }

    /// Gives `take` an attribute as text without its last newline; `None` if it, or its device, is not there.
    ///
    /// # Errors
    /// Any other failure, rights above all.
    pub(crate) fn read<T>(&self, path: &str, take: impl FnOnce(&str) -> T) -> io::Result<Option<T>> {
        self.read_bytes(path, PAGE, |bytes| take(text(bytes).trim_end_matches(['\n', '\0'])))
    }

    fn read_bytes<T>(&self, path: &str, limit: usize, take: impl FnOnce(&[u8]) -> T) -> io::Result<Option<T>> {
        let mut buffer = [MaybeUninit::uninit(); PAGE];
        let read = || {
            let file = self.directory.kernel_file(path)?;
            let (bytes, _) = rustix::io::read(&file, &mut buffer[..limit])?;
            Ok(take(bytes))
        };
        present(read())
    }

    /// Gives `take` where a link points, as written; `None` if it is not there or is no link.
    ///
    /// # Errors
    /// Any other failure, rights above all.
    pub(crate) fn link<T>(&self, path: &str, take: impl FnOnce(&str) -> T) -> io::Result<Option<T>> {
        self.directory.link(path, |target| take(&text(target)))
    }

    /// Whether something is there under that path, links not followed.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.directory.exists(path)
    }

    /// sysfs tells with the name; some file systems that a dump may lie on do not.
    fn is_directory(&self, name: &CStr, kind: FileType) -> bool {
        let stat = || rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW);
        match kind {
            FileType::Unknown => stat().is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir()),
            kind => kind.is_dir(),
        }
    }

    /// Gives `take` each name in this directory, in no order, and whether it is a directory (no link to one); names
    /// that are no text are left out. A directory can be gone through once.
    ///
    /// # Errors
    /// The directory cannot be read, or it went away meanwhile.
    pub(crate) fn each(&self, entries: &mut Entries, mut take: impl FnMut(&str, bool)) -> io::Result<()> {
        let listed = each_entry(&self.directory, entries, |name, entry| {
            take(name, self.is_directory(entry.file_name(), entry.file_type()));
        });
        match listed {
            // Removed while it was read: what is gone has nothing in it.
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Bytes as text, which sysfs gives but for a stray one; looking for strays one by one would cost more.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Why there is no /sys to look at.
fn unusable(path: &str, is_dump: bool, error: &io::Error) -> Error {
    let failed = || Error::io(path, error);
    let missing = |kind: ErrorKind, why: &str, hint: &str| Error::new(kind, format!("{path}: {why}")).hint(hint);
    match Errno::from_io_error(error) {
        Some(Errno::NOENT | Errno::NOTDIR) if is_dump => {
            missing(ErrorKind::Usage, "not a dumped tree", "name the directory that holds the directory `sys`")
        }
        Some(Errno::NOENT | Errno::NOTDIR) => {
            missing(ErrorKind::NoSuchDevice, "sysfs is not mounted", "mount -t sysfs sysfs /sys")
        }
        Some(_) => failed(),
        None => Error::new(ErrorKind::Failed, format!("{path}: {}", plain(error))),
    }
}

/// The last step of a path.
pub(crate) fn last_step(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Follows a link below `sys` by its text alone: the steps from `sys` down, or `None` if it leads out of the tree.
///
/// `from` is the directory that the link is in. Nothing is resolved on disk, so a link in a dumped tree cannot lead
/// anywhere else than its text says.
pub fn follow(from: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let (mut base, mut rest) = (from.trim_matches('/'), target);
    // How the kernel writes them: up as far as need be, and then only down.
    while let Some(below) = rest.strip_prefix("../") {
        if base.is_empty() {
            return None;
        }
        base = base.rsplit_once('/').map_or("", |(above, _)| above);
        rest = below;
    }
    let mut path = String::with_capacity(base.len() + rest.len() + 1);
    path.push_str(base);
    for step in rest.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                let end = path.rfind('/').unwrap_or(0);
                (!path.is_empty()).then(|| path.truncate(end))?;
            }
            step => {
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(step);
            }
        }
    }
    Some(path)
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
        assert_eq!(follow(from, "../drivers/./nvme//").as_deref(), Some("bus/pci/drivers/nvme"));
        assert_eq!(follow(from, "a/../../../..").as_deref(), Some(""));
        assert_eq!(follow(from, "a/../../../../.."), None);
        assert_eq!(follow(from, "../../../../etc"), None);
        assert_eq!(follow(from, "/etc"), None);
    }
}

#[cfg(test)]
pub(crate) mod made;
