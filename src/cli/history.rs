//! The options of `pcictl history`.

use std::time::{Duration, SystemTime};

use clap::Args;

use crate::cli::groups::SELECTION;
use crate::cli::values::{parse_duration, parse_how_many};
use crate::host::clock::parse_moment;

/// `pcictl history`
#[derive(Args, Debug)]
#[command(after_help = HISTORY)]
pub(crate) struct HistoryArgs {
    /// Show only what was done to these; what is gone is known by its address, name, serial number or slot
    #[arg(value_name = "SELECTOR")]
    pub(crate) selectors: Vec<String>,
    /// Show only operations that began then or later: 2026-11-28, '2026-11-28 14:00', yesterday, or 30m, 2h, 7d ago
    #[arg(long, value_name = "TIME", value_parser = parse_since, help_heading = SELECTION)]
    pub(crate) since: Option<SystemTime>,
    /// Show only operations that began before then
    #[arg(long, value_name = "TIME", value_parser = parse_since, help_heading = SELECTION)]
    pub(crate) until: Option<SystemTime>,
    /// Show only the last N
    #[arg(long, value_name = "N", value_parser = parse_how_many, help_heading = SELECTION)]
    pub(crate) last: Option<usize>,
}

const HISTORY: &str = "\
Examples:
  pcictl history                     every operation that is recorded, the oldest first
  pcictl history 0000:03:00.0        what was done to one device
  pcictl history nvme0n1 --since yesterday
                                     the same by the name of its disk, if that is gone, too
  pcictl history --last 1 --json     the last operation, with all that is known of it

Exit status:
  0    done
  1    failed
  3    a selector matches neither a device nor anything that is recorded
  77   not permitted";

/// A time, or how long ago it was.
fn parse_since(text: &str) -> Result<SystemTime, String> {
    since(text, SystemTime::now())
}

/// The same, by a clock that is given.
pub(crate) fn since(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    const DAY: Duration = Duration::from_secs(86_400);
    if let Some(moment) = parse_moment(text, now) {
        return Ok(moment);
    }
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    let ago =
        days.map(|days| DAY * days).or_else(|| parse_duration(text).ok().filter(|_| text.ends_with(['s', 'm', 'h'])));
    let moment = ago.and_then(|ago| now.checked_sub(ago));
    moment.ok_or_else(|| {
        "use a date (2026-11-28), a date and time, today, yesterday, or how long ago (30m, 2h, 7d)".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_be_told_by_how_long_ago_it_was() {
        let now = SystemTime::now();
        let ago = |text: &str| now.duration_since(since(text, now).unwrap()).unwrap().as_secs() / 60;
        assert_eq!((ago("30m"), ago("2h"), ago("7d")), (30, 120, 7 * 24 * 60));
        assert!(parse_since("2026-11-28").is_ok() && parse_since("today").is_ok());
        for text in ["", "5", "soon", "-1d", "d", "99999999999d"] {
            assert!(parse_since(text).is_err(), "{text}");
        }
    }
}
