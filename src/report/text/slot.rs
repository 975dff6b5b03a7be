//! Slots: a line each, one in full, and what was done to one.

use colored::Colorize;

use crate::host::text::escaped;
use crate::report::slot::{SlotIdentifyReport, SlotList, SlotOffReport, SlotOnReport, SlotReadings, SlotRow};
use crate::report::text::change;

/// A table; `-` stands for what is not there, `?` for what nobody could tell.
pub(crate) fn list(list: &SlotList) -> String {
    let has_readings = list.slots.iter().any(|slot| slot.readings.is_some());
    let mut rows = vec![headings(has_readings)];
    rows.extend(list.slots.iter().map(cells));
    let columns = rows[0].len();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn headings(has_readings: bool) -> Vec<String> {
    let more: &[&str] = if has_readings { &["POWER", "ADAPTER", "LATCH", "ATTENTION"] } else { &["CONTROLS"] };
    ["SLOT", "ADDRESS", "PORT"].iter().chain(more).chain(&["FUNCTIONS"]).map(|name| (*name).to_owned()).collect()
}

fn cells(slot: &SlotRow) -> Vec<String> {
    /// A card with VFs may have hundreds.
    const SHOWN: usize = 4;
    let or_unknown = |text: Option<String>| text.map_or_else(|| "?".to_owned(), |text| escaped(&text).into_owned());
    let mut cells = vec![
        escaped(&slot.name).into_owned(),
        or_unknown(slot.address.map(|address| address.to_string())),
        or_unknown(slot.port.clone()),
    ];
    match &slot.readings {
        Some(readings) => cells.extend(words(readings)),
        None => cells.push(or_dash(slot.controls.iter().map(|file| file.name()).collect::<Vec<_>>().join(","))),
    }
    let functions = slot.functions.iter().map(|function| match &function.driver {
        Some(driver) => format!("{} ({})", function.address, escaped(driver)),
        None => function.address.to_string(),
    });
    let mut functions: Vec<String> = functions.take(SHOWN).collect();
    if slot.functions.len() > SHOWN {
        functions.push(format!("{} more", slot.functions.len() - SHOWN));
    }
    cells.push(if slot.occupied.is_none() { "?".to_owned() } else { or_dash(functions.join(", ")) });
    cells
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn words(readings: &SlotReadings) -> [String; 4] {
    [readings.power, readings.adapter, readings.latch, readings.attention].map(|word| word.replace('_', " "))
}

/// One slot, a fact a line.
pub(crate) fn show(slot: &SlotRow) -> String {
    let mut text = format!("{}\n", format!("slot {}", escaped(&slot.name)).bold());
    let mut fact = |name: &str, value: &str| text.push_str(&format!("  {name:<12}{}\n", escaped(value)));
    let unknown = || "unknown".to_owned();
    fact("address", &slot.address.map_or_else(unknown, |address| address.to_string()));
    fact("port", slot.port.as_deref().unwrap_or("unknown, its bus is not there"));
    fact("driver", slot.driver.as_deref().unwrap_or("unknown"));
    if let Some(readings) = &slot.readings {
        for (name, word) in ["power", "adapter", "latch", "attention"].into_iter().zip(words(readings)) {
            fact(name, &word);
        }
    }
    let occupied = slot.occupied.map(|occupied| if occupied { "yes" } else { "no" });
    fact("occupied", occupied.unwrap_or("unknown"));
    for function in &slot.functions {
        text.push_str(&format!("    {}\n", change::describe(function)));
    }
    text
}

/// What `slot off` did.
pub(crate) fn switched_off(report: &SlotOffReport) -> String {
    let title = escaped(&report.slot.title()).bold();
    if !report.changed {
        return format!("{title}: is off already\n");
    }
    format!("{title}: switched off\n{}", change::removed(&report.removed))
}

/// What `slot on` did.
pub(crate) fn switched_on(report: &SlotOnReport) -> String {
    let title = escaped(&report.slot.title()).bold();
    match &report.rescanned {
        None => format!("{title}: is on already, with what is in it\n"),
        Some(rescanned) if rescanned.is_quiet() => format!("{title}: {}; nothing appeared\n", power(report)),
        Some(rescanned) => format!("{title}: {}\n{}", power(report), change::rescanned(rescanned)),
    }
}

fn power(report: &SlotOnReport) -> &'static str {
    if report.changed { "switched on" } else { "is on already" }
}

/// What `slot identify` did.
pub(crate) fn identified(report: &SlotIdentifyReport) -> String {
    let title = escaped(&report.slot.title()).bold();
    let indicator = escaped(&report.indicator);
    match (report.on, report.changed, report.seconds) {
        (_, true, Some(seconds)) => format!("{title}: the {indicator} showed it for {seconds:.1} s\n"),
        (true, true, _) => format!("{title}: the {indicator} shows it now\n"),
        (true, false, _) => format!("{title}: the {indicator} shows it already\n"),
        (false, true, _) => format!("{title}: the {indicator} is off now\n"),
        (false, false, _) => format!("{title}: the {indicator} is off already\n"),
    }
}
