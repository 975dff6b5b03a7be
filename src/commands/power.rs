//! `pcictl power`: shows how functions may sleep and wake; or lock, set, read back.

use crate::cli::change::PowerArgs;
use crate::error::{ExitStatus, Result};
use crate::operation::change::{self, InPlaceTarget};
use crate::operation::context::Context;
use crate::operation::power;
use crate::operation::run::Operation;
use crate::operation::targets::{TargetOptions, Targets};
use crate::plan::power::PowerSettings;
use crate::report::text;
use crate::report::text::words::describe_action;
use crate::resolve::functions::parse_exact_selectors;

pub(crate) fn run(context: &Context, args: &PowerArgs) -> Result<ExitStatus> {
    let (options, wanted) = (&args.options(), &args.wanted());
    let (sysfs, selectors) = (&context.machine.sysfs, parse_exact_selectors(&args.selectors)?);
    if *wanted == PowerSettings::default() {
        let targets = TargetOptions {
            selection: options.change.selection,
            if_present: false,
            whole_device: true,
            doing: "looking at",
        };
        let targets = Targets::read(context, &selectors, &targets)?;
        context.tell_notes(&targets.notes);
        context.output.report(&power::report(sysfs, &targets.addresses), text::power::settings);
        return Ok(ExitStatus::Done);
    }
    let read = || power::read(context, &selectors, options, wanted);
    let summary = |subject: &InPlaceTarget| {
        let steps = subject.plan.steps.iter().map(|step| format!("would {}", describe_action(&step.action)));
        let so = |address: &_| {
            let is_changed = subject.plan.steps.iter().any(|step| step.action.address() == Some(*address));
            (!is_changed).then(|| format!("{address}: is so already"))
        };
        steps.chain(subject.addresses.iter().filter_map(so)).collect()
    };
    let report = |_: Option<&mut Operation>, subject: &InPlaceTarget, _| Ok(power::report_change(sysfs, subject));
    change::run_with(context, options, &read, &summary, &report, text::power::settings, power::status)
}
