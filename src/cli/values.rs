//! Values on the command line: how they are spelled and checked.

use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, Command};

use crate::pci::mac::MacAddress;
use crate::report::columns::{Column, NamedColumn};
use crate::report::monitor::Format;
use crate::terminal::color::ColorChoice;
use crate::usage::model::Danger;
use crate::verify::compare::DifferenceKind;

/// One word of a fixed set; help and completion list the words with their meanings.
fn word<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
    meaning: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let values = all.iter().map(|value| PossibleValue::new(name(*value)).help(meaning(*value)));
    PossibleValuesParser::new(values.collect::<Vec<_>>()).try_map(move |text: String| {
        all.iter().copied().find(|value| name(*value) == text).ok_or_else(|| format!("unknown value {text:?}"))
    })
}

/// A danger, for `--force`.
pub(crate) fn danger() -> impl TypedValueParser<Value = Danger> {
    word(Danger::ALL, Danger::name, Danger::meaning)
}

/// A kind of difference, for `--accept`.
pub(crate) fn difference() -> impl TypedValueParser<Value = DifferenceKind> {
    word(DifferenceKind::ALL, DifferenceKind::name, DifferenceKind::meaning)
}

/// A column, for `--sort`.
pub(crate) fn column() -> impl TypedValueParser<Value = Column> {
    word(Column::ALL, Column::name, Column::meaning)
}

/// A column, for `--output`, where a plus may stand in front of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColumnParser;

impl TypedValueParser for ColumnParser {
    type Value = NamedColumn;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<NamedColumn, clap::Error> {
        let name = value.to_str().and_then(|text| text.strip_prefix('+'));
        let column = column().parse_ref(command, arg, name.map_or(value, OsStr::new))?;
        Ok(NamedColumn { column, is_added: name.is_some() })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let value = |column: &Column| PossibleValue::new(column.name()).help(column.meaning());
        Some(Box::new(Column::ALL.iter().map(value)))
    }
}

/// When to color, for `--color`.
pub(crate) fn color() -> impl TypedValueParser<Value = ColorChoice> {
    word(ColorChoice::ALL, ColorChoice::name, ColorChoice::meaning)
}

/// How the doctor answers, for `--format`.
pub(crate) fn format() -> impl TypedValueParser<Value = Format> {
    word(Format::ALL, Format::name, Format::meaning)
}

/// On or off, for `--autoprobe`.
pub(crate) fn switch() -> impl TypedValueParser<Value = bool> {
    let meaning = |on: bool| if on { "Drivers take them" } else { "They stay without drivers" };
    word(&[true, false], |on| if on { "on" } else { "off" }, meaning)
}

/// A time in seconds, with a fraction or a unit: `5`, `0.5`, `500ms`, `5s`, `2m`, `1h`. Never negative, and at most what
/// a deadline can hold.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    /// Ten years: longer than any lock is held, and far from the end of the clock.
    const MOST: f64 = 10.0 * 365.0 * 86_400.0;
    const UNITS: &[(&str, f64)] = &[("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (number, unit) = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))
        .filter(|(number, _)| number.ends_with(|last: char| last.is_ascii_digit() || last == '.'))
        .unwrap_or((text, 1.0));
    let seconds = number.parse::<f64>().map_err(|_| "use seconds (5, 0.5) or a unit (500ms, 5s, 2m, 1h)".to_owned())?;
    let seconds = seconds * unit;
    if !(0.0..=MOST).contains(&seconds) {
        return Err("use a time between 0 and ten years".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// A number of drivers at a time, for `--jobs`.
pub(crate) fn parse_jobs(text: &str) -> Result<u16, String> {
    number_in(text, 1..=1024)
}

/// A number of VFs.
pub(crate) fn parse_vf_count(text: &str) -> Result<u16, String> {
    number_in(text, 0..=u16::MAX)
}

fn number_in(text: &str, range: RangeInclusive<u16>) -> Result<u16, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("use a number from {} to {}", range.start(), range.end()))
}

/// How many of them.
pub(crate) fn parse_how_many(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "use a number".to_owned())
}

/// A VF and its MAC: `0=02:00:00:00:00:01`.
pub(crate) fn parse_vf_mac(text: &str) -> Result<(u32, MacAddress), String> {
    let (vf, mac) = text.split_once('=').ok_or_else(|| "use VF=MAC, as in 0=02:00:00:00:00:01".to_owned())?;
    let is_number = !vf.is_empty() && vf.bytes().all(|digit| digit.is_ascii_digit());
    let vf = is_number.then(|| vf.parse().ok()).flatten().ok_or_else(|| format!("'{vf}' is not the number of a VF"))?;
    let mac: MacAddress = mac.parse()?;
    if !mac.is_unicast() {
        return Err(format!("{mac} is not the address of one interface (unicast, not zero)"));
    }
    Ok((vf, mac))
}

/// A time limit: as [`parse_duration`], but not zero, which nothing could keep.
pub(crate) fn parse_time_limit(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("a write to the kernel takes some time; use more than 0".to_owned()),
        limit => Ok(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vf_and_its_mac_are_told_apart() {
        let mac = "02:00:00:00:00:01".parse().unwrap();
        assert_eq!(parse_vf_mac("12=02:00:00:00:00:01"), Ok((12, mac)));
        for text in
            ["", "0", "02:00:00:00:00:01", "=02:00:00:00:00:01", "x=02:00:00:00:00:01", "+1=02:00:00:00:00:01", "0=02"]
        {
            assert!(parse_vf_mac(text).is_err(), "{text}");
        }
        for mac in ["00:00:00:00:00:00", "01:00:00:00:00:01", "ff:ff:ff:ff:ff:ff"] {
            assert!(parse_vf_mac(&format!("0={mac}")).unwrap_err().contains("unicast"), "{mac}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, milliseconds) in
            [("5", 5000), ("0.5", 500), ("500ms", 500), ("5s", 5000), ("2m", 120_000), ("1h", 3_600_000), ("0", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "-1", "-1s", "5 s", "5d", "nan", "inf", "1e300", "1e9h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_time_limit("0s").is_err() && parse_time_limit("1ms").is_ok());
    }
}
