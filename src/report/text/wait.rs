//! `wait`: what is so now, a line for each function.

use crate::host::text::escaped;
use crate::report::wait::{BoundFunction, WaitReport};

pub(crate) fn met(report: &WaitReport) -> String {
    let mut text = String::new();
    for met in &report.selectors {
        let mut line = |name: &str, what: &str| text.push_str(&format!("{}: {}\n", escaped(name), escaped(what)));
        for function in &met.functions {
            line(&met.label(function.address), &state(report.condition, function));
        }
        if let Some(name) = &met.host_bridge {
            line(name, "there");
        }
        if let Some(address) = met.absent {
            line(&met.label(address), "gone");
        }
        // The reason begins with the selector.
        text.extend(met.why.as_ref().map(|why| format!("{}\n", escaped(why))));
    }
    text
}

fn state(condition: &str, function: &BoundFunction) -> String {
    let driver = function.driver.as_deref();
    match condition {
        "driver" => format!("bound to {}", driver.unwrap_or("none")),
        "ready" => format!("ready ({})", driver.unwrap_or("no driver")),
        _ => "there".to_owned(),
    }
}
