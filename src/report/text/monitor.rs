//! The doctor's report for monitors: a line for plugins, metrics for Prometheus.
//!
//! What was not looked at is left out of the metrics, and `U` in a plugin's performance data: a zero would say that all
//! is well.

use std::fmt::Write as _;

use crate::error::Error;
use crate::host::text::escaped;
use crate::report::status::{DoctorReport, Health};
use crate::report::text::status::{trouble, verdict};

/// Every verdict, with its word in a label.
const STATES: &[(Health, &str)] = &[
    (Health::Healthy, "healthy"),
    (Health::Busy, "busy"),
    (Health::Leftovers, "leftovers"),
    (Health::Unknown, "unknown"),
    (Health::Stuck, "stuck"),
];

/// A number of the report.
struct Metric {
    name: &'static str,
    help: &'static str,
    value: Option<usize>,
    /// The ranges of a plugin: what is worth a warning, what is critical.
    ranges: &'static str,
}

/// `PCICTL OK - text | name=value;warning;critical;least ...`, as the guidelines of monitoring plugins have it.
pub(crate) fn nagios(report: &DoctorReport) -> String {
    let grade = match report.verdict {
        Health::Healthy | Health::Busy => "OK",
        Health::Leftovers => "WARNING",
        Health::Stuck => "CRITICAL",
        Health::Unknown => "UNKNOWN",
    };
    let summary = summary(report);
    // The grade says it already.
    let text = summary.strip_prefix("unknown: ").unwrap_or(&summary);
    let mut line = format!("PCICTL {grade} - {} |", plugin_text(text));
    for Metric { name, value, ranges, .. } in metrics(report) {
        let value = value.map_or_else(|| "U".to_owned(), |value| value.to_string());
        // Writing to a string cannot fail.
        let _ = write!(line, " {name}={value};{ranges};0");
    }
    line + "\n"
}

/// What a plugin says that could not look.
pub(crate) fn nagios_failed(error: &Error) -> String {
    format!("PCICTL UNKNOWN - {}\n", plugin_text(&error.to_string()))
}

/// One line; the detector keeps its first 80 characters unless it is told to keep more, so what matters comes first.
pub(crate) fn npd(report: &DoctorReport) -> String {
    format!("{}\n", escaped(&summary(report)))
}

/// The same if nothing could be found out.
pub(crate) fn npd_failed(error: &Error) -> String {
    format!("unknown: {}\n", escaped(&error.to_string()))
}

/// The text format of Prometheus, version 0.0.4.
pub(crate) fn prometheus(report: &DoctorReport) -> String {
    let mut text = String::new();
    for Metric { name, help, value, .. } in metrics(report) {
        if let Some(value) = value {
            text.push_str(&gauge(name, help));
            text.push_str(&format!("pcictl_{name} {value}\n"));
        }
    }
    text.push_str(&gauge("health", "The verdict of pcictl doctor: 1 for the state that holds."));
    for (state, name) in STATES {
        let value = u8::from(report.verdict == *state);
        text.push_str(&format!("pcictl_health{{state=\"{name}\"}} {value}\n"));
    }
    text
}

fn gauge(name: &str, help: &str) -> String {
    format!("# HELP pcictl_{name} {help}\n# TYPE pcictl_{name} gauge\n")
}

fn metrics(report: &DoctorReport) -> [Metric; 6] {
    // A tree without /proc tells nothing of tasks.
    let seen = |count: usize| report.tasks_checked.then_some(count);
    let metric = |name, help, value, ranges| Metric { name, help, value, ranges };
    [
        metric(
            "stuck",
            "Deadlocks and endless waits in the kernel's PCI core.",
            seen(report.diagnosis.stuck.len()),
            ";0",
        ),
        metric("waiting_tasks", "Tasks that wait behind what is stuck.", seen(report.behind), ";"),
        metric("slow_drivers", "Drivers that have been stopping for long.", seen(report.unclear.len()), ";"),
        metric("leftovers", "Warnings: what was left behind or is set wrongly.", Some(report.leftovers.len()), "0;"),
        metric(
            "interrupted_operations",
            "Operations of pcictl that were interrupted; also counted in pcictl_leftovers.",
            report.interrupted_operations,
            "0;",
        ),
        metric("removed_devices", "Devices that were removed and are not back.", report.removed_devices, ";"),
    ]
}

/// What is the matter, in a line.
fn summary(report: &DoctorReport) -> String {
    let more = |count: usize| if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
    if let Some(stuck) = report.diagnosis.stuck.first() {
        let all = if stuck.blocks_all { "; all PCI hotplug of this machine waits for it" } else { "" };
        return format!("stuck: {}{all}{}", trouble(stuck.trouble), more(report.diagnosis.stuck.len()));
    }
    match (report.verdict, report.leftovers.first()) {
        (Health::Leftovers, Some(first)) => format!("warning: {}{}", first.what, more(report.leftovers.len())),
        (Health::Unknown, _) => format!("unknown: {}", verdict(report)),
        _ => verdict(report).to_owned(),
    }
}

/// A text in which nothing ends the line or begins the performance data.
fn plugin_text(text: &str) -> String {
    escaped(text).replace('|', "/")
}
