//! The doctor's report, and operations that are not over.

use serde::Serialize;

use crate::doctor::diagnosis::Diagnosis;
use crate::doctor::leftovers::Leftover;
use crate::host::clock::Moment;
use crate::pci::address::PciAddress;
use crate::report::guard::GuardReport;
use crate::state::journal::progress::RecoveryAction;
use crate::terminal::document::Document;
use crate::usage::model::User;

/// The doctor's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Health {
    /// No task is in the kernel's PCI code.
    Healthy,
    /// A dumped tree without /proc does not tell, or a driver has been stopping for long.
    Unknown,
    /// Tasks are, and will finish.
    Busy,
    /// The kernel is well, but something was left behind.
    Leftovers,
    /// Something cannot continue by itself.
    Stuck,
}

/// The doctor's report.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct DoctorReport {
    /// The verdict.
    pub(crate) verdict: Health,
    /// Whether tasks were looked at; a dumped tree without /proc has none.
    pub(crate) tasks_checked: bool,
    /// How many tasks wait behind what is stuck.
    pub(crate) behind: usize,
    /// What is stuck, and who is at work.
    #[serde(flatten)]
    pub(crate) diagnosis: Diagnosis,
    /// Drivers that have been stopping for so long that they may never end.
    pub(crate) unclear: Vec<Unclear>,
    /// What was left behind.
    pub(crate) leftovers: Vec<Leftover>,
    /// How many operations were interrupted and need somebody; unknown if the journals cannot be read.
    pub(crate) interrupted_operations: Option<usize>,
    /// How many devices were removed and are not back; unknown if the tree cannot be read.
    pub(crate) removed_devices: Option<usize>,
}

impl Document for DoctorReport {
    const KIND: &'static str = "diagnosis";
}

/// A driver that has been stopping for long.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Unclear {
    /// The thread in it.
    pub(crate) tid: u32,
    /// The device, if it can be told.
    pub(crate) device: Option<PciAddress>,
    /// The driver's innermost function, and its module.
    pub(crate) function: String,
    /// For how many seconds at most.
    pub(crate) seconds: u64,
    /// Who uses the device.
    pub(crate) users: Vec<User>,
    /// What could not be looked into.
    pub(crate) unchecked: Vec<String>,
}

/// The state of an operation that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum OperationState {
    /// A process works on it.
    Running,
    /// Interrupted, and some of it is done.
    HalfDone,
    /// Interrupted, and there is nothing left to do.
    Settled,
    /// The machine was rebooted.
    CutOff,
    /// Its journal is gone, and no end was recorded.
    Lost,
    /// Its journal is damaged.
    Damaged,
    /// Its journal cannot be read, or not by this version.
    Unreadable,
    /// Its devices are others now.
    Foreign,
}

/// An operation that is not over.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct OperationStatus {
    /// Its id; `None` if it cannot be read.
    pub(crate) id: Option<String>,
    /// Its state.
    pub(crate) state: OperationState,
    /// Its command line.
    pub(crate) command: Option<String>,
    /// When it began.
    pub(crate) began_at: Option<Moment>,
    /// The process that began it.
    pub(crate) pid: Option<u32>,
    /// The reason for its state.
    pub(crate) why: Option<String>,
    /// Steps the kernel is working on.
    pub(crate) in_kernel: Vec<String>,
    /// Steps that are done.
    pub(crate) done: Vec<String>,
    /// Steps that are not.
    pub(crate) left: Vec<String>,
    /// What `recover` will do.
    pub(crate) way: Option<RecoveryAction>,
    /// The commands that complete or undo it.
    pub(crate) commands: Vec<String>,
}

impl OperationStatus {
    /// An operation of which only the state is known.
    pub(crate) fn of(state: OperationState) -> Self {
        Self {
            id: None,
            state,
            command: None,
            began_at: None,
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct MissingDevice {
    /// Where it was.
    pub(crate) address: PciAddress,
    /// When it was removed.
    pub(crate) removed_at: Moment,
}

/// Operations in progress or interrupted, and missing devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct StatusReport {
    /// Operations that are not over.
    pub(crate) operations: Vec<OperationStatus>,
    /// Devices that are not back.
    pub(crate) removed: Vec<MissingDevice>,
    /// Files of the ledger that give no entry, with the reason.
    pub(crate) invalid_entries: Vec<String>,
    /// The guard that holds up raw writers; none if none is running.
    pub(crate) guard: Option<GuardReport>,
    /// Why nothing can be said of the guard that is there.
    pub(crate) guard_trouble: Option<String>,
}

impl Document for StatusReport {
    const KIND: &'static str = "status";
}

/// The outcome for one interrupted operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Recovered {
    /// Its id.
    pub(crate) id: String,
    /// The outcome.
    pub(crate) what: String,
    /// The steps that were taken.
    pub(crate) steps: Vec<String>,
}

impl Recovered {
    /// Without any step.
    pub(crate) fn new(id: &str, what: &str) -> Self {
        Self { id: id.to_owned(), what: what.to_owned(), steps: Vec::new() }
    }
}

/// The outcome for each interrupted operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct RecoverReport {
    /// Each of them.
    pub(crate) operations: Vec<Recovered>,
}

impl Document for RecoverReport {
    const KIND: &'static str = "recovery";
}
