//! `pcictl bind`: lock, give the function to a driver, verify that the driver took it.

use crate::cli::change::BindArgs;
use crate::error::{ExitStatus, Result};
use crate::operation::change::{self, InPlaceTarget};
use crate::operation::context::Context;
use crate::operation::drivers::{self, verify_bound};
use crate::operation::obstacles::refuse_absent_driver;
use crate::plan::drivers::plan_bind;
use crate::report::text;
use crate::resolve::functions::parse_exact_selectors;

pub(crate) fn run(context: &Context, args: &BindArgs) -> Result<ExitStatus> {
    let options = &args.options();
    let selectors = parse_exact_selectors(&args.selectors)?;
    let driver = args.driver.as_deref();
    let read = || {
        driver.map_or(Ok(()), |driver| refuse_absent_driver(context, driver))?;
        InPlaceTarget::read(context, &selectors, options, "binding", |topology, ids| plan_bind(topology, ids, driver))
    };
    let summary = |subject: &InPlaceTarget| {
        let line = |address: &_| match subject.driver(*address) {
            Some(has) => format!("{address}: has {has} already"),
            None => format!("would bind {address} to {}", driver.unwrap_or("the driver that fits")),
        };
        subject.addresses.iter().map(line).collect()
    };
    let report = |subject: &InPlaceTarget, changed| verify_bound(context, drivers::report(context, subject, changed));
    change::run(context, options, &read, &summary, &report, text::drivers::bound)
}
