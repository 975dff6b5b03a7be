//! What the commands found and did, as data: printed for people by `output`, and as it is for `--json`.

use std::sync::Arc;

use clap::ValueEnum;
use serde::Serialize;

use crate::doctor::diagnosis::Diagnosis;
use crate::doctor::leftovers::Leftover;
use crate::error::ExitStatus;
use crate::lock::claims::{Claim, Mode};
use crate::lock::holders::Holder;
use crate::pci::address::{BusNumber, PciAddress};
use crate::pci::place::Place;
use crate::plan::action::{Action, Step};
use crate::state::journal::progress::Way;
use crate::state::ledger::Ended;
use crate::usage::model::{Danger, User, Users};
use crate::verify::compare::Finding;

/// A column of `list`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Column {
    /// The address, as sysfs spells it
    Address,
    /// The class by name
    Class,
    /// The class code, six hexadecimal digits
    ClassCode,
    /// Vendor and device by name
    Name,
    /// Vendor and device id
    Ids,
    /// Subsystem vendor and device id
    Subsystem,
    /// The driver that has it
    Driver,
    /// Link speed and width; what it could be, where that is more
    Link,
    /// NUMA node
    Numa,
    /// Slot name
    Slot,
    /// IOMMU group
    Iommu,
    /// Who uses it
    InUse,
    /// Place in the device tree, which names its lock
    Place,
}

/// A PCI Express link's speed and width.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Link {
    /// Current speed in GT/s; none if the link is down or asleep.
    pub speed: Option<f64>,
    /// Current width in lanes.
    pub width: Option<u32>,
    /// Highest speed in GT/s.
    pub max_speed: Option<f64>,
    /// Highest width in lanes.
    pub max_width: Option<u32>,
    /// Set when the device is in a low-power state; the link was not asked then, for that would wake it.
    pub asleep: bool,
}

/// One function, with what was asked for. What many have in common is shared: there may be 65,536 of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FunctionRow {
    /// Its address.
    pub address: PciAddress,
    /// The class code; none if it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_code: Option<String>,
    /// The class by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<Arc<str>>,
    /// Vendor and device by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// Vendor and device id, `8086:10d3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<String>,
    /// Subsystem vendor and device id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subsystem: Option<String>,
    /// The driver that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<Arc<str>>,
    /// The link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<Box<Link>>,
    /// NUMA node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa_node: Option<i32>,
    /// Slot name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// IOMMU group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iommu_group: Option<u32>,
    /// Who uses it; none if that was not asked for or cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_use_by: Option<Vec<User>>,
    /// Place in the device tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A node of `tree`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TreeNode {
    /// `pci0000:00` for a host bridge, else the address.
    pub name: String,
    /// The bus it leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bus: Option<BusNumber>,
    /// What it is; none for a host bridge.
    #[serde(flatten)]
    pub function: Option<FunctionRow>,
    /// Set on a virtual function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub physical_function: Option<PciAddress>,
    /// What hangs below it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<TreeNode>,
}

/// One function in full.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FullFunction {
    /// Everything that `list` knows of it.
    #[serde(flatten)]
    pub row: FunctionRow,
    /// Its directory in sysfs.
    pub path: String,
    /// The bus it leads to.
    pub bus: Option<BusNumber>,
    /// The functions above it, the topmost first.
    pub above: Vec<PciAddress>,
    /// Everything below it, VFs included.
    pub below: Vec<FunctionRow>,
    /// Set on a virtual function.
    pub physical_function: Option<PciAddress>,
    /// The VFs of a physical function.
    pub virtual_functions: Vec<PciAddress>,
    /// How many VFs it could have.
    pub total_vfs: Option<u32>,
    /// Class devices that hang below it: interfaces, disks and the like, as `CLASS/NAME`.
    pub names: Vec<String>,
    /// Who holds or waits for its lock; none if that cannot be seen.
    pub holders: Option<Vec<Holder>>,
    /// Who uses it and what is below it.
    pub users: Users,
    /// What `remove` would do.
    pub remove: PlannedRemoval,
}

/// What `remove` would do, or why it would not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PlannedRemoval {
    /// The plan.
    Plan(PlannedChange),
    /// Why there is none.
    Refused {
        /// The reason.
        refused: String,
    },
}

/// A plan, as `--dry-run` prints it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlannedChange {
    /// What it is about, in words.
    pub summary: Vec<String>,
    /// The dangers that would have to be forced on top of those that were; where there are any, it would be refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs_force: Vec<Danger>,
    /// Who uses what would be taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<Users>,
    /// The locks in the order in which they are taken.
    pub locks: Vec<Claim>,
    /// The steps, each after all that it waits for.
    pub steps: Vec<Step>,
}

/// A place to be locked, and why this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockedPlace {
    /// The place.
    pub place: Place,
    /// Why.
    pub why: String,
}

/// What `lock` would hold while its command runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedLock {
    /// What is locked for its own sake.
    pub targets: Vec<LockedPlace>,
    /// How.
    pub mode: Mode,
    /// The locks in the order in which they are taken.
    pub locks: Vec<Claim>,
    /// The command.
    pub command: Vec<String>,
}

/// A node of `locks`: one that somebody holds or waits for, or that has such a one below it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LockNode {
    /// The node.
    pub place: Place,
    /// What sits there now.
    pub address: Option<PciAddress>,
    /// Who holds or waits for it.
    pub holders: Vec<Holder>,
    /// What is below it.
    pub children: Vec<LockNode>,
}

impl PlannedChange {
    /// What the change would end with, as far as can be told before it is made.
    pub fn status(&self) -> ExitStatus {
        if self.needs_force.is_empty() { ExitStatus::Done } else { ExitStatus::Refused }
    }
}

/// A function that is gone, new, or still there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Its address.
    pub address: PciAddress,
    /// Vendor and device id.
    pub ids: Option<String>,
    /// Vendor and device by name.
    pub name: Option<String>,
    /// The driver that has or had it.
    pub driver: Option<String>,
}

/// A setting that was put back, or could not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// What was done.
    #[serde(flatten)]
    pub action: Action,
    /// Why it could not be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Seen {
    /// A function of which only these texts are left.
    pub fn of_record(address: PciAddress, ids: Option<String>, driver: Option<String>) -> Self {
        Self { address, ids, name: None, driver }
    }
}

/// What `remove` did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RemoveReport {
    /// The tops of the removed subtrees.
    pub targets: Vec<PciAddress>,
    /// Every function that is gone.
    pub removed: Vec<Seen>,
    /// Targets that were not there.
    pub absent: Vec<String>,
    /// The users that were overridden.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<User>,
    /// Seconds the drivers took to stop.
    pub stop_seconds: f64,
    /// Seconds the kernel took to remove.
    pub remove_seconds: f64,
}

/// A bus that was scanned, and why this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scanned {
    /// The bus; none for all of them.
    pub bus: Option<BusNumber>,
    /// What leads to it.
    pub bridge: Option<String>,
    /// Why this bus.
    pub why: String,
}

/// What `rescan` found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RescanReport {
    /// The buses that were scanned.
    pub scanned: Vec<Scanned>,
    /// Functions that were not there before.
    pub appeared: Vec<Seen>,
    /// Functions that are there no more.
    pub vanished: Vec<Seen>,
    /// Functions that were removed once and are as they were then.
    pub back: Vec<PciAddress>,
    /// All that is not as it was when it was removed, or just before the scan.
    pub differences: Vec<Finding>,
    /// Addresses that were asked for and are still not there.
    pub missing: Vec<PciAddress>,
    /// Settings that were put back.
    pub restored: Vec<Restored>,
    /// Whether the wait for what was missing was interrupted.
    pub interrupted: bool,
    /// Entries of the ledger that end by this.
    #[serde(skip)]
    pub ended: Vec<(Place, Ended)>,
    /// Seconds the kernel took.
    pub scan_seconds: f64,
    /// Seconds from then until everything was ready and compared.
    pub settle_seconds: f64,
}

/// What `replug` did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReplugReport {
    /// The first half.
    pub removed: RemoveReport,
    /// What was tried besides when it did not come back.
    pub climbed: Vec<String>,
    /// The second half.
    pub rescanned: RescanReport,
}

impl RescanReport {
    /// Adds what a further scan found; what it compared counts instead of what was said before.
    pub fn take_over(&mut self, again: Self) {
        self.appeared.extend(again.appeared);
        self.back.extend(again.back);
        self.restored.extend(again.restored);
        self.ended.extend(again.ended);
        self.scanned
            .extend(again.scanned.into_iter().filter(|scanned| !self.scanned.contains(scanned)).collect::<Vec<_>>());
        (self.vanished, self.differences, self.missing) = (again.vanished, again.differences, again.missing);
        self.scan_seconds += again.scan_seconds;
        self.settle_seconds += again.settle_seconds;
    }

    /// Whether nothing came, went or changed.
    pub fn is_quiet(&self) -> bool {
        self.appeared.is_empty()
            && self.vanished.is_empty()
            && self.back.is_empty()
            && self.differences.is_empty()
            && self.missing.is_empty()
            && self.restored.is_empty()
    }
}

/// What the doctor comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nobody is in the kernel's PCI code.
    Healthy,
    /// Somebody is, and will be done.
    Busy,
    /// The kernel is well, but something was left behind.
    Leftovers,
    /// Something will not go on by itself.
    Stuck,
}

/// What the doctor found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DoctorReport {
    /// What it comes to.
    pub verdict: Verdict,
    /// How many tasks wait behind what is stuck.
    pub behind: usize,
    /// What is stuck, and who is at work.
    #[serde(flatten)]
    pub diagnosis: Diagnosis,
    /// What was left behind.
    pub leftovers: Vec<Leftover>,
}

/// How an operation stands that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// Somebody works on it.
    Running,
    /// Nobody does, and some of it is done.
    HalfDone,
    /// Nobody does, and there is nothing left to do.
    Settled,
    /// The machine was booted anew.
    CutOff,
    /// Its journal is not readable.
    Damaged,
    /// Its devices are others now.
    Foreign,
}

/// An operation that is not over.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperationStatus {
    /// Its name; none if it cannot be read.
    pub id: Option<String>,
    /// How it stands.
    pub state: OperationState,
    /// Its command line.
    pub command: Option<String>,
    /// When it began, in seconds since 1970.
    pub began: Option<u64>,
    /// The process that began it.
    pub pid: Option<u32>,
    /// Why it stands so.
    pub why: Option<String>,
    /// Steps that the kernel is at.
    pub in_kernel: Vec<String>,
    /// Steps that are done.
    pub done: Vec<String>,
    /// Steps that are not.
    pub left: Vec<String>,
    /// What `recover` will do.
    pub way: Option<Way>,
    /// The commands that bring it to an end.
    pub commands: Vec<String>,
}

impl OperationStatus {
    /// One of which nothing is known yet.
    pub fn of(state: OperationState) -> Self {
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
pub struct RemovedDevice {
    /// Where it was.
    pub address: PciAddress,
    /// When it was removed, in seconds since 1970.
    pub removed_at: u64,
}

/// What is under way, interrupted or removed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StatusReport {
    /// Operations that are not over.
    pub operations: Vec<OperationStatus>,
    /// Devices that are not back.
    pub removed: Vec<RemovedDevice>,
}

/// What became of one interrupted operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Recovered {
    /// Its name.
    pub id: String,
    /// What became of it.
    pub what: String,
    /// What was done for it.
    pub steps: Vec<String>,
}

impl Recovered {
    /// Without any step.
    pub fn new(id: &str, what: &str) -> Self {
        Self { id: id.to_owned(), what: what.to_owned(), steps: Vec::new() }
    }
}

/// What became of interrupted operations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecoverReport {
    /// Each of them.
    pub operations: Vec<Recovered>,
}
