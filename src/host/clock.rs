//! Times as people and programs write them.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use serde::{Serialize, Serializer};

/// RFC 3339 in UTC with milliseconds: `2026-11-28T14:03:05.120Z`. Sorted as texts they are in their order.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    format!("{:.3}", timestamp(time))
}

/// A second, counted from 1970; RFC 3339 in documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) u64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0}",
            timestamp(
                SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.0)).unwrap_or(SystemTime::UNIX_EPOCH)
            )
        )
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Date and time in the machine's time zone: `2026-11-28 14:03:05`.
pub(crate) fn local(time: SystemTime) -> String {
    in_zone(time).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The time of day in the machine's time zone: `14:03:05`.
pub(crate) fn time_of_day(time: SystemTime) -> String {
    in_zone(time).strftime("%H:%M:%S").to_string()
}

/// A time that [`rfc3339`] has written.
pub(crate) fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    SystemTime::try_from(text.parse::<Timestamp>().ok()?).ok()
}

/// A time as people type it: RFC 3339, a date with or without a time in the machine's zone (`2026-11-28`, `2026-11-28 14:03`),
/// `today`, `yesterday`.
pub(crate) fn parse_moment(text: &str, now: SystemTime) -> Option<SystemTime> {
    if let Some(time) = parse_rfc3339(text) {
        return Some(time);
    }
    let today = in_zone(now);
    let midnight = |days: i64| today.date().checked_sub(jiff::Span::new().try_days(days).ok()?).ok();
    let civil = match text {
        "today" => midnight(0)?.into(),
        "yesterday" => midnight(1)?.into(),
        text => text.parse::<jiff::civil::DateTime>().ok()?,
    };
    let zoned = civil.to_zoned_datetime(today.time_zone().clone()).ok()?;
    SystemTime::try_from(zoned.timestamp()).ok()
}

fn in_zone(time: SystemTime) -> ZonedDateTime {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    let zone = ZONE.get_or_init(|| zone_of_machine().unwrap_or_else(TimeZone::system));
    timestamp(time).to_zoned_datetime(zone.clone())
}

/// The zone of localtime(5), which is all of it. jiff looks for its name as well, by a walk through /usr/share/zoneinfo, and a
/// name that `TZ` holds has to be looked for there.
fn zone_of_machine() -> Option<TimeZone> {
    if std::env::var_os("TZ").is_some() {
        return None;
    }
    TimeZone::tzif("localtime", &std::fs::read("/etc/localtime").ok()?).ok()
}

/// A clock beyond the year 9999 counts as not set.
fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let time = at(1_795_874_585_120);
        assert_eq!(rfc3339(time), "2026-11-28T14:03:05.120Z");
        assert_eq!(Moment(1_795_874_585).to_string(), "2026-11-28T14:03:05Z");
        assert_eq!(parse_rfc3339(&rfc3339(time)), Some(time));
        assert_eq!(rfc3339(at(0)), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn people_may_leave_parts_out() {
        let now = at(1_795_874_585_120);
        let read = |text: &str| parse_moment(text, now).map(local);
        assert_eq!(read("2026-11-28T14:03:05Z"), Some(local(at(1_795_874_585_000))));
        for (text, read_as) in [
            ("2026-11-27", "2026-11-27 00:00:00"),
            ("2026-11-27 08:30", "2026-11-27 08:30:00"),
            ("2026-11-27T08:30:15", "2026-11-27 08:30:15"),
        ] {
            assert_eq!(read(text).as_deref(), Some(read_as), "{text}");
        }
        let today = local(now)[..10].to_owned();
        assert_eq!(read("today"), Some(format!("{today} 00:00:00")));
        assert!(read("yesterday").unwrap() < read("today").unwrap());
        for text in ["", "soon", "2026-13-01", "12"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn the_zone_of_the_machine_is_that_of_jiff() {
        // Where there is no such file all agree on UTC.
        let Some(zone) = zone_of_machine() else { return };
        for year in 0..60 {
            for half in [0, 182] {
                let time = timestamp(at(1000 * 86_400 * (year * 365 + half)));
                assert_eq!(
                    time.to_zoned_datetime(zone.clone()).datetime(),
                    time.to_zoned_datetime(TimeZone::system()).datetime()
                );
            }
        }
    }

    #[test]
    fn a_clock_that_is_off_breaks_nothing() {
        assert_eq!(Moment(u64::MAX / 4).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(at(u64::MAX / 4)), "1970-01-01T00:00:00.000Z");
    }
}
