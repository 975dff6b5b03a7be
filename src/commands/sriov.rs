//! `pcictl sriov`: show VFs; or lock, check their users, change their number, give them to drivers, verify.

use crate::cli::change::SriovArgs;
use crate::error::{ExitStatus, Result};
use crate::operation::change::{self, Changed, InPlaceTarget};
use crate::operation::context::Context;
use crate::operation::run::Operation;
use crate::operation::sriov;
use crate::operation::vf_drivers::ProbeLimits;
use crate::pci::selector::Selector;
use crate::plan::sriov::VfRequest;
use crate::report::text;
use crate::resolve::functions::parse_exact_selectors;

pub(crate) fn run(context: &Context, args: &SriovArgs) -> Result<ExitStatus> {
    let request = args.request();
    if request == VfRequest::default() {
        let selector: Selector = args.selector.parse()?;
        let physical = sriov::physical_function(context, &selector)?;
        context.output.report(&sriov::look(context, physical)?, text::sriov::physical);
        return Ok(ExitStatus::Done);
    }
    let selectors = parse_exact_selectors(std::slice::from_ref(&args.selector))?;
    let options = &args.options();
    let limits = ProbeLimits { jobs: options.jobs, settle: args.settle };
    let read = || match selectors.first() {
        Some(selector) => sriov::read(context, selector, options, &request),
        None => InPlaceTarget::read(context, &[], options, "", |_, _| Ok(Default::default())),
    };
    let report = |operation: Option<&mut Operation>, subject: &InPlaceTarget, changed: Changed| match operation {
        Some(operation) => sriov::finish(context, operation, subject, &request, limits, changed),
        None => sriov::report(context, subject, changed),
    };
    let summary = |subject: &InPlaceTarget| sriov::summary(subject, &request);
    change::run_with(context, options, &read, &summary, &report, text::sriov::physical, |_| ExitStatus::Done)
}
