//! How functions can be reset, and what came of it.

use colored::Colorize;

use crate::host::text::escaped;
use crate::pci::address::listed;
use crate::report::reset::{FunctionReset, ResetListing, ResetReport, ResetWay, ResetWays};
use crate::report::text::change::difference;
use crate::report::text::words::count;
use crate::topology::reset_methods::Reach;

/// What `reset` did, a line a function and what is to be said of it.
pub(crate) fn done(report: &ResetReport) -> String {
    let last = report.functions.len().saturating_sub(1);
    let lines = report.functions.iter().enumerate().map(|(index, function)| {
        let time = if index == last { format!(" in {:.2} s", report.seconds) } else { String::new() };
        format!("{}: {}{time}\n{}", function.address.to_string().bold(), headline(function), details(function))
    });
    lines.collect()
}

fn headline(function: &FunctionReset) -> String {
    let how = function.methods.as_ref().map_or_else(String::new, |methods| format!(" by {}", in_turn(methods)));
    let driver = match &function.driver {
        None => ", no driver".to_owned(),
        Some(driver) if function.driver_kept => format!(", {} kept", escaped(driver)),
        Some(driver) => format!(", {} stopped and back", escaped(driver)),
    };
    let vfs = match function.vfs {
        0 => String::new(),
        vfs => format!(", {}", count(vfs, "VF")),
    };
    format!("reset{how}{driver}{vfs}")
}

/// Methods that are tried until one works, which nobody tells.
pub(crate) fn in_turn(methods: &[String]) -> String {
    let names: Vec<String> = methods.iter().map(|method| escaped(method).to_string()).collect();
    match names.split_first() {
        Some((first, others)) if !others.is_empty() => format!("{first} (failing that: {})", others.join(", ")),
        _ => names.concat(),
    }
}

fn details(function: &FunctionReset) -> String {
    let mut text: String = function.differences.iter().map(difference).collect();
    for errors in &function.errors {
        let what = count(usize::try_from(errors.count).unwrap_or(usize::MAX), &format!("{} error", errors.severity));
        text.push_str(&format!("  {} {}: {what} meanwhile (AER)\n", "~".yellow(), errors.address));
    }
    text
}

/// What `reset --list` prints.
pub(crate) fn ways(listing: &ResetListing) -> String {
    listing.functions.iter().map(of_function).collect()
}

fn of_function(function: &ResetWays) -> String {
    let mut text = format!("{}: ", function.address.to_string().bold());
    match &function.methods {
        _ if !function.can_reset => text.push_str("cannot be reset by itself\n"),
        None => text.push_str("can be reset; how, this kernel does not tell (Linux 5.15 and newer do)\n"),
        Some(methods) if methods.is_empty() => text.push_str("every method is disabled\n"),
        Some(methods) => {
            let names: Vec<String> = methods.iter().map(|way| escaped(&way.method).to_string()).collect();
            text.push_str(&format!("{}\n", names.join(", ")));
            for way in methods {
                text.push_str(&format!("  {:<16} {}\n", escaped(&way.method).to_string(), hits(way, function)));
            }
        }
    }
    if function.can_reset && !function.below.is_empty() {
        let below = listed(&function.below);
        text.push_str(&format!("  each hits what is below it, too: {below}; pcictl replug --reset does that\n"));
    }
    if let Some(bridge) = function.resetting_bridge {
        text.push_str(&format!("  {bridge} above it can reset all below it (reset_subordinate)\n"));
    }
    text
}

fn hits(way: &ResetWay, function: &ResetWays) -> String {
    match way.hits {
        Reach::Function if function.below.is_empty() => "the function alone".to_owned(),
        Reach::Function => "the function, and so all below it".to_owned(),
        Reach::Bus if function.others_on_bus.is_empty() => "its bus, on which nothing else is".to_owned(),
        Reach::Bus => {
            let others = listed(&function.others_on_bus);
            let refused = if way.needs_bus_alone { "; the kernel refuses that beside others" } else { "" };
            format!("its bus, with {others}{refused}")
        }
    }
}
