//! What unbind, bind and override did, a line a function.

use colored::Colorize;

use crate::host::text::escaped;
use crate::report::drivers::{DriverChange, DriverReport};
use crate::report::text::words::count;

/// What `unbind` did.
pub(crate) fn unbound(report: &DriverReport) -> String {
    lines(report, |function| match &function.was {
        Some(was) => format!("unbound from {}", escaped(was)),
        None => "has no driver, nothing to unbind".to_owned(),
    })
}

/// What `bind` did.
pub(crate) fn bound(report: &DriverReport) -> String {
    lines(report, |function| match (&function.was, &function.driver) {
        (Some(was), _) => format!("has {} already", escaped(was)),
        (None, Some(driver)) => format!("bound to {}", escaped(driver)),
        (None, None) => "has no driver".to_owned(),
    })
}

/// What `override` did.
pub(crate) fn overridden(report: &DriverReport) -> String {
    let name = |driver: &Option<String>| driver.as_ref().map_or("none".into(), |driver| escaped(driver).to_string());
    lines(report, |function| {
        let set = match &function.driver_override {
            Some(driver) => format!("override {}", escaped(driver)),
            None => "no override".to_owned(),
        };
        if function.was == function.driver {
            format!("{set}; driver {}, as before", name(&function.driver))
        } else {
            format!("{set}; driver {} -> {}", name(&function.was), name(&function.driver))
        }
    })
}

fn lines(report: &DriverReport, what: impl Fn(&DriverChange) -> String) -> String {
    let mut text = String::new();
    for function in &report.functions {
        let vfs = match function.disabled_vfs {
            0 => String::new(),
            vfs => format!(", with its {}", count(vfs, "VF")),
        };
        text.push_str(&format!("{}: {}{vfs}\n", function.address.to_string().bold(), what(function)));
    }
    if report.changed {
        // The time of them all stands behind the last one.
        text.pop();
        text.push_str(&format!(" in {:.2} s\n", report.seconds));
    }
    text
}
