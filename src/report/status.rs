//! What the doctor found, and operations that are not over.

use serde::Serialize;

use crate::doctor::diagnosis::Diagnosis;
use crate::doctor::leftovers::Leftover;
use crate::pci::address::PciAddress;
use crate::state::journal::progress::RecoveryAction;

/// What the doctor comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Health {
    /// Nobody is in the kernel's PCI code.
    Healthy,
    /// There is nothing to tell it from: a dumped tree without /proc.
    Unknown,
    /// Somebody is, and will be done.
    Busy,
    /// The kernel is well, but something was left behind.
    Leftovers,
    /// Something will not go on by itself.
    Stuck,
}

/// What the doctor found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct DoctorReport {
    /// What it comes to.
    pub(crate) verdict: Health,
    /// How many tasks wait behind what is stuck.
    pub(crate) behind: usize,
    /// What is stuck, and who is at work.
    #[serde(flatten)]
    pub(crate) diagnosis: Diagnosis,
    /// What was left behind.
    pub(crate) leftovers: Vec<Leftover>,
}

/// How an operation stands that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OperationState {
    /// Somebody works on it.
    Running,
    /// Nobody does, and some of it is done.
    HalfDone,
    /// Nobody does, and there is nothing left to do.
    Settled,
    /// The machine was booted anew.
    CutOff,
    /// Its journal is gone, and it was not noted that it ended.
    Lost,
    /// Its journal makes no sense.
    Damaged,
    /// Its journal cannot be read, or not by this version.
    Unreadable,
    /// Its devices are others now.
    Foreign,
}

/// An operation that is not over.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct OperationStatus {
    /// Its name; none if it cannot be read.
    pub(crate) id: Option<String>,
    /// How it stands.
    pub(crate) state: OperationState,
    /// Its command line.
    pub(crate) command: Option<String>,
    /// When it began, in seconds since 1970.
    pub(crate) began: Option<u64>,
    /// The process that began it.
    pub(crate) pid: Option<u32>,
    /// Why it stands so.
    pub(crate) why: Option<String>,
    /// Steps that the kernel is at.
    pub(crate) in_kernel: Vec<String>,
    /// Steps that are done.
    pub(crate) done: Vec<String>,
    /// Steps that are not.
    pub(crate) left: Vec<String>,
    /// What `recover` will do.
    pub(crate) way: Option<RecoveryAction>,
    /// The commands that bring it to an end.
    pub(crate) commands: Vec<String>,
}

impl OperationStatus {
    /// One of which nothing is known yet.
    pub(crate) fn of(state: OperationState) -> Self {
        Self {
            id: None,
            state,
            command: None,
            began: None,
            pid: None,
            why: None,
            in_kernel: Vec::new(),
            done: Vec::new(),
            left: Vec::new(),
            way: None,
            commands: Vec::new(),
        }
    }
}

/// A device that was removed and is not back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MissingDevice {
    /// Where it was.
    pub(crate) address: PciAddress,
    /// When it was removed, in seconds since 1970.
    pub(crate) removed_at: u64,
}

/// What is under way, interrupted or removed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct StatusReport {
    /// Operations that are not over.
    pub(crate) operations: Vec<OperationStatus>,
    /// Devices that are not back.
    pub(crate) removed: Vec<MissingDevice>,
    /// Files of the ledger that give no entry, with the reason.
    pub(crate) invalid_entries: Vec<String>,
}

/// What became of one interrupted operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Recovered {
    /// Its name.
    pub(crate) id: String,
    /// What became of it.
    pub(crate) what: String,
    /// What was done for it.
    pub(crate) steps: Vec<String>,
}

impl Recovered {
    /// Without any step.
    pub(crate) fn new(id: &str, what: &str) -> Self {
        Self { id: id.to_owned(), what: what.to_owned(), steps: Vec::new() }
    }
}

/// What became of interrupted operations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct RecoverReport {
    /// Each of them.
    pub(crate) operations: Vec<Recovered>,
}
