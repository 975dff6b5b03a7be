//! Values on the command line: how they are spelled and checked.

use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::report::rows::Column;
use crate::terminal::ColorChoice;
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

/// A column, for `--output`.
pub(crate) fn column() -> impl TypedValueParser<Value = Column> {
    word(Column::ALL, Column::name, Column::meaning)
}

/// When to color, for `--color`.
pub(crate) fn color() -> impl TypedValueParser<Value = ColorChoice> {
    word(ColorChoice::ALL, ColorChoice::name, ColorChoice::meaning)
}

/// Seconds with a fraction; never negative, at most what a deadline can hold.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    /// Ten years: longer than any lock is held, and far from the end of the clock.
    const MOST: f64 = 10.0 * 365.0 * 86_400.0;
    let seconds: f64 = text.parse().map_err(|_| "give seconds, such as 5 or 0.5".to_owned())?;
    if !(0.0..=MOST).contains(&seconds) {
        return Err("give seconds between 0 and ten years".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}
