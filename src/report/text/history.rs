//! What was done to which device, when and by whom.

use colored::Colorize;

use crate::error::ExitStatus;
use crate::host::clock::{local, parse_rfc3339};
use crate::host::text::escaped;
use crate::report::history::{HistoryReport, PastEnd, PastOperation};
use crate::state::audit::AuditedDevice;

/// More devices nobody reads.
const SHOWN: usize = 8;

/// A few lines for each operation.
pub(crate) fn history(report: &HistoryReport) -> String {
    report.operations.iter().map(operation).collect::<Vec<_>>().join("\n")
}

fn operation(operation: &PastOperation) -> String {
    let began = parse_rfc3339(&operation.began_at).map_or_else(|| operation.began_at.clone(), local);
    let who = operation.invoker.in_words();
    let mut text = format!("{}  {}  {}\n", escaped(&began).bold(), end(operation.end.as_ref()), escaped(&who));
    text.push_str(&format!("  {}\n", escaped(&operation.command)));
    for device in operation.devices.iter().take(SHOWN) {
        text.push_str(&format!("  {}\n", describe(device)));
    }
    let more = operation.devices.len().saturating_sub(SHOWN) + operation.more_devices;
    if more > 0 {
        text.push_str(&format!("  and {more} more\n"));
    }
    match &operation.end {
        Some(PastEnd { error: Some(error), .. }) => text.push_str(&format!("  {} {}\n", "!".red(), escaped(error))),
        Some(_) => {}
        None => text.push_str(&format!("  pcictl status tells how far {} got\n", escaped(&operation.id))),
    }
    text
}

fn end(end: Option<&PastEnd>) -> String {
    let Some(end) = end else { return "no end recorded".yellow().to_string() };
    let how = match (end.changed, end.exit_code) {
        (None, code) => format!("command ended with {code}"),
        (Some(_), code) => ExitStatus::outcome_of(code).map_or_else(|| format!("status {code}"), str::to_owned),
    };
    let how = if end.exit_code == 0 { how } else { how.red().to_string() };
    format!("{how} after {:.1} s", end.seconds)
}

/// `0000:03:00.0  NVMe SSD Controller PM9A3 (nvme, slot 4, serial S123, nvme0n1)`
fn describe(device: &AuditedDevice) -> String {
    let mut parts: Vec<String> = device.driver.iter().map(|driver| escaped(driver).into_owned()).collect();
    parts.extend(device.slot.iter().map(|slot| format!("slot {}", escaped(slot))));
    parts.extend(device.serial.iter().map(|serial| format!("serial {}", escaped(serial))));
    parts.extend(device.names.iter().map(|name| escaped(name).into_owned()));
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    let name = device.name.as_ref().or(device.ids.as_ref()).map_or_else(|| "unknown".into(), |name| escaped(name));
    format!("{}  {name}{parts}", device.address)
}
