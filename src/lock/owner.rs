//! Whose a process is: whether it could have opened a lock file, which belongs to root and nobody else may open.

use std::io;

use nix::unistd::geteuid;

use crate::host::procfs::Procfs;
use crate::lock::fdinfo::told;

/// Whose process it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Real, effective, saved and file system user.
    uids: Vec<u32>,
    /// Whether it is in a pid namespace below this one, as in a container: nobody takes this machine's locks there.
    is_nested: bool,
}

impl Owner {
    /// None if the process has gone. One that hides whose it is counts as root's.
    ///
    /// # Errors
    /// This process has too few descriptors or too little memory left to look.
    pub(crate) fn of(procfs: &Procfs, pid: u32) -> io::Result<Option<Self>> {
        let status = told(procfs.start_of(&format!("{pid}/status"), &mut [0; 4096]))?;
        let Some(status) = status else { return Ok(Some(Self { uids: vec![0], is_nested: false })) };
        Ok(status.map(|status| Self::parse(&status)))
    }

    /// Reads /proc/PID/status.
    pub(crate) fn parse(status: &str) -> Self {
        let words = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        let uids = words("Uid:").split_whitespace().filter_map(|word| word.parse().ok()).collect();
        Self { uids, is_nested: words("NSpid:").split_whitespace().count() > 1 }
    }

    pub(crate) fn may_open_lock_files(&self) -> bool {
        self.uids.iter().any(|uid| is_trusted_uid(*uid))
    }

    pub(crate) fn is_like_this_process(&self) -> bool {
        geteuid().is_root() || self.uids.contains(&geteuid().as_raw())
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.uids.first().is_some_and(|uid| is_trusted_uid(*uid)) && !self.is_nested
    }
}

/// Root, and in tests the user who runs them.
pub(crate) fn is_trusted_uid(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_may_open_lock_files_count() {
        let owner = |uids: &str, pids: &str| Owner::parse(&format!("Name:\tx\nUid:\t{uids}\nNSpid:\t{pids}\n"));
        let (foreign, own) = (geteuid().as_raw() + 70_000, geteuid().as_raw());
        let anybody = owner(&format!("{foreign}\t{foreign}\t{foreign}\t{foreign}"), "17");
        assert!(!anybody.may_open_lock_files() && !anybody.is_trusted());
        let raised = owner(&format!("{foreign}\t0\t0\t0"), "17");
        assert!(raised.may_open_lock_files() && !raised.is_trusted());
        assert!(owner(&format!("{own}\t{own}\t{own}\t{own}"), "17").is_trusted());
        assert!(!owner("0\t0\t0\t0", "4711\t17").is_trusted());
    }
}
