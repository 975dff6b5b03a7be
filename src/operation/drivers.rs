//! What came of giving functions to drivers.

use crate::error::{Error, ErrorKind, Result};
use crate::operation::change::{Changed, InPlaceTarget};
use crate::operation::context::Context;
use crate::operation::obstacles::obstacle;
use crate::operation::removal_record;
use crate::pci::address::PciAddress;
use crate::plan::action::Action;
use crate::report::drivers::{DriverChange, DriverReport};

/// What has which driver now, and had before.
pub(crate) fn report(context: &Context, subject: &InPlaceTarget, changed: Changed) -> DriverReport {
    let overrides = removal_record::overrides(context, &subject.addresses);
    let function = |address: &PciAddress| DriverChange {
        address: *address,
        was: subject.driver(*address),
        driver: context.machine.sysfs.driver(&address.sysfs_link()),
        driver_override: overrides.get(address).cloned(),
        persistent: None,
        disabled_vfs: disabled_vfs(subject, *address),
    };
    DriverReport {
        functions: subject.addresses.iter().map(function).collect(),
        changed: !subject.plan.steps.is_empty(),
        overridden: changed.overridden,
        seconds: changed.seconds,
    }
}

fn disabled_vfs(subject: &InPlaceTarget, physical: PciAddress) -> usize {
    let count = subject.plan.steps.iter().filter_map(|step| match step.action {
        Action::SetVfs { address, count: 0, was, .. } if address == physical => Some(was),
        _ => None,
    });
    count.sum()
}

/// A probe may find no driver, and the kernel says that all went well (bus_rescan_devices_helper, drivers/base/bus.c).
///
/// # Errors
/// One of the functions has no driver.
pub(crate) fn verify_bound(context: &Context, report: DriverReport) -> Result<DriverReport> {
    let without: Vec<&DriverChange> = report.functions.iter().filter(|function| function.driver.is_none()).collect();
    let Some(first) = without.first().map(|function| function.address) else { return Ok(report) };
    let names: Vec<String> = without.iter().map(|function| function.address.to_string()).collect();
    let is_whole = without.len() == report.functions.iter().filter(|function| function.was.is_none()).count();
    let kind = if is_whole { ErrorKind::Failed } else { ErrorKind::Partly };
    let rest = if is_whole { "nothing was changed" } else { "the others have their drivers" };
    let error = Error::new(kind, format!("no driver took {}; {rest}", names.join(", "))).about(first);
    Err(match obstacle(context, first) {
        Some(hint) => error.hint(hint),
        None => error,
    })
}
