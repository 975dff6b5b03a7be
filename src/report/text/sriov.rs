//! A physical function and its VFs, a line each.

use colored::Colorize;

use crate::host::text::escaped;
use crate::report::sriov::{SriovChange, SriovReport, VirtualFunction};
use crate::report::text::users::short;
use crate::report::text::words::count;

/// What `sriov` shows, and what it did.
pub(crate) fn physical(report: &SriovReport) -> String {
    match &report.change {
        None => shown(report),
        Some(change) => changed(report, change),
    }
}

fn shown(report: &SriovReport) -> String {
    let total = report.total_vfs.map_or_else(|| "unknown".to_owned(), |total| total.to_string());
    let driver = report.driver.as_deref().unwrap_or("none");
    let mut text = format!(
        "{}: {} of {total} VFs, driver {}, autoprobe {}\n",
        report.address.to_string().bold(),
        report.vfs,
        escaped(driver),
        autoprobe(report.autoprobe)
    );
    if !report.virtual_functions.is_empty() {
        text.push_str(&table(report));
    }
    for why in &report.unchecked {
        text.push_str(&format!("unchecked   {}\n", escaped(why)));
    }
    for note in &report.notes {
        text.push_str(&format!("note        {}\n", escaped(note)));
    }
    text
}

fn autoprobe(on: Option<bool>) -> &'static str {
    match on {
        Some(true) => "on",
        Some(false) => "off",
        None => "unknown",
    }
}

const HEADINGS: [&str; 6] = ["VF", "ADDRESS", "DRIVER", "OVERRIDE", "MAC", "IN-USE"];

fn table(report: &SriovReport) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(report.virtual_functions.iter().map(cells));
    let mut widths = [0; HEADINGS.len()];
    for row in &rows {
        for (cell, widest) in row.iter().zip(&mut widths) {
            *widest = cell.chars().count().max(*widest);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = " ".to_owned();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!(" {cell:<width$} "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `-` stands for what is not there, `?` for what cannot be told.
fn cells(vf: &VirtualFunction) -> [String; HEADINGS.len()] {
    let told = |text: Option<Option<&str>>| match text {
        None => "?".to_owned(),
        Some(text) => escaped(text.filter(|text| !text.is_empty()).unwrap_or("-")).into_owned(),
    };
    let users = vf.users.as_ref().map(|users| short(users));
    [
        vf.index.map_or_else(|| "?".to_owned(), |index| index.to_string()),
        vf.address.to_string(),
        told(Some(vf.driver.as_deref())),
        told(vf.driver_override.as_ref().map(Option::as_deref)),
        told(vf.mac.as_ref().map(Option::as_deref)),
        told(users.as_deref().map(Some)),
    ]
}

fn changed(report: &SriovReport, change: &SriovChange) -> String {
    let address = report.address.to_string().bold();
    if !change.changed {
        return format!("{address}: has {} already, nothing to do\n", count(report.vfs, "VF"));
    }
    let mut parts = vec![count(report.vfs, "VF")];
    if change.was_vfs != report.vfs {
        parts[0].push_str(&format!(" (was {})", change.was_vfs));
    }
    if change.was_autoprobe != report.autoprobe {
        parts.push(format!("autoprobe {}", autoprobe(report.autoprobe)));
    }
    let mut text = format!("{address}: {} in {:.2} s\n", parts.join(", "), change.seconds);
    for vf in &report.virtual_functions {
        let driver = vf.driver.as_ref().map_or("no driver".into(), |driver| escaped(driver).to_string());
        // All zeros of those to which nobody has given one.
        let given = vf.mac.iter().flatten().find(|mac| mac.bytes().any(|digit| digit != b'0' && digit != b':'));
        let mac = given.map_or(String::new(), |mac| format!(", MAC {mac}"));
        text.push_str(&format!("  {} {} ({driver}{mac})\n", "+".green(), vf.address));
    }
    text
}
