//! How functions may sleep and wake, a line each.

use colored::Colorize;

use crate::host::text::escaped;
use crate::report::power::{FunctionPower, PowerReport};

/// What `power` shows, or has changed.
pub(crate) fn settings(report: &PowerReport) -> String {
    report.functions.iter().map(of_function).collect()
}

fn of_function(function: &FunctionPower) -> String {
    let word = |value: &Option<String>| value.as_ref().map_or("unknown".to_owned(), |text| escaped(text).to_string());
    let switch = |value: Option<bool>, none: &'static str| match value {
        Some(true) => "on",
        Some(false) => "off",
        None => none,
    };
    // The kernel shows the file of what can wake the machine alone (dpm_sysfs_add, drivers/base/power/sysfs.c).
    let no_wakeup = if function.runtime.is_some() { "unsupported" } else { "unknown" };
    let mut text = format!(
        "{}: runtime {} ({}), d3cold {}, wakeup {}, state {}\n",
        function.address.to_string().bold(),
        word(&function.runtime),
        word(&function.runtime_status),
        switch(function.d3cold, "unknown"),
        switch(function.wakeup, no_wakeup),
        word(&function.power_state),
    );
    for setting in &function.not_taken {
        let (file, written) = (escaped(&setting.setting), escaped(&setting.written));
        text.push_str(&format!("  {} {file}: {written} was written, and it says {}\n", "!".red(), word(&setting.says)));
    }
    text
}
