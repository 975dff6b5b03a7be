//! `pcictl doctor`: is the kernel's PCI core stuck, by whom, what helps, and what was left behind.

use std::collections::BTreeSet;
use std::process::ExitCode;

use crate::cli::args::DoctorArgs;
use crate::commands::settings;
use crate::doctor::diagnosis::{Diagnosis, Finding};
use crate::doctor::leftovers::{Leftover, in_tree};
use crate::doctor::snapshot;
use crate::doctor::stack::long_stopping;
use crate::doctor::task::Snapshot;
use crate::error::{Error, ErrorKind, Result, rights_hint};
use crate::guard;
use crate::host::sysfs::Sysfs;
use crate::operation::context::Context;
use crate::operation::scannable::brings_back;
use crate::operation::{interrupted, removal_record};
use crate::order;
use crate::pci::address::{PciAddress, listed};
use crate::report::monitor::Format;
use crate::report::status::{DoctorReport, Health, Unclear};
use crate::report::text::{monitor, status};
use crate::resolve::unfit_bridges::{WAS_RESET, reset_bridges};
use crate::state::journal::store::JournalFile;
use crate::terminal::output::Output;
use crate::topology::attributes::is_asleep;
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Topology};
use crate::usage::model::UsageReport;
use crate::usage::scope::Scope;
use crate::usage::{find, protected};
use crate::verify::record::RemovedDevice;

pub(crate) fn run(context: &Context, args: &DoctorArgs) -> Result<ExitCode> {
    if context.output.is_json() && !matches!(args.format, Format::Text | Format::Json) {
        let message = format!("--json and --format {}: give one of them", args.format.name());
        return Err(Error::usage(message).hint("see pcictl doctor --help"));
    }
    let taken = snapshot::take(context.machine.procfs());
    if !taken.sees_stacks && !context.machine.sysfs.is_dump() {
        if context.machine.procfs().is_none() {
            let message = "cannot tell whether the PCI core is stuck: /proc is not mounted";
            return Err(Error::new(ErrorKind::Failed, message).hint("mount -t proc proc /proc"));
        }
        let message = "cannot tell whether the PCI core is stuck: the kernel stacks of tasks may not be read";
        return Err(Error::new(ErrorKind::NotPermitted, message).hint(rights_hint()));
    }
    let report = report(context, &taken);
    let text = match args.format {
        Format::Text | Format::Json => status::diagnosed,
        Format::Nagios => monitor::nagios,
        Format::Npd => monitor::npd,
        Format::Prometheus => monitor::prometheus,
    };
    context.output.report(&report, text);
    Ok(args.format.status(&report))
}

/// What a monitor is told that asked, and nothing could be found out: it reads stdout, and takes other statuses for its
/// own grades.
pub(crate) fn failed(output: &Output, args: &DoctorArgs, error: Error) -> Result<ExitCode> {
    let text = if args.format == Format::Nagios { monitor::nagios_failed } else { monitor::npd_failed };
    let Some(status) = args.format.failed().filter(|_| !output.is_json()) else { return Err(error) };
    output.print(&text(&error));
    Ok(status)
}

fn report(context: &Context, snapshot: &Snapshot) -> DoctorReport {
    let diagnosis = Diagnosis::of(snapshot);
    let kept = Kept::of(context);
    let leftovers = leftovers(context, &diagnosis, &kept);
    let unclear = unclear(context, &diagnosis);
    let verdict = match () {
        () if !diagnosis.stuck.is_empty() => Health::Stuck,
        () if !unclear.is_empty() => Health::Unknown,
        () if !leftovers.is_empty() => Health::Leftovers,
        () if context.machine.procfs().is_none() => Health::Unknown,
        () if !diagnosis.tasks.is_empty() => Health::Busy,
        () => Health::Healthy,
    };
    let (interrupted_operations, removed_devices) = (kept.interrupted(), kept.removed());
    let (tasks_checked, behind) = (context.machine.procfs().is_some(), diagnosis.behind());
    DoctorReport {
        verdict,
        tasks_checked,
        behind,
        diagnosis,
        unclear,
        leftovers,
        interrupted_operations,
        removed_devices,
    }
}

/// Drivers that have been stopping for long, with who uses their devices: what they may be waiting for.
fn unclear(context: &Context, diagnosis: &Diagnosis) -> Vec<Unclear> {
    let is_stuck = |tid: u32| diagnosis.stuck.iter().any(|stuck| stuck.members.contains(&tid));
    let unclear = |finding: &Finding| {
        let task = &finding.task;
        let frame = long_stopping(task).filter(|_| !is_stuck(task.tid))?;
        let users = finding.device.map(|device| users(context, device)).unwrap_or_default();
        Some(Unclear {
            tid: task.tid,
            device: finding.device,
            function: frame.to_string(),
            seconds: task.seconds.unwrap_or_default(),
            users: users.found,
            unchecked: users.unchecked,
        })
    };
    diagnosis.tasks.iter().filter_map(unclear).collect()
}

fn users(context: &Context, device: PciAddress) -> UsageReport {
    let sysfs = &context.machine.sysfs;
    let found = Topology::load_around(sysfs, &[device], Fields::PLAN).and_then(|topology| {
        let ids = topology.find(device).map(|id| topology.subtree(id)).unwrap_or_default();
        find::find(&context.machine, &Scope::of(&topology, ids))
    });
    found.unwrap_or_else(|error| UsageReport { unchecked: vec![error.to_string()], ..UsageReport::default() })
}

/// What pcictl keeps on disk of its own operations.
struct Kept {
    journals: Result<Vec<JournalFile>>,
    interrupted: Vec<Leftover>,
    bad_entries: Vec<String>,
    /// Devices that were removed: those that are back, and those that are not.
    back_and_missing: Result<(Vec<RemovedDevice>, Vec<RemovedDevice>)>,
}

impl Kept {
    fn of(context: &Context) -> Self {
        let journals = context.journals().list();
        let operations = journals.as_ref().map(|journals| interrupted::operations(context, journals));
        let listing = removal_record::listing(context);
        Self {
            interrupted: operations.unwrap_or_default().iter().filter_map(interrupted::leftover).collect(),
            journals,
            bad_entries: listing.bad.iter().map(ToString::to_string).collect(),
            back_and_missing: removal_record::back_and_missing(context, listing.entries),
        }
    }

    fn interrupted(&self) -> Option<usize> {
        self.journals.is_ok().then_some(self.interrupted.len())
    }

    fn removed(&self) -> Option<usize> {
        self.back_and_missing.as_ref().ok().map(|(_, missing)| missing.len())
    }

    /// What is wrong with it; `is_at_work` tells devices that somebody is at work on.
    fn leftovers(&self, context: &Context, is_at_work: &dyn Fn(PciAddress) -> bool) -> Vec<Leftover> {
        let mut found = self.interrupted.clone();
        found.extend(self.journals.as_ref().err().map(unreadable));
        found.extend(self.bad_entries.iter().map(|bad| Leftover {
            address: None,
            what: bad.clone(),
            helps: "the next command that changes something moves a damaged file out of the way".to_owned(),
        }));
        match &self.back_and_missing {
            Ok((back, _)) => {
                let left = back.iter().filter(|entry| !is_at_work(entry.record.address));
                found.extend(left.map(|entry| crossed_off_by(context, entry)));
            }
            Err(error) => found.push(unreadable(error)),
        }
        found
    }
}

/// A device that came back past pcictl.
fn crossed_off_by(context: &Context, entry: &RemovedDevice) -> Leftover {
    let (address, selector) = (entry.record.address, removal_record::compared_by(context, entry));
    Leftover {
        address: Some(address),
        what: format!("{address}: the ledger says that it is gone, and it is there"),
        helps: format!("pcictl rescan {selector} compares it with what it was and crosses it off"),
    }
}

fn unreadable(error: &Error) -> Leftover {
    Leftover { address: None, what: error.to_string(), helps: String::new() }
}

fn leftovers(context: &Context, diagnosis: &Diagnosis, kept: &Kept) -> Vec<Leftover> {
    let at_work = at_work(kept.journals.as_deref().unwrap_or_default(), diagnosis);
    let is_at_work = |address: PciAddress| at_work.as_ref().is_none_or(|devices| devices.contains(&address));
    let sysfs = &context.machine.sysfs;
    let mut found = match Topology::load_all(sysfs, Fields::ALL) {
        Ok(topology) => {
            let is_at_work = |id: FunctionId| {
                let upwards = std::iter::once(id).chain(topology.functions_above(id));
                upwards.map(|id| topology.function(id).address).any(is_at_work)
            };
            let mut found = in_tree(sysfs, &topology, &is_at_work);
            found.extend(reset_by_others(sysfs, &topology, &is_at_work));
            found
        }
        Err(error) => vec![unreadable(&error)],
    };
    found.extend(protecting_nothing(context));
    found.extend(settings::read(context.machine.sysfs.files()).err().map(|error| {
        let helps = "correct the file; until then every command that changes something is refused".to_owned();
        Leftover { address: None, what: error.to_string(), helps }
    }));
    found.extend(silent_guard(context));
    found.extend(kept.leftovers(context, &is_at_work));
    found
}

/// Bridges that somebody's reset left without the numbers of the buses below them: whoever scans over them corrupts the kernel.
fn reset_by_others(sysfs: &Sysfs, topology: &Topology, is_at_work: &dyn Fn(FunctionId) -> bool) -> Option<Leftover> {
    // Who asks one that sleeps wakes it.
    let is_awake = |id: &FunctionId| !is_asleep(sysfs, &topology.path(*id));
    let bridges = topology.by_address().into_iter().filter(|id| topology.function(*id).secondary.is_some());
    let asked = bridges.filter(|id| !is_at_work(*id)).filter(is_awake);
    let reset = match reset_bridges(sysfs, topology, asked) {
        Ok(reset) => reset,
        Err(error) => return Some(unreadable(&error)),
    };
    let reset: Vec<PciAddress> = reset.into_iter().map(|id| topology.function(id).address).collect();
    let what =
        format!("{}: {WAS_RESET}: nothing below works, and a raw rescan would corrupt the kernel", listed(&reset));
    Some(Leftover { address: Some(*reset.first()?), what, helps: brings_back(&reset) })
}

/// A guard that holds up whoever writes and does not go on.
fn silent_guard(context: &Context) -> Option<Leftover> {
    let error = guard::status::of_machine(&context.machine).err();
    let error = error.filter(|error| error.kind() == ErrorKind::TimedOut)?;
    let helps = error.next().unwrap_or_default().to_owned();
    Some(Leftover { address: None, what: error.to_string(), helps })
}

/// Entries of the site's own list that match nothing: a slip of the pen, or a device that is gone.
fn protecting_nothing(context: &Context) -> Vec<Leftover> {
    match protected::listed(&context.machine.sysfs) {
        Ok(entries) => entries
            .into_iter()
            .filter(|entry| entry.functions.is_empty())
            .map(|entry| Leftover {
                address: None,
                what: format!(
                    "{}: protects nothing: no device matches {} ({})",
                    entry.place, entry.selector, entry.reason
                ),
                helps: "correct the line, or remove it if that device is gone for good".to_owned(),
            })
            .collect(),
        Err(error) => vec![unreadable(&error)],
    }
}

/// The devices that somebody is at work on right now, and all that is below them; `None` if somebody is at work on who
/// knows which.
fn at_work(journals: &[JournalFile], diagnosis: &Diagnosis) -> Option<BTreeSet<PciAddress>> {
    let mut devices = order::set(diagnosis.tasks.iter().map(|finding| finding.device).collect::<Option<Vec<_>>>()?);
    // An operation of pcictl is between two writes most of the time.
    let running = journals.iter().filter(|found| found.busy).filter_map(|found| found.record.as_ref().ok());
    devices.extend(running.flat_map(|record| record.header.functions.keys().copied()));
    Some(devices)
}
