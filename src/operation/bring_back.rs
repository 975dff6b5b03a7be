//! The steps of a rescan, from the last look before the write to the report: the same for whoever rescans.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::error::{ExitStatus, Result};
use crate::execute::outcome::Outcome;
use crate::host::uevent::{Events, UeventLog};
use crate::operation::context::Context;
use crate::operation::failure::why_not;
use crate::operation::options::SettleOptions;
use crate::operation::progress::Progress;
use crate::operation::removal_record;
use crate::operation::run::{Operation, refuse_if_being_removed};
use crate::operation::scan::{ScanRequest, bus_name, scan, scanned};
use crate::operation::scannable::{refuse_dead_bridges, refuse_reset_bridges};
use crate::operation::vf_drivers::{VFS_AT_A_TIME, ask_drivers};
use crate::order;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::plan::action::{Action, Plan, Step};
use crate::plan::awake::changes_vfs;
use crate::plan::power::CONTROL;
use crate::plan::restore::{plan_settings, plan_virtual};
use crate::report::change::{FunctionSummary, RescanReport, Restored};
use crate::report::inspector::Inspector;
use crate::report::text::words;
use crate::terminal::output::Output;
use crate::topology::attributes::{AUTOPROBE, Attributes};
use crate::verify::capture::Observer;
use crate::verify::compare::{Difference, DifferenceKind, is_same_device};
use crate::verify::overrides::Overrides;
use crate::verify::readiness::{Awaited, Readiness};
use crate::verify::record::{DeviceRecord, RemovedDevice};
use crate::verify::settle::{Pending, settle};
use crate::verify::snapshot::Snapshot;
use crate::verify::verdict::{ComparisonInput, compare_all};

/// Scans, waits until what came is ready, puts back what was asked for, and compares with what was known.
pub(crate) fn bring_back(
    context: &Context,
    operation: &mut Operation,
    subject: &ScanRequest,
    options: &SettleOptions,
) -> Result<RescanReport> {
    refuse_dead_bridges(&context.machine.sysfs, &subject.targets)?;
    let bridges: Vec<String> = subject.targets.iter().map(|target| target.bridge.clone()).collect();
    refuse_if_being_removed(context, &bridges)?;
    let mut back = Return::prepare(context, subject, options)?;
    let scan_seconds = scan(operation, subject)?;
    let returned = Instant::now();
    // Whatever goes wrong from here on: the scan was done, and nobody may read that nothing is changed.
    let restored = back.settle_and_restore(operation).map_err(|error| error.partly("the scan itself was done"))?;
    let report = RescanReport { scan_seconds, restored, ..back.report() };
    Ok(RescanReport { settle_seconds: returned.elapsed().as_secs_f64(), ..report })
}

/// What the report of a rescan ends with.
pub(crate) fn status(report: &RescanReport) -> ExitStatus {
    match report.differences.iter().any(|finding| finding.matters) {
        _ if report.interrupted => ExitStatus::Interrupted,
        true => ExitStatus::Unexpected,
        false => ExitStatus::Done,
    }
}

/// Plans what makes a function that is there, in its directory, what it was.
type Planner<'a> = dyn Fn(&DeviceRecord, &DeviceRecord, &str) -> Plan + 'a;

/// A rescan on its way.
struct Return<'a> {
    context: &'a Context<'a>,
    subject: &'a ScanRequest,
    options: &'a SettleOptions,
    entries: Vec<RemovedDevice>,
    /// What the ledger knows of every place, VFs by their physical functions.
    known: BTreeMap<Place, DeviceRecord>,
    before: BTreeMap<PciAddress, DeviceRecord>,
    after: Snapshot,
    events: Events,
    readiness: Readiness<'a>,
    pending: Vec<Pending>,
    /// Somebody asked to stop: nothing is waited for any more, and nothing new is done.
    interrupted: bool,
    /// Something that was to be restored was not, for that reason.
    cut_short: bool,
}

impl<'a> Return<'a> {
    /// Everything that must be known before the write; events are heard from here on.
    fn prepare(context: &'a Context<'a>, subject: &'a ScanRequest, options: &'a SettleOptions) -> Result<Self> {
        let events = Events::listen();
        let before = Snapshot::take(&context.machine.sysfs, &subject.targets)?;
        refuse_reset_bridges(&context.machine.sysfs, &before, &[])?;
        let mut entries = removal_record::entries_under(&removal_record::entries(context), &subject.targets);
        entries.retain(|entry| subject.may_bring(&entry.record.place));
        Ok(Self {
            context,
            subject,
            options,
            known: order::map(entries.iter().flat_map(|entry| entry.record.with_virtual())),
            entries,
            before: before.brief(&Observer::new(&context.machine.sysfs)),
            after: before,
            events,
            readiness: Readiness::new(&context.machine.sysfs),
            pending: Vec::new(),
            interrupted: false,
            cut_short: false,
        })
    }

    /// Waits, and puts back what was asked for; tells what was done.
    fn settle_and_restore(&mut self, operation: &mut Operation) -> Result<Vec<Restored>> {
        self.settle(operation)?;
        if self.options.restore { self.restore(operation) } else { Ok(Vec::new()) }
    }

    /// Waits until nothing is missing; what is missing at the end is kept for the report.
    fn settle(&mut self, operation: &mut Operation) -> Result<()> {
        let mut progress = Progress::on(self.context.output);
        self.interrupted |= operation.is_interrupted();
        let longest = if self.interrupted { Duration::ZERO } else { self.options.settle };
        let Self { context, subject, options, known, before, after, events, readiness, .. } = self;
        self.pending = settle(events, longest, &mut progress, |heard| {
            *after = Snapshot::take(&context.machine.sysfs, &subject.targets)?;
            let mut pending = not_ready(after, known, before, readiness, heard);
            pending.extend(unmet_expectations(context, after, options));
            Ok(pending)
        })?;
        self.interrupted |= self.events.heard().interrupted();
        Ok(())
    }

    /// Puts back what functions had been set to; tells what was done.
    fn restore(&mut self, operation: &mut Operation) -> Result<Vec<Restored>> {
        let attributes = Attributes::new(&self.context.machine.sysfs);
        let virtual_functions = |was: &DeviceRecord, now: &DeviceRecord, path: &str| {
            plan_virtual(was, now, attributes.autoprobe(path), path)
        };
        let mut restored = Vec::new();
        for plan in [&virtual_functions as &Planner, &plan_settings] {
            let mut changed = false;
            for (was, now, path) in self.to_restore() {
                let plan = plan(&was, &now, &path);
                self.interrupted |= operation.is_interrupted();
                if self.interrupted && !plan.steps.is_empty() {
                    self.cut_short = true;
                    return Ok(restored);
                }
                let (done, is_cut_short) = perform(self.context, operation, &plan)?;
                changed |= !done.is_empty();
                restored.extend(done);
                self.interrupted |= is_cut_short;
                self.cut_short |= is_cut_short;
            }
            if changed {
                self.settle(operation)?;
            }
        }
        Ok(restored)
    }

    /// What the ledger knows of and is the same device now: as it was, as it is, and its directory.
    fn to_restore(&self) -> Vec<(DeviceRecord, DeviceRecord, String)> {
        let mut observer = Observer::new(&self.context.machine.sysfs);
        let pair = |entry: &RemovedDevice| {
            let (topology, id) = self.after.at(&entry.record.place)?;
            let now = observer.record(topology, id, &Overrides::new());
            is_same_device(&entry.record, &now).then(|| (entry.record.clone(), now, topology.path(id)))
        };
        self.entries.iter().filter_map(pair).collect()
    }

    fn report(mut self) -> RescanReport {
        let after = self.records();
        let wanted = &self.subject.wanted;
        let evidence = ComparisonInput {
            before: &self.before,
            after: &after,
            entries: &self.entries,
            wanted,
            accepted: &self.options.accept,
        };
        let mut verdict = compare_all(&evidence);
        self.explain(&mut verdict.findings);
        let mut inspector = Inspector::new(&self.context.machine.sysfs);
        let mut seen = |snapshot: &Snapshot, address: PciAddress| {
            let function = snapshot.find(address).map(|(topology, id)| topology.function(id));
            let driver = function.and_then(|function| function.driver.as_deref());
            inspector.seen(address, function.and_then(|function| function.ids), driver)
        };
        let came = self.after.addresses().filter(|address| !self.before.contains_key(address));
        let appeared: Vec<FunctionSummary> = came.map(|address| seen(&self.after, address)).collect();
        let went = self.before.values().filter(|was| !self.after.has(was.address));
        let vanished =
            went.map(|was| FunctionSummary::of_record(was.address, was.ids.clone(), was.driver.clone())).collect();
        let missing = wanted.iter().copied().filter(|address| !self.after.has(*address)).collect();
        let report = RescanReport {
            scanned: self.subject.targets.iter().map(scanned).collect(),
            appeared,
            vanished,
            back: verdict.back,
            differences: verdict.findings,
            missing,
            ended: verdict.ended,
            interrupted: self.interrupted && (self.cut_short || !self.pending.is_empty()),
            ..RescanReport::default()
        };
        for scanned in &report.scanned {
            self.context.output.detail(&format!("{}: scanned, because {}", bus_name(scanned), scanned.why));
        }
        report
    }

    /// What is there now: in full where it came, where the ledger knows what to compare it with, and where something sits
    /// that may be what is gone from another place.
    fn records(&self) -> BTreeMap<PciAddress, DeviceRecord> {
        let mut observer = Observer::new(&self.context.machine.sysfs);
        let mut records = self.after.brief(&observer);
        let is_gone = |entry: &&RemovedDevice| self.after.at(&entry.record.place).is_none();
        let gone: Vec<&RemovedDevice> = self.entries.iter().filter(is_gone).collect();
        for record in records.values_mut() {
            let is_known = self.entries.iter().any(|entry| entry.record.place == record.place);
            let may_be_gone = gone.iter().any(|entry| entry.record.ids == record.ids);
            if !is_known && !may_be_gone && self.before.contains_key(&record.address) {
                continue;
            }
            if let Some((topology, id)) = self.after.find(record.address) {
                *record = observer.record(topology, id, &Overrides::new());
            }
        }
        records
    }

    /// Adds what was still missing when the time was up, and why drivers are not there.
    fn explain(&mut self, findings: &mut Vec<Difference>) {
        let waited = if self.interrupted {
            "not there when the wait was interrupted".to_owned()
        } else {
            format!("not there after {} s", self.options.settle.as_secs_f64())
        };
        for lack in &self.pending {
            let of =
                |finding: &&mut Difference| finding.kind == DifferenceKind::Driver && finding.address == lack.address;
            if let Some(finding) = findings.iter_mut().find(of) {
                finding.why = Some(waited.clone());
            } else {
                findings.push(timed_out(lack, &waited, &self.options.accept));
            }
        }
        let heard = self.events.heard();
        for (address, (topology, id)) in
            self.after.addresses().filter_map(|address| Some((address, self.after.find(address)?)))
        {
            // One that had no driver before lacks none.
            let was = self.known.get(&topology.place(id));
            let has_one = topology.function(id).driver.is_some() || was.is_some_and(|was| was.driver.is_none());
            let Some(why) = heard.failure(address).filter(|_| !has_one) else { continue };
            let why = Some(format!("its probe failed: {why}"));
            match findings
                .iter_mut()
                .find(|finding| finding.kind == DifferenceKind::Driver && finding.address == Some(address))
            {
                Some(finding) => finding.why = why,
                None => findings.push(Difference {
                    kind: DifferenceKind::Driver,
                    address: Some(address),
                    what: "driver".to_owned(),
                    old: None,
                    new: None,
                    matters: !self.options.accept.contains(&DifferenceKind::Driver),
                    why,
                    place: None,
                }),
            }
        }
        order::sort_by(findings, |a, b| a.address.cmp(&b.address));
    }
}

/// Something that was waited for in vain.
fn timed_out(lack: &Pending, waited: &str, accepted: &[DifferenceKind]) -> Difference {
    let kind = match lack.address {
        None => DifferenceKind::Expected,
        Some(_) if lack.what.starts_with("driver") => DifferenceKind::Driver,
        Some(_) => DifferenceKind::Names,
    };
    Difference {
        kind,
        address: lack.address,
        what: lack.what.clone(),
        old: None,
        new: None,
        matters: !accepted.contains(&kind),
        why: Some(waited.to_owned()),
        place: None,
    }
}

/// Functions that came, or that the ledger waits for, and are not ready.
fn not_ready(
    after: &Snapshot,
    known: &BTreeMap<Place, DeviceRecord>,
    before: &BTreeMap<PciAddress, DeviceRecord>,
    readiness: &mut Readiness<'_>,
    heard: &UeventLog,
) -> Vec<Pending> {
    let mut pending = Vec::new();
    for address in after.addresses() {
        let Some((topology, id)) = after.find(address) else { continue };
        let was = known.get(&topology.place(id));
        let came = !before.contains_key(&address);
        if came || was.is_some() {
            pending.extend(readiness.pending(&Awaited { topology, id, was, came }, heard));
        }
    }
    pending
}

/// What `--expect` named and is not there.
fn unmet_expectations(context: &Context, after: &Snapshot, options: &SettleOptions) -> Vec<Pending> {
    if options.expect.is_empty() {
        return Vec::new();
    }
    let observer = Observer::new(&context.machine.sysfs);
    let there: Vec<DeviceRecord> =
        after.addresses().filter_map(|address| after.find(address)).map(|(t, id)| observer.with_link(t, id)).collect();
    let lack = |expectation: &crate::verify::expectation::Expectation| {
        let missing = expectation.still_missing(&there);
        (missing > 0)
            .then(|| Pending { address: None, what: format!("expected {}: {missing} to come", expectation.text()) })
    };
    options.expect.iter().filter_map(lack).collect()
}

/// Makes the writes of a restoration, and says whether somebody has interrupted them; what the kernel refuses is told and
/// keeps nothing else from being put back.
fn perform(context: &Context, operation: &mut Operation, plan: &Plan) -> Result<(Vec<Restored>, bool)> {
    let (first, steps) = (operation.next_step(), &plan.steps);
    let outcomes = operation.run(steps, 1)?;
    let is_cut_short = outcomes.interrupted && !outcomes.is_complete();
    let ended = |(step, outcome): (&Step, &Outcome)| {
        let failure = match outcome {
            Outcome::Done(..) => None,
            Outcome::Failed(errno) => Some(why_not(&step.action, *errno)),
            _ if is_cut_short => Some("not tried, because it was interrupted".to_owned()),
            _ => Some("not tried, because what comes before it failed".to_owned()),
        };
        Restored { action: step.action.clone(), failure }
    };
    let mut restored: Vec<Restored> = steps.iter().zip(outcomes.each()).map(ended).collect();
    if let Some(Action::CreateVfs { address, drivers: Some(drivers), .. }) = steps.last().map(|step| &step.action) {
        if outcomes.is_complete() {
            let given = ask_drivers(context, operation, *address, drivers, VFS_AT_A_TIME)?;
            let given = given.steps.into_iter().map(|(action, failure)| Restored { action, failure });
            // They have their drivers then, as is told elsewhere.
            let is_worth_a_word =
                |restored: &Restored| restored.failure.is_some() || !matches!(restored.action, Action::Probe { .. });
            restored.extend(given.filter(is_worth_a_word));
        } else {
            // Drivers were kept from VFs only for this.
            operation.put_back(steps, first, &outcomes.only(|index| is_for_vfs(steps, &steps[index].action)))?;
        }
    }
    restored.retain(|restored| restored.failure.is_some() || !is_for_vfs(steps, &restored.action));
    Ok((restored, is_cut_short))
}

/// Whether this only keeps drivers from VFs and their physical function awake while these are restored, or ends that.
fn is_for_vfs(steps: &[Step], action: &Action) -> bool {
    let makes_vfs = || steps.iter().any(|step| changes_vfs(&step.action).is_some());
    match action {
        Action::Set { file, .. } => file == AUTOPROBE || file == CONTROL && makes_vfs(),
        _ => false,
    }
}

/// What is left to do when the report is out: the ledger's files are flushed to disk, which takes its time.
pub(crate) fn close(context: &Context, report: &RescanReport) {
    removal_record::close(context, &report.ended);
}

/// What restoring could not do, for the one line of an error.
pub(crate) fn tell_failures(output: &Output, restored: &[Restored]) {
    for failed in restored.iter().filter(|restored| restored.failure.is_some()) {
        let why = failed.failure.as_deref().unwrap_or_default();
        output.say(&format!("could not {}: {why}", words::describe_action(&failed.action)));
    }
}
