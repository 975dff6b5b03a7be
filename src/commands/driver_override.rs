//! `pcictl override`: lock, choose the driver, let the old one go, have the new one take the function, verify; then make it
//! last, if that was asked for.

use crate::cli::change::OverrideArgs;
use crate::error::{Error, ErrorKind, ExitStatus, Result};
use crate::operation::change::{self, Changed, InPlaceTarget};
use crate::operation::context::Context;
use crate::operation::drivers;
use crate::operation::obstacles::refuse_absent_driver;
use crate::pci::address::PciAddress;
use crate::plan::drivers::plan_override;
use crate::report::drivers::DriverReport;
use crate::report::text;
use crate::resolve::functions::parse_exact_selectors;
use crate::state::driverctl::Driverctl;
use crate::verify::overrides::{Overrides, read_overrides};

pub(crate) fn run(context: &Context, args: &OverrideArgs) -> Result<ExitStatus> {
    let options = &args.in_place.options();
    let selectors = parse_exact_selectors(std::slice::from_ref(&args.selector))?;
    let driver = args.driver.as_deref().unwrap_or_default();
    let read = || {
        args.driver.as_deref().map_or(Ok(()), |driver| refuse_absent_driver(context, driver))?;
        InPlaceTarget::read(context, &selectors, options, "changing the driver of", |topology, ids| {
            let addresses: Vec<PciAddress> = ids.iter().map(|id| topology.function(*id).address).collect();
            let overrides = overrides_of(context, &addresses)?;
            plan_override(topology, ids, driver, |address| overrides.get(&address).cloned())
        })
    };
    let summary = |subject: &InPlaceTarget| {
        let line = |address: &_| match (driver, subject.driver(*address)) {
            ("", _) => format!("would clear the driver override of {address}"),
            (driver, Some(has)) if has != driver => {
                format!("would change the driver of {address} from {has} to {driver}")
            }
            (driver, _) => format!("would set the driver override of {address} to {driver}"),
        };
        let mut lines: Vec<String> = subject.addresses.iter().map(line).collect();
        if args.persist {
            lines.extend(
                subject
                    .addresses
                    .iter()
                    .map(|address| Driverctl::of(context.machine.sysfs.files()).planned(*address, driver)),
            );
        }
        lines
    };
    let report = |subject: &InPlaceTarget, changed: Changed| {
        let mut report = drivers::report(context, subject, changed);
        if args.persist {
            persist(context, &mut report, driver)?;
        }
        Ok(report)
    };
    change::run(context, options, &read, &summary, &report, text::drivers::overridden)
}

/// What the overrides say now; not to know it would be not to be able to put it back.
fn overrides_of(context: &Context, addresses: &[PciAddress]) -> Result<Overrides> {
    read_overrides(&context.machine.sysfs, addresses).ok_or_else(|| {
        let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let message = format!("{}: the driver override cannot be read; nothing was changed", names.join(", "));
        let hint = match context.machine.sysfs.is_dump() {
            true => "the dumped tree does not have it",
            false => "a driver that is busy keeps it back: pcictl doctor tells who is at work there",
        };
        Error::new(ErrorKind::Failed, message).hint(hint)
    })
}

/// Writes what driverctl reads. The driver is changed by now, whatever comes of this.
fn persist(context: &Context, report: &mut DriverReport, driver: &str) -> Result<()> {
    let driverctl = Driverctl::of(context.machine.sysfs.files());
    for function in &mut report.functions {
        let written = driverctl.write(function.address, driver);
        let changed = written.map_err(|error| {
            let error = Error::io(driverctl.path(function.address).display(), &error);
            if report.changed { error.partly("the driver itself is changed") } else { error }
        })?;
        report.changed |= changed;
        function.persistent = Some(driver.to_owned()).filter(|driver| !driver.is_empty());
    }
    if !driver.is_empty() && !driverctl.is_installed() {
        context.tell_once("driverctl is not installed, so nothing loads the persistent override at boot".to_owned());
    }
    Ok(())
}
