//! `pcictl history`: what was done to which device, when and by whom.

use std::collections::BTreeSet;
use std::time::SystemTime;

use crate::cli::history::HistoryArgs;
use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::host::clock::parse_rfc3339;
use crate::operation::context::Context;
use crate::order;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::pci::selector::Selector;
use crate::report::history::{HistoryReport, PastOperation};
use crate::report::text;
use crate::resolve::functions::{Resolved, Resolver, parse_selectors};
use crate::state::audit::{AuditRecord, AuditedDevice, Records};
use crate::topology::fields::Fields;
use crate::topology::model::Topology;

pub(crate) fn run(context: &Context, args: &HistoryArgs) -> Result<ExitStatus> {
    let selectors = parse_selectors(&args.selectors)?;
    let file = context.audit_file();
    let Records { records, unreadable } = file.read().map_err(|error| Error::io(file.path().display(), &error))?;
    let mut operations = paired(records);
    if !selectors.is_empty() {
        operations = of_devices(context, &selectors, operations)?;
    }
    operations.retain(|operation| is_within(&operation.began_at, args.since, args.until));
    if let Some(last) = args.last {
        operations.drain(..operations.len().saturating_sub(last));
    }
    if unreadable > 0 {
        context.output.say(&format!("{}: {unreadable} records cannot be read", file.path().display()));
    }
    if operations.is_empty() {
        context.output.say("no operation is recorded that this asks for");
    }
    let report = HistoryReport { operations, unreadable_records: unreadable };
    context.output.report(&report, text::history::history);
    Ok(ExitStatus::Done)
}

/// Each begin with its end. An operation that was recovered has a begin and an end for that, too.
fn paired(records: Vec<AuditRecord>) -> Vec<PastOperation> {
    let mut operations: Vec<PastOperation> = Vec::new();
    for record in records {
        match record {
            AuditRecord::Begin(record) => operations.push(PastOperation::begun(*record)),
            AuditRecord::End(record) => {
                let is_open =
                    |operation: &&mut PastOperation| operation.id == record.operation_id && operation.end.is_none();
                if let Some(operation) = operations.iter_mut().rev().find(is_open) {
                    operation.end = Some(record.into());
                }
            }
        }
    }
    operations
}

fn is_within(began: &str, since: Option<SystemTime>, until: Option<SystemTime>) -> bool {
    // What has no time that can be read is left out of no answer.
    let Some(began) = parse_rfc3339(began) else { return true };
    since.is_none_or(|since| began >= since) && until.is_none_or(|until| began < until)
}

/// The operations on what these selectors name: now, or when they were recorded.
fn of_devices(context: &Context, selectors: &[Selector], all: Vec<PastOperation>) -> Result<Vec<PastOperation>> {
    let mut subjects = Vec::new();
    for selector in selectors {
        let subject = Subject::read(context, selector);
        let is_recorded = || all.iter().any(|operation| is_named(operation, &selector.text));
        subjects.push(match subject {
            Ok(subject) => subject,
            Err(error) if error.kind() == ErrorKind::NoSuchDevice && is_recorded() => Subject::named(&selector.text),
            Err(error) => return Err(error),
        });
    }
    Ok(all.into_iter().filter(|operation| subjects.iter().any(|subject| subject.has_part_in(operation))).collect())
}

/// What is asked about.
struct Subject {
    addresses: BTreeSet<PciAddress>,
    places: Vec<Place>,
    /// What it was called, if it is not there.
    name: Option<String>,
}

impl Subject {
    fn named(name: &str) -> Self {
        Self { addresses: BTreeSet::new(), places: Vec::new(), name: Some(name.to_owned()) }
    }

    fn read(context: &Context, selector: &Selector) -> Result<Self> {
        let mut resolver = Resolver::new(&context.machine.sysfs);
        let addresses = match resolver.named(selector)? {
            Resolved::Functions(addresses) => addresses,
            Resolved::Absent(address) => vec![address],
            Resolved::HostBridge(path) => {
                let topology = Topology::load_below(&context.machine.sysfs, &path)?;
                topology.by_address().into_iter().map(|id| topology.function(id).address).collect()
            }
        };
        context.tell_notes(&resolver.notes);
        let topology = Topology::load_around(&context.machine.sysfs, &addresses, Fields::PLAN)?;
        let places =
            addresses.iter().filter_map(|address| topology.find(*address)).map(|id| topology.place(id)).collect();
        Ok(Self { addresses: order::set(addresses), places, name: None })
    }

    /// An operation on what is above it, or on the bus that it is on, was one on it.
    fn has_part_in(&self, operation: &PastOperation) -> bool {
        let is_meant = |device: &AuditedDevice| self.addresses.contains(&device.address);
        operation.devices.iter().any(is_meant)
            || self.places.iter().any(|place| operation.places.iter().any(|top| place.is_at_or_below(top)))
            || self.name.as_ref().is_some_and(|name| is_named(operation, name))
    }
}

/// Whether a device was called so at that time.
fn is_named(operation: &PastOperation, name: &str) -> bool {
    let name = name.rsplit(['/', ':']).next().unwrap_or(name);
    let is_called = |device: &AuditedDevice| {
        let known = device.names.iter().chain(&device.serial).chain(&device.slot);
        known.into_iter().any(|known| known == name)
    };
    operation.devices.iter().any(is_called)
}
