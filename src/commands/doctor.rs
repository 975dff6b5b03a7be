//! `pcictl doctor`: is the kernel's PCI core stuck, by whom, what helps, and what was left behind.

use std::collections::BTreeSet;

use crate::doctor::diagnosis::{Diagnosis, Finding};
use crate::doctor::leftovers::{Leftover, in_tree};
use crate::doctor::snapshot;
use crate::doctor::stack::long_stopping;
use crate::doctor::task::Snapshot;
use crate::error::{Error, ErrorKind, ExitStatus, Result, rights_hint};
use crate::guard;
use crate::operation::context::Context;
use crate::operation::{interrupted, removal_record};
use crate::order;
use crate::pci::address::PciAddress;
use crate::report::status::{DoctorReport, Health, Unclear};
use crate::report::text::status;
use crate::state::journal::store::JournalFile;
use crate::topology::fields::Fields;
use crate::topology::model::Topology;
use crate::usage::model::UsageReport;
use crate::usage::scope::Scope;
use crate::usage::{find, protected};

pub(crate) fn run(context: &Context) -> Result<ExitStatus> {
    let taken = snapshot::take(context.machine.procfs());
    if !taken.sees_stacks && !context.machine.sysfs.is_dump() {
        let message = "what tasks are doing in the kernel cannot be read";
        return Err(Error::new(ErrorKind::NotPermitted, message).hint(rights_hint()));
    }
    let report = report(context, &taken);
    context.output.report(&report, status::diagnosed);
    Ok(match report.verdict {
        Health::Healthy | Health::Busy => ExitStatus::Done,
        Health::Leftovers | Health::Unknown => ExitStatus::Failed,
        Health::Stuck => ExitStatus::Unfinished,
    })
}

fn report(context: &Context, snapshot: &Snapshot) -> DoctorReport {
    let diagnosis = Diagnosis::of(snapshot);
    let leftovers = leftovers(context, &diagnosis);
    let unclear = unclear(context, &diagnosis);
    let verdict = match () {
        () if !diagnosis.stuck.is_empty() => Health::Stuck,
        () if !unclear.is_empty() => Health::Unknown,
        () if !leftovers.is_empty() => Health::Leftovers,
        () if context.machine.procfs().is_none() => Health::Unknown,
        () if !diagnosis.tasks.is_empty() => Health::Busy,
        () => Health::Healthy,
    };
    DoctorReport { verdict, behind: diagnosis.behind(), diagnosis, unclear, leftovers }
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

fn leftovers(context: &Context, diagnosis: &Diagnosis) -> Vec<Leftover> {
    let journals = context.journals().list();
    let at_work = at_work(journals.as_deref().unwrap_or_default(), diagnosis);
    let is_at_work = |address: PciAddress| at_work.as_ref().is_none_or(|devices| devices.contains(&address));
    let mut found = match Topology::load_all(&context.machine.sysfs, Fields::ALL) {
        Ok(topology) => in_tree(&context.machine.sysfs, &topology, &|id| {
            let upwards = std::iter::successors(Some(id), |id| topology.function_above(*id));
            upwards.map(|id| topology.function(id).address).any(is_at_work)
        }),
        Err(error) => vec![Leftover { address: None, what: error.to_string(), helps: String::new() }],
    };
    match journals {
        Ok(journals) => {
            found.extend(interrupted::operations(context, &journals).iter().filter_map(interrupted::leftover))
        }
        Err(error) => found.push(Leftover { address: None, what: error.to_string(), helps: String::new() }),
    }
    found.extend(protecting_nothing(context));
    found.extend(silent_guard(context));
    let listing = removal_record::listing(context);
    for bad in &listing.bad {
        let helps = "the next command that changes something moves a damaged file out of the way".to_owned();
        found.push(Leftover { address: None, what: bad.to_string(), helps });
    }
    match removal_record::back_and_missing(context, listing.entries) {
        Ok((back, _)) => {
            let addresses = back.iter().map(|entry| entry.record.address);
            found.extend(addresses.filter(|address| !is_at_work(*address)).map(|address| Leftover {
                address: Some(address),
                what: format!("{address}: the ledger says that it is gone, and it is there"),
                helps: format!("pcictl rescan {address} compares it with what it was and crosses it off"),
            }));
        }
        Err(error) => found.push(Leftover { address: None, what: error.to_string(), helps: String::new() }),
    }
    found
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
    match protected::unmatched(&context.machine.sysfs) {
        Ok(entries) => entries
            .into_iter()
            .map(|entry| Leftover {
                address: None,
                what: format!(
                    "{}: protects nothing: no device matches {} ({})",
                    entry.place, entry.selector, entry.reason
                ),
                helps: "correct the line, or remove it if that device is gone for good".to_owned(),
            })
            .collect(),
        Err(error) => vec![Leftover { address: None, what: error.to_string(), helps: String::new() }],
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
