//! Plans, and the reports of what was done.

use serde::Serialize;

use crate::error::ExitStatus;
use crate::lock::claims::{Claim, Mode};
use crate::lock::holders::Holder;
use crate::pci::address::{BusNumber, PciAddress};
use crate::pci::place::Place;
use crate::plan::action::{Action, Step};
use crate::report::guard::WriterAtFile;
use crate::report::step::{in_words, numbered};
use crate::terminal::document::Document;
use crate::usage::model::{Danger, UsageReport, User};
use crate::verify::compare::Difference;
use crate::verify::verdict::CloseReason;

/// What `remove` would do, or why it would not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum PlannedRemoval {
    /// The plan.
    Plan(PlannedChange),
    /// Why there is none.
    Refused {
        /// The reason.
        refused: String,
    },
}

impl Document for PlannedRemoval {
    const KIND: &'static str = "plan";

    fn changed(&self) -> Option<bool> {
        match self {
            Self::Plan(plan) => plan.changed(),
            Self::Refused { .. } => Some(false),
        }
    }
}

/// A plan, as `--dry-run` prints it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct PlannedChange {
    /// What it is about, in words.
    pub(crate) summary: Vec<String>,
    /// The dangers that are not forced and would have to be; the change is refused while there are any.
    pub(crate) needs_force: Vec<Danger>,
    /// The users of what would be removed.
    pub(crate) users: Option<UsageReport>,
    /// The locks in the order in which they are taken.
    pub(crate) locks: Vec<Claim>,
    /// The steps, each after all that it waits for.
    #[serde(serialize_with = "numbered")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<crate::report::step::PlannedStep>"))]
    pub(crate) steps: Vec<Step>,
}

impl Document for PlannedChange {
    const KIND: &'static str = "plan";

    fn changed(&self) -> Option<bool> {
        Some(self.needs_force.is_empty() && !self.steps.is_empty())
    }
}

/// A place to be locked, and why this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct LockedPlace {
    /// The place.
    pub(crate) place: Place,
    /// Why.
    pub(crate) why: String,
}

/// What `lock` would hold while its command runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct PlannedLock {
    /// The places that are locked for their own sake.
    pub(crate) targets: Vec<LockedPlace>,
    /// How.
    pub(crate) mode: Mode,
    /// The locks in the order in which they are taken.
    pub(crate) locks: Vec<Claim>,
    /// The command.
    pub(crate) command: Vec<String>,
}

impl Document for PlannedLock {
    const KIND: &'static str = "lock_plan";
}

/// A node of `locks`: one that somebody holds or waits for, or that has such a one below it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct LockNode {
    /// The node.
    pub(crate) place: Place,
    /// What sits there now.
    pub(crate) address: Option<PciAddress>,
    /// Who holds or waits for it.
    pub(crate) holders: Vec<LockParty>,
    /// What is below it.
    pub(crate) children: Vec<LockNode>,
}

/// Somebody who holds or waits for a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct LockParty {
    /// The process.
    #[serde(flatten)]
    pub(crate) holder: Holder,
    /// The raw writers that it holds the node for; only a guard does.
    pub(crate) on_behalf_of: Vec<WriterAtFile>,
}

impl PlannedChange {
    /// The exit status the change would have, as far as that is known before it is made.
    pub(crate) fn status(&self) -> ExitStatus {
        if self.needs_force.is_empty() { ExitStatus::Done } else { ExitStatus::Refused }
    }
}

/// A function that is gone, new, or still there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FunctionSummary {
    /// Its address.
    pub(crate) address: PciAddress,
    /// Vendor and device id.
    pub(crate) ids: Option<String>,
    /// Vendor and device by name.
    pub(crate) name: Option<String>,
    /// The driver that has or had it.
    pub(crate) driver: Option<String>,
}

/// A setting that was restored, or could not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Restored {
    /// What was done.
    #[serde(flatten, serialize_with = "in_words")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::report::step::DoneAction"))]
    pub(crate) action: Action,
    /// The reason it failed.
    pub(crate) failure: Option<String>,
}

impl FunctionSummary {
    /// A function that is gone, from its record.
    pub(crate) fn of_record(address: PciAddress, ids: Option<String>, driver: Option<String>) -> Self {
        Self { address, ids, name: None, driver }
    }
}

/// What `remove` did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct RemoveReport {
    /// The tops of the removed subtrees.
    pub(crate) targets: Vec<PciAddress>,
    /// Every function that is gone.
    pub(crate) removed: Vec<FunctionSummary>,
    /// Targets that were not there.
    pub(crate) absent: Vec<String>,
    /// The users that were overridden.
    pub(crate) overridden: Vec<User>,
    /// Seconds the drivers took to stop.
    pub(crate) stop_seconds: f64,
    /// Seconds the kernel took to remove.
    pub(crate) remove_seconds: f64,
}

impl Document for RemoveReport {
    const KIND: &'static str = "removal";

    fn changed(&self) -> Option<bool> {
        Some(!self.removed.is_empty())
    }
}

/// A bus that was scanned, and why this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Scanned {
    /// The bus; `None` for every bus.
    pub(crate) bus: Option<BusNumber>,
    /// What leads to it.
    pub(crate) bridge: Option<String>,
    /// Why this bus.
    pub(crate) why: String,
}

/// What `rescan` found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RescanReport {
    /// The buses that were scanned.
    pub scanned: Vec<Scanned>,
    /// Functions that were not there before.
    pub appeared: Vec<FunctionSummary>,
    /// Functions that are gone.
    pub vanished: Vec<FunctionSummary>,
    /// Functions that were removed and are back unchanged.
    pub back: Vec<PciAddress>,
    /// Everything that differs from when it was removed, or from just before the scan.
    pub differences: Vec<Difference>,
    /// Addresses that were asked for and are still absent.
    pub missing: Vec<PciAddress>,
    /// Settings that were restored.
    pub restored: Vec<Restored>,
    /// Whether the wait for what was missing was interrupted.
    pub interrupted: bool,
    /// Entries of the ledger that are closed by this.
    #[serde(skip)]
    pub ended: Vec<(Place, CloseReason)>,
    /// Seconds the kernel took.
    pub scan_seconds: f64,
    /// Seconds from then until everything was ready and compared.
    pub settle_seconds: f64,
}

impl Document for RescanReport {
    const KIND: &'static str = "rescan";

    fn changed(&self) -> Option<bool> {
        Some(!self.is_quiet())
    }
}

/// What `replug` did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct ReplugReport {
    /// The first half.
    pub(crate) removed: RemoveReport,
    /// The escalations that were tried when it did not come back.
    #[serde(rename = "climbed")]
    pub(crate) escalations: Vec<String>,
    /// The second half.
    pub(crate) rescanned: RescanReport,
}

impl Document for ReplugReport {
    const KIND: &'static str = "replug";

    fn changed(&self) -> Option<bool> {
        Some(true)
    }
}

impl RescanReport {
    /// Adds what a further scan found; its comparison replaces the one before.
    pub(crate) fn take_over(&mut self, again: Self) {
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

    /// Whether nothing appeared, vanished or changed.
    pub(crate) fn is_quiet(&self) -> bool {
        self.appeared.is_empty()
            && self.vanished.is_empty()
            && self.back.is_empty()
            && self.differences.is_empty()
            && self.missing.is_empty()
            && self.restored.is_empty()
    }
}
