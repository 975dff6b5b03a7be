//! What was done to which device, when and by whom.

use serde::Serialize;

use crate::host::invoker::Invoker;
use crate::pci::place::Place;
use crate::state::audit::{AuditedDevice, BeginRecord, EndRecord};
use crate::terminal::document::Document;

/// What `history` shows.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct HistoryReport {
    /// The oldest first.
    pub(crate) operations: Vec<PastOperation>,
    /// Records that make no sense, or that a newer pcictl wrote.
    pub(crate) unreadable_records: usize,
}

impl Document for HistoryReport {
    const KIND: &'static str = "history";
}

/// One operation. What is null in `end` was not recorded: it is under way, or was cut off.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct PastOperation {
    /// Its name.
    pub(crate) id: String,
    /// When it began, RFC 3339.
    pub(crate) began_at: String,
    /// The command line.
    pub(crate) command: String,
    /// Who.
    pub(crate) invoker: Invoker,
    /// The process.
    pub(crate) pid: u32,
    /// The devices that were written to, as they were then.
    pub(crate) devices: Vec<AuditedDevice>,
    /// How many more there were.
    pub(crate) more_devices: usize,
    /// The nodes that were locked for their own sake.
    pub(crate) places: Vec<Place>,
    /// The boot.
    pub(crate) in_boot: Option<String>,
    /// The kernel.
    pub(crate) on_kernel: Option<String>,
    /// The version of pcictl.
    pub(crate) by_version: String,
    /// How it ended.
    pub(crate) end: Option<PastEnd>,
}

/// How an operation ended.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct PastEnd {
    /// When, RFC 3339.
    pub(crate) ended_at: String,
    /// Seconds that it took.
    pub(crate) seconds: f64,
    /// The exit status.
    pub(crate) exit_code: u8,
    /// Whether something was changed and stayed so; null of a command that ran under locks.
    pub(crate) changed: Option<bool>,
    /// The message of the error that ended it.
    pub(crate) error: Option<String>,
}

impl PastOperation {
    /// An operation of which no end is recorded so far.
    pub(crate) fn begun(record: BeginRecord) -> Self {
        Self {
            id: record.operation_id,
            began_at: record.time,
            command: record.command,
            invoker: record.invoker,
            pid: record.pid,
            devices: record.devices,
            more_devices: record.more_devices,
            places: record.places,
            in_boot: record.boot_id,
            on_kernel: record.kernel_release,
            by_version: record.version,
            end: None,
        }
    }
}

impl From<EndRecord> for PastEnd {
    fn from(record: EndRecord) -> Self {
        Self {
            ended_at: record.time,
            seconds: record.seconds,
            exit_code: record.exit_code,
            changed: record.changed,
            error: record.error,
        }
    }
}
