//! Plans, and the reports of what was done.

use std::collections::BTreeSet;

use colored::Colorize;

use crate::host::text::escaped;
use crate::order;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::report::change::{FunctionSummary, PlannedChange, PlannedLock, RemoveReport, ReplugReport, RescanReport};
use crate::report::text::words::{LocksShown, count, describe_action, locks, mode, steps};
use crate::verify::compare::{Difference, DifferenceKind};

/// What `--dry-run` prints: what it is about, the locks, the steps.
pub(crate) fn planned(plan: &PlannedChange, shown: LocksShown<'_>) -> String {
    let mut text = String::new();
    for line in &plan.summary {
        text.push_str(&format!("{}\n", escaped(line)));
    }
    if let Some(users) = &plan.users {
        text.push_str(&crate::report::text::users::listed(users, ""));
    }
    if !plan.needs_force.is_empty() {
        text.push_str(&format!("would be refused: {}\n", crate::report::text::users::needed(&plan.needs_force)));
    }
    if plan.steps.is_empty() {
        return text;
    }
    text.push_str(&locks(&plan.locks, shown));
    text.push_str("steps:\n");
    text.push_str(&steps(&plan.steps));
    text
}

/// What `lock --dry-run` prints.
pub(crate) fn planned_lock(plan: &PlannedLock, shown: LocksShown<'_>) -> String {
    let mut text = String::new();
    for target in &plan.targets {
        let place = shown.name(&target.place);
        // A place by its own name needs no reason.
        let why = if target.why == format!("{place} sits there") { String::new() } else { format!(": {}", target.why) };
        text.push_str(&format!("would lock {place} ({}){}\n", mode(plan.mode), escaped(&why)));
    }
    text + &locks(&plan.locks, shown) + &format!("run    {}\n", escaped(&plan.command.join(" ")))
}

/// What `remove` did.
pub(crate) fn removed(report: &RemoveReport) -> String {
    let mut text = String::new();
    for absent in &report.absent {
        text.push_str(&format!("{}: absent, nothing to remove\n", escaped(absent)));
    }
    if report.targets.is_empty() {
        return text;
    }
    let targets: Vec<String> = report.targets.iter().map(ToString::to_string).collect();
    text.push_str(&format!(
        "{}: removed {} in {:.2} s (drivers stopped in {:.2} s, removed in {:.2} s)\n",
        targets.join(", ").bold(),
        count(report.removed.len(), "function"),
        report.stop_seconds + report.remove_seconds,
        report.stop_seconds,
        report.remove_seconds
    ));
    for seen in &report.removed {
        text.push_str(&format!("  {} {}\n", "-".red(), describe(seen)));
    }
    text
}

/// What `rescan` found; empty where nothing appeared, vanished or changed.
pub fn rescanned(report: &RescanReport) -> String {
    if report.is_quiet() {
        return String::new();
    }
    let mut text = headline(report);
    for seen in &report.appeared {
        text.push_str(&format!("  {} {}\n", "+".green(), describe(seen)));
    }
    for seen in &report.vanished {
        text.push_str(&format!("  {} {}\n", "-".red(), describe(seen)));
    }
    let appeared = |address: &&PciAddress| report.appeared.iter().any(|seen| seen.address == **address);
    for address in report.back.iter().filter(|address| !appeared(address)) {
        text.push_str(&format!("  = {address} was back already, and is as it was\n"));
    }
    for restored in report.restored.iter().filter(|restored| restored.failure.is_none()) {
        text.push_str(&format!("  = put back: {}\n", describe_action(&restored.action)));
    }
    for finding in reported(&report.differences) {
        text.push_str(&difference(finding));
    }
    text
}

fn headline(report: &RescanReport) -> String {
    let buses: Vec<String> = report
        .scanned
        .iter()
        .map(|scanned| scanned.bus.map_or("every bus".into(), |bus| format!("bus {bus}")))
        .collect();
    let differ: BTreeSet<Option<PciAddress>> =
        order::set(report.differences.iter().filter(|finding| finding.matters).map(|finding| finding.address));
    let mut words = vec![format!("{} appeared", report.appeared.len())];
    if !report.vanished.is_empty() {
        words.push(format!("{} vanished", report.vanished.len()));
    }
    if !report.back.is_empty() {
        words.push(format!("{} as before", report.back.len()));
    }
    if !differ.is_empty() {
        words.push(format!("{} not as expected", differ.len()));
    }
    let seconds = report.scan_seconds + report.settle_seconds;
    format!("{}: {} in {seconds:.2} s\n", buses.join(", ").bold(), words.join(", "))
}

/// The differences to print: new functions are listed already, and whatever is below a missing bridge is missing, too.
fn reported(findings: &[Difference]) -> impl Iterator<Item = &Difference> {
    let missing: Vec<&Place> =
        findings.iter().filter(|f| f.kind == DifferenceKind::Missing).filter_map(|f| f.place.as_ref()).collect();
    let implied = move |finding: &&Difference| {
        let above = finding.place.as_ref().and_then(Place::parent);
        finding.kind == DifferenceKind::Missing
            && above.is_some_and(|above| missing.iter().any(|place| above.is_at_or_below(place)))
    };
    findings.iter().filter(move |finding| finding.kind != DifferenceKind::New && !implied(finding))
}

/// One difference, a line of its own.
pub(crate) fn difference(finding: &Difference) -> String {
    let sign = if finding.matters { "!".red() } else { "~".yellow() };
    let at = finding.address.map_or_else(String::new, |address| address.to_string());
    let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let why = finding.why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    let change = match finding.kind {
        DifferenceKind::Missing => {
            let was = finding.old.as_ref().map_or_else(String::new, |ids| format!(" {ids}"));
            format!("{at}{was}: {}", finding.what)
        }
        DifferenceKind::Expected => finding.what.clone(),
        _ if finding.old.is_none() && finding.new.is_none() => format!("{at} {}: none", finding.what),
        _ => format!("{at} {}: {} -> {}", finding.what, word(&finding.old), word(&finding.new)),
    };
    format!("  {sign} {}{}\n", escaped(&change), escaped(&why))
}

/// What `replug` did: both halves.
pub(crate) fn replugged(report: &ReplugReport) -> String {
    let escalations: String =
        report.escalations.iter().map(|what| format!("  > still missing, tried: {}\n", escaped(what))).collect();
    removed(&report.removed) + &escalations + &rescanned(&report.rescanned)
}

/// A function in a line.
pub(crate) fn describe(seen: &FunctionSummary) -> String {
    let mut line = seen.address.to_string();
    if let Some(name) = &seen.name {
        line.push_str(&format!(" {}", escaped(name)));
    }
    match &seen.driver {
        Some(driver) => line.push_str(&format!(" ({})", escaped(driver))),
        None => line.push_str(" (no driver)"),
    }
    line
}
