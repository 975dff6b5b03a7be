//! The machine that is worked on: this one, or a dumped tree. The one value that `--sysroot` changes.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::host::procfs::Procfs;
use crate::host::sysfs::Sysfs;

/// Where lock files and journals are, below the root, unless `PCICTL_RUN_DIR` says otherwise. Gone after a reboot.
const RUN_DIRECTORY: &str = "run/pcictl";

/// Where the ledger is, below the root, unless `PCICTL_STATE_DIR` says otherwise. Outlives a reboot.
const STATE_DIRECTORY: &str = "var/lib/pcictl";

/// A machine as files.
#[derive(Debug)]
pub struct Machine {
    /// Its /sys.
    pub sysfs: Sysfs,
    procfs: io::Result<Option<Procfs>>,
    /// The run directory.
    pub(crate) run: PathBuf,
    /// The state directory.
    pub(crate) state: PathBuf,
    has_own_run: bool,
}

impl Machine {
    /// This machine, or the one dumped below `sysroot`.
    ///
    /// # Errors
    /// There is no /sys.
    pub fn open(sysroot: Option<&Path>) -> Result<Self> {
        let sysfs = Sysfs::open(sysroot)?;
        let procfs = Procfs::open(sysfs.files());
        let own_run = directory("PCICTL_RUN_DIR");
        Ok(Self {
            has_own_run: own_run.is_some(),
            run: own_run.unwrap_or_else(|| sysfs.root().join(RUN_DIRECTORY)),
            state: directory("PCICTL_STATE_DIR").unwrap_or_else(|| sysfs.root().join(STATE_DIRECTORY)),
            procfs,
            sysfs,
        })
    }

    /// The same machine with other directories for what pcictl itself writes.
    #[must_use]
    pub fn with_directories(self, run: PathBuf, state: PathBuf) -> Self {
        Self { run, state, has_own_run: true, ..self }
    }

    /// The same devices, and the processes that really run here: for measuring and testing what is seen of processes.
    ///
    /// # Errors
    /// /proc cannot be opened.
    pub fn among_own_processes(self) -> io::Result<Self> {
        Ok(Self { procfs: Ok(Some(Procfs::live()?)), ..self })
    }

    /// Its /proc, if there is one.
    pub(crate) fn procfs(&self) -> Option<&Procfs> {
        self.procfs.as_ref().ok().and_then(Option::as_ref)
    }

    /// Why its /proc cannot be read, if it is there.
    pub(crate) fn procfs_error(&self) -> Option<&io::Error> {
        self.procfs.as_ref().err()
    }

    /// Whether the environment moved the run directory.
    pub(crate) fn has_own_run_directory(&self) -> bool {
        self.has_own_run
    }

    /// The kernel's release, as `uname -r` says; none where it does not tell.
    pub(crate) fn kernel_release(&self) -> Option<String> {
        let text = self.procfs().and_then(|procfs| procfs.text("sys/kernel/osrelease").ok().flatten())?;
        Some(text.trim().to_owned()).filter(|release| !release.is_empty())
    }

    /// The boot that the machine is in; empty where the kernel does not tell.
    pub(crate) fn boot_id(&self) -> String {
        let text = self.procfs().and_then(|procfs| procfs.text("sys/kernel/random/boot_id").ok().flatten());
        text.unwrap_or_default().trim().to_owned()
    }
}

/// A directory that the environment names; an empty name counts as none.
fn directory(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}
