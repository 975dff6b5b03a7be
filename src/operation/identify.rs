//! Has a light show where a slot is: its attention indicator, or the locate light of what is in it or of its port.
//!
//! The locks are held shared, and only around the writes: a light may blink for hours, and those who look for it want to work
//! on the slot. Meanwhile the journal says that something is to be put back, so a kill is recovered from.

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::execute::outcome::Outcomes;
use crate::execute::signals::Signals;
use crate::host::sysfs::last_step;
use crate::lock::claims::Claims;
use crate::operation::acquire::{LockTarget, acquire_and_reread};
use crate::operation::context::Context;
use crate::operation::failure::StepFailure;
use crate::operation::options::ChangeOptions;
use crate::operation::run::Operation;
use crate::operation::slot::SlotTarget;
use crate::pci::address::PciAddress;
use crate::plan::action::{Attention, Plan, Step};
use crate::plan::slot::{Indicator, plan_identify};
use crate::report::change::PlannedChange;
use crate::report::slot::SlotIdentifyReport;
use crate::topology::slots::SlotFile;

/// What is asked of the light.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdentifyOptions {
    /// What every operation takes.
    pub(crate) change: ChangeOptions,
    /// To show the slot, not to stop that.
    pub(crate) on: bool,
    /// For how long; none until it is stopped.
    pub(crate) length: Option<Duration>,
}

/// The last domain that can be a segment of ACPI. VMD numbers its own from there on (drivers/pci/controller/vmd.c).
const LAST_SEGMENT: u32 = 0xffff;

/// A slot and its light, as they were read at one moment.
pub(crate) struct IdentifyTarget {
    pub(crate) slot: SlotTarget,
    pub(crate) indicator: Indicator,
    pub(crate) plan: Plan,
}

impl IdentifyTarget {
    /// Finds the slot and its light, and plans.
    ///
    /// # Errors
    /// There is no such slot, or it has no light.
    pub(crate) fn read(context: &Context, text: &str, options: &IdentifyOptions) -> Result<Self> {
        let slot = SlotTarget::read(context, text)?;
        let indicator = locate_light(context, &slot).or_else(|| attention(context, &slot));
        let indicator = indicator.ok_or_else(|| {
            let message = format!("{}: has no attention indicator or locate light that can be set", slot.slot.title());
            let error = Error::new(ErrorKind::Unsupported, message).fact("slot", &*slot.slot.name);
            error.hint("ledctl locate=DISK knows more kinds of enclosures, those of VMD and SES among them")
        })?;
        let plan = plan_identify(&slot.port(), &indicator, options.on, options.length.is_some());
        Ok(Self { slot, indicator, plan })
    }

    /// As reports name the light.
    fn indicator(&self) -> String {
        match &self.indicator {
            Indicator::Attention(_) => "attention indicator".to_owned(),
            Indicator::Locate { file, .. } => format!("light {}", file.split('/').nth(1).unwrap_or_default()),
        }
    }

    /// What a dry run prints.
    pub(crate) fn planned(&self, options: &IdentifyOptions) -> PlannedChange {
        let (title, indicator) = (self.slot.slot.title(), self.indicator());
        let line = match (self.plan.steps.is_empty(), options.on, options.length) {
            (true, true, _) => format!("{title}: the {indicator} shows it already"),
            (true, false, _) => format!("{title}: the {indicator} is off already"),
            (false, true, None) => format!("{title}: the {indicator} would show it"),
            (false, true, Some(length)) => {
                let seconds = length.as_secs_f64();
                format!("{title}: the {indicator} would show it for {seconds} s, while no lock is held")
            }
            (false, false, _) => format!("{title}: the {indicator} would be switched off"),
        };
        PlannedChange {
            summary: vec![line],
            locks: self.claims().in_order().to_vec(),
            steps: self.plan.steps.clone(),
            ..PlannedChange::default()
        }
    }

    /// What came of it.
    pub(crate) fn report(&self, options: &IdentifyOptions, seconds: Option<f64>) -> SlotIdentifyReport {
        let changed = !self.plan.steps.is_empty();
        let was_on = self.indicator.is_on();
        let on = if seconds.is_some() { was_on } else { options.on };
        SlotIdentifyReport { slot: self.slot.name(), indicator: self.indicator(), on, changed, seconds }
    }
}

impl LockTarget for IdentifyTarget {
    fn claims(&self) -> &Claims {
        &self.plan.claims
    }

    fn same_devices(&self, other: &Self) -> bool {
        self.slot == other.slot && self.plan == other.plan
    }
}

/// The locate light that the kernel has for what is in the slot, or for its port (drivers/pci/npem.c, Linux 6.13 and newer).
fn locate_light(context: &Context, slot: &SlotTarget) -> Option<Indicator> {
    let sysfs = &context.machine.sysfs;
    let port = PciAddress::from_sysfs_name(last_step(&slot.bus.bridge));
    let light = |address: PciAddress| {
        let file = format!("leds/{address}:enclosure:locate/brightness");
        let was = sysfs.value(&format!("{}/{file}", address.sysfs_link())).filter(|text| !text.is_empty())?;
        Some(Indicator::Locate { address, file, was })
    };
    slot.functions.iter().copied().chain(port).find_map(light)
}

/// The slot's own indicator. Below VMD the file takes the raw bits of the port's register (pciehp_set_raw_indicator_status), which
/// mean what the maker of the enclosure says.
fn attention(context: &Context, slot: &SlotTarget) -> Option<Indicator> {
    let is_raw = slot.slot.address.is_some_and(|address| address.bus().domain > LAST_SEGMENT);
    let text = slot.slot.value(&context.machine.sysfs, SlotFile::Attention).filter(|_| !is_raw)?;
    Attention::parse(&text).map(Indicator::Attention)
}

/// From the locks to the report. `read` finds the slot and its light.
///
/// # Errors
/// Somebody else has a lock for too long, the kernel refuses, or what it showed cannot be put back.
pub(crate) fn identify(
    context: &Context,
    options: &IdentifyOptions,
    subject: IdentifyTarget,
    read: &dyn Fn() -> Result<IdentifyTarget>,
) -> Result<SlotIdentifyReport> {
    let (held, subject) = acquire_and_reread(context, &options.change, subject, read)?;
    let steps = &subject.plan.steps;
    let Some(first) = steps.first() else { return Ok(subject.report(options, None)) };
    let mut operation = Operation::begin(context, held, steps, options.change.timeout)?;
    let set = set(&mut operation, first);
    let Some(length) = options.length.filter(|_| set.is_ok()) else {
        operation.end(&set);
        return set.map(|()| subject.report(options, None));
    };
    show_for(context, options, operation, &subject, length)
}

/// Makes the one write.
fn set(operation: &mut Operation, step: &Step) -> Result<()> {
    let steps = [Step { after: Vec::new(), ..step.clone() }];
    let outcomes = operation.run(&steps, 1)?;
    match StepFailure::first(&steps, &outcomes).filter(|_| !outcomes.is_complete()) {
        None => Ok(()),
        // Whether a writer that was killed had made its write nobody knows, so it is taken back.
        Some(why) => Err(operation.roll_back(&steps, 0, &outcomes, why, "")),
    }
}

/// Waits, holding no lock, and puts back what the light showed.
fn show_for(
    context: &Context,
    options: &IdentifyOptions,
    mut operation: Operation,
    subject: &IdentifyTarget,
    length: Duration,
) -> Result<SlotIdentifyReport> {
    let begun = Instant::now();
    let steps = &subject.plan.steps;
    let mut is_interrupted = operation.is_interrupted();
    let journal = operation.pause()?;
    context.output.detail(&format!("{}: shown for {} s", subject.slot.slot.title(), length.as_secs_f64()));
    if !is_interrupted && !length.is_zero() {
        let signals = Signals::listen().map_err(|error| Error::io("signals", &error))?;
        is_interrupted = signals.wait(length);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let claims = || Shared(subject.plan.claims.clone());
    let recover = |error: Error| error.partly("the light is not put back").hint("pcictl recover puts it back");
    let (held, _) = acquire_and_reread(context, &options.change, claims(), || Ok(claims())).map_err(recover)?;
    let mut operation = Operation::resume(context, held, journal, steps.len(), options.change.timeout)?;
    let done = Outcomes::done_where(std::iter::once(true));
    let put_back = operation.put_back(&steps[..1], 0, &done.to_put_back(&context.machine.sysfs, &steps[..1]));
    let result = put_back.and_then(|()| match is_interrupted {
        true => {
            Err(Error::new(ErrorKind::Interrupted, format!("interrupted after {seconds:.1} s; the light is put back")))
        }
        false => Ok(subject.report(options, Some(seconds))),
    });
    operation.end(&result);
    result
}

/// The same nodes once more.
struct Shared(Claims);

impl LockTarget for Shared {
    fn claims(&self) -> &Claims {
        &self.0
    }

    fn same_devices(&self, _other: &Self) -> bool {
        true
    }
}
