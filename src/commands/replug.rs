//! `pcictl replug`: remove, rescan, verify, and the lock is not let go in between.

use super::bring_back::{bring_back, status, tell_failures};
use super::hold::{Reading, hold};
use super::{Context, parse_exact_selectors, remove, rescan};
use crate::claims::Claims;
use crate::cli::ReplugArgs;
use crate::error::{ExitStatus, Result};
use crate::locate::bus_under;
use crate::output;
use crate::place::Place;
use crate::plan::RescanTarget;
use crate::report::{PlannedChange, ReplugReport};
use crate::selector::Selector;

pub fn run(context: &Context, args: &ReplugArgs) -> Result<ExitStatus> {
    let changing = &args.remove.changing;
    context.refuse_in_dump(changing)?;
    let selectors = parse_exact_selectors(&args.remove.selectors)?;
    let read = || Subject::read(context, &selectors, args);

    let subject = read()?;
    context.tell_notes(&subject.away.notes);
    if changing.dry_run {
        context.output.report(&planned(&subject), output::planned);
        return Ok(ExitStatus::Done);
    }
    if subject.away.removal.tops.is_empty() {
        let report = remove::report(context, &subject.away, remove::Took::default());
        context.output.outcome(&report, output::removed);
        return Ok(ExitStatus::Done);
    }
    let (held, subject) = hold(context, changing, read)?;
    let took = remove::take_away(context, &held, &subject.away, &args.remove)?;
    let removed = remove::report(context, &subject.away, took);
    let rescanned = bring_back(context, &held, &subject.back, &args.back)?;
    let status = status(&rescanned);
    tell_failures(context.output, &rescanned.restored);
    context.output.outcome(&ReplugReport { removed, rescanned }, output::replugged);
    Ok(status)
}

/// What is to be removed and where it must come back, as it was read at one moment.
struct Subject {
    away: remove::Subject,
    back: rescan::Subject,
    claims: Claims,
}

impl Subject {
    fn read(context: &Context, selectors: &[Selector], args: &ReplugArgs) -> Result<Self> {
        let away = remove::Subject::read(context, selectors, &args.remove)?;
        let tops = &away.removal.tops;
        let targets: Vec<RescanTarget> =
            tops.iter().map(|top| bus_under(&context.sysfs, *top, &away.removal.gone)).collect::<Result<_>>()?;
        let back = rescan::Subject::new(targets, tops.clone(), Vec::new());
        // Everything that either half needs, taken at once: a lock is never added to those that are held.
        let both = away.claims().tops().iter().chain(back.claims().tops());
        let claims = Claims::changing(both.cloned().collect::<Vec<Place>>());
        Ok(Self { away, back, claims })
    }
}

impl Reading for Subject {
    fn claims(&self) -> &Claims {
        &self.claims
    }

    fn is_same_as(&self, other: &Self) -> bool {
        self.away.is_same_as(&other.away) && self.back.is_same_as(&other.back) && self.claims == other.claims
    }
}

fn planned(subject: &Subject) -> PlannedChange {
    let (mut plan, back) = (remove::planned(&subject.away), rescan::planned(&subject.back));
    plan.locks = subject.claims.in_order().to_vec();
    let before = plan.steps.len();
    plan.steps.extend(back.steps.into_iter().map(|mut step| {
        step.after = (0..before).collect();
        step
    }));
    if before > 0 {
        plan.summary.extend(back.summary);
    }
    plan
}
