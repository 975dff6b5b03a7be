//! What pcictl.conf sets: defaults of options, so that the command line wins and everything behind it knows only options.

use clap::{Arg, Command};

use crate::cli::values::{parse_duration, parse_jobs, parse_time_limit};
use crate::error::{Error, ErrorKind, Result};

/// The file's name, in each layer.
pub(crate) const FILE: &str = "pcictl.conf";

/// Commands that have an option of the same name for something else.
const OTHERS: &[&str] = &["wait", "guard"];

/// Why a value is not valid.
type Check = fn(&str) -> Result<(), String>;

/// What can be set, each an option of that name, with what its values must be.
const KNOWN: &[(&str, Check)] = &[
    ("wait", |text| parse_duration(text).map(|_| ())),
    ("timeout", |text| parse_time_limit(text).map(|_| ())),
    ("settle", |text| parse_duration(text).map(|_| ())),
    ("jobs", |text| parse_jobs(text).map(|_| ())),
];

/// A default that a site has chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    name: &'static str,
    value: String,
}

/// Reads lines of `name = value`; `#` begins a comment line.
///
/// # Errors
/// A line is none, or its name or value is not known. The message has file and line.
pub(crate) fn parse(place: &str, text: &str) -> Result<Vec<Setting>> {
    let mut found: Vec<Setting> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let setting = parse_line(line).map_err(|why| invalid(&format!("{place}:{}", index + 1), &why))?;
        // The last one counts, as where an option is given twice.
        found.retain(|other| other.name != setting.name);
        found.push(setting);
    }
    Ok(found)
}

fn parse_line(line: &str) -> Result<Setting, String> {
    let (name, value) = line.split_once('=').ok_or_else(|| format!("{line:?} is not NAME = VALUE"))?;
    let (name, value) = (name.trim(), value.trim());
    let Some((name, check)) = KNOWN.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = KNOWN.iter().map(|(name, _)| *name).collect();
        return Err(format!("{name:?} is not a setting; the settings are {}", known.join(", ")));
    };
    check(value).map_err(|why| format!("{name}: {value:?} is not valid: {why}"))?;
    Ok(Setting { name, value: value.to_owned() })
}

/// The error for a line that cannot be used.
fn invalid(place: &str, why: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("{place}: {why}"))
        .hint("correct the file; what the command line says wins over it, but does not mend it")
        .fact("configuration", place)
}

/// The definition of the command line, which was built, with other defaults.
pub(crate) fn apply(command: Command, settings: &'static [Setting]) -> Command {
    let changed = |arg: Arg| match settings.iter().find(|setting| arg.get_id() == setting.name) {
        Some(setting) => arg.default_value(setting.value.as_str()),
        None => arg,
    };
    let is_other = OTHERS.contains(&command.get_name());
    let command = if is_other { command } else { command.mut_args(changed) };
    command.mut_subcommands(|command| apply(command, settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_sets_a_default_and_the_last_one_counts() {
        let found = parse("a", "# ours\n\nwait = 5m\n timeout=90s\njobs = 1\nwait = 1h\n").unwrap();
        let read: Vec<_> = found.iter().map(|setting| (setting.name, setting.value.as_str())).collect();
        assert_eq!(read, [("timeout", "90s"), ("jobs", "1"), ("wait", "1h")]);
    }

    #[test]
    fn what_is_no_setting_is_an_error_with_its_line() {
        for (text, what) in [
            ("wait 5", "a:1: \"wait 5\" is not NAME = VALUE"),
            ("\nwiat = 5", "a:2: \"wiat\" is not a setting; the settings are wait, timeout, settle, jobs"),
            ("wait = soon", "a:1: wait: \"soon\" is not valid: use seconds"),
            ("timeout = 0", "a:1: timeout: \"0\" is not valid: "),
            ("jobs = 0", "a:1: jobs: \"0\" is not valid: use a number from 1 to 1024"),
            ("settle =", "a:1: settle: \"\" is not valid: "),
            ("force = mounted", "a:1: \"force\" is not a setting"),
        ] {
            let error = parse("a", text).unwrap_err();
            assert!(error.to_string().starts_with(what) && error.kind() == ErrorKind::Usage, "{error}");
        }
    }
}
