//! `pcictl doctor`: is the kernel's PCI core stuck, by whom, what helps, and what was left behind.

use std::collections::BTreeSet;

use crate::doctor::diagnosis::Diagnosis;
use crate::doctor::leftovers::{Leftover, in_tree};
use crate::doctor::snapshot;
use crate::doctor::task::Snapshot;
use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::operation::context::Context;
use crate::operation::{interrupted, removal_record};
use crate::order;
use crate::pci::address::PciAddress;
use crate::report::status::{DoctorReport, Health};
use crate::report::text::status;
use crate::state::journal::store::JournalFile;
use crate::topology::fields::Fields;
use crate::topology::model::Topology;
use crate::usage::protected;

pub(crate) fn run(context: &Context) -> Result<ExitStatus> {
    let taken = snapshot::take(context.machine.procfs());
    if !taken.sees_stacks && !context.machine.sysfs.is_dump() {
        let message = "what tasks are doing in the kernel cannot be read; run it as root";
        return Err(Error::new(ErrorKind::NotPermitted, message));
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
    let verdict = match () {
        () if !diagnosis.stuck.is_empty() => Health::Stuck,
        () if !leftovers.is_empty() => Health::Leftovers,
        () if context.machine.procfs().is_none() => Health::Unknown,
        () if !diagnosis.tasks.is_empty() => Health::Busy,
        () => Health::Healthy,
    };
    DoctorReport { verdict, behind: diagnosis.behind(), diagnosis, leftovers }
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
