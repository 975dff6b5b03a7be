//! Which protocol the locks of a directory follow, so that two versions of pcictl that lock differently never share one.
//!
//! The link `protocol` beside the lock files says so: it leads nowhere, its text is a number, and it comes and is read as a
//! whole. Whoever is first to lock after a boot makes it. A directory without it has what the first protocol left there.
//!
//! The number changes when two versions would not keep each other out: other names of files, another order or other modes,
//! other places for the same write. It does not change for what only lookers mind, such as the offset of a descriptor.

use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::readlinkat;
use nix::unistd::symlinkat;

use crate::error::{Error, ErrorKind, Result};

/// What this version speaks.
pub const PROTOCOL: u32 = 1;

const NAME: &str = "protocol";

/// Makes sure that all who lock in a directory speak this protocol.
///
/// # Errors
/// Somebody speaks another one, or it cannot be told.
pub(super) fn agree(directory: &impl AsFd, path: &Path) -> Result<()> {
    for _ in 0..2 {
        if let Some(number) = number(directory, path)? {
            return compare(&number, path);
        }
        match symlinkat(PROTOCOL.to_string().as_str(), directory, NAME) {
            Ok(()) => return Ok(()),
            // Somebody else was first.
            Err(Errno::EEXIST) => {}
            Err(errno) => {
                let what = format!("the lock directory {}: its protocol cannot be told to others", path.display());
                return Err(Error::io(what, &errno.into()));
            }
        }
    }
    Err(Error::new(ErrorKind::LockFiles, format!("{}: {NAME} comes and goes; nothing was changed", path.display())))
}

/// The same for those who only look: nothing is made.
///
/// # Errors
/// The locks are of another protocol, or it cannot be told.
pub(super) fn check(directory: &impl AsFd, path: &Path) -> Result<()> {
    number(directory, path)?.map_or(Ok(()), |number| compare(&number, path))
}

fn number(directory: &impl AsFd, path: &Path) -> Result<Option<String>> {
    match readlinkat(directory, NAME) {
        Ok(number) => Ok(Some(number.to_string_lossy().into_owned())),
        Err(Errno::ENOENT) => Ok(None),
        Err(Errno::EINVAL) => Ok(Some(format!("no number (no link: {NAME})"))),
        Err(errno) => Err(Error::io(path.join(NAME).display(), &errno.into())),
    }
}

fn compare(number: &str, path: &Path) -> Result<()> {
    if number == PROTOCOL.to_string() {
        return Ok(());
    }
    let message = format!(
        "the locks in {} follow protocol {number}, and pcictl {} speaks {PROTOCOL}; nothing was changed",
        path.display(),
        env!("CARGO_PKG_VERSION")
    );
    let hint = "use the pcictl that has been used since this machine was booted, or reboot";
    Err(Error::new(ErrorKind::LockFiles, message).hint(hint).fact("protocol", number))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;

    use super::*;

    fn agreed(prepare: impl FnOnce(&Path)) -> (Result<()>, Result<()>, Option<String>) {
        let scratch = tempfile::tempdir().unwrap();
        prepare(scratch.path());
        let directory = File::open(scratch.path()).unwrap();
        let looked = check(&directory, scratch.path());
        let agreed = agree(&directory, scratch.path());
        let link = std::fs::read_link(scratch.path().join(NAME)).ok();
        (looked, agreed, link.map(|link| link.to_string_lossy().into_owned()))
    }

    #[test]
    fn the_first_says_and_the_others_compare() {
        let (looked, agreed_, link) = agreed(|_| {});
        assert!(looked.is_ok() && agreed_.is_ok());
        assert_eq!(link.as_deref(), Some("1"));
        let (looked, agreed_, _) = agreed(|path| symlink("1", path.join(NAME)).unwrap());
        assert!(looked.is_ok() && agreed_.is_ok());
        for other in ["2", "01", "../x", "1\n"] {
            let (looked, agreed_, link) = agreed(|path| symlink(other, path.join(NAME)).unwrap());
            assert_eq!(
                (looked.unwrap_err().kind(), agreed_.unwrap_err().kind()),
                (ErrorKind::LockFiles, ErrorKind::LockFiles)
            );
            assert_eq!(link.as_deref(), Some(other), "it stays as it is");
        }
        let (looked, agreed_, _) = agreed(|path| std::fs::write(path.join(NAME), "1").unwrap());
        assert_eq!(
            (looked.unwrap_err().kind(), agreed_.unwrap_err().kind()),
            (ErrorKind::LockFiles, ErrorKind::LockFiles)
        );
    }
}
