//! Lines on a terminal that are kept up to date: one for each thing that goes on.
//!
//! Only where somebody watches: a log gets lines of its own ([`super::event::Reminder`]).

use std::time::{Duration, Instant};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::host::text::escaped;
use crate::terminal::event::Reminder;

/// What is over in a moment is not worth a line.
const MOMENT: Duration = Duration::from_millis(300);

/// More lines nobody reads.
pub(super) const MOST: usize = 8;

/// Something that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// A lock is waited for.
    Lock,
    /// Devices are waited for.
    Devices,
    /// A step of the plan is in the kernel.
    Step(usize),
    /// A step of the plan is undone.
    Undo(usize),
}

/// All that goes on.
#[derive(Debug, Default)]
pub(super) struct LiveLines {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    activity: Activity,
    text: String,
    since: Instant,
    limit: Option<Duration>,
    reminder: Reminder,
    /// A log has heard of it.
    told: bool,
}

impl LiveLines {
    /// Something goes on, or has another text now.
    pub(super) fn set(&mut self, activity: Activity, text: String, since: Instant, limit: Option<Duration>) {
        match self.lines.iter_mut().find(|line| line.activity == activity) {
            Some(line) => line.text = text,
            None => {
                self.lines.push(Line { activity, text, since, limit, reminder: Reminder::default(), told: false });
            }
        }
    }

    /// It is over; what a log is to hear of that.
    pub(super) fn remove(&mut self, activity: Activity, now: Instant) -> Option<String> {
        let index = self.lines.iter().position(|line| line.activity == activity)?;
        let line = self.lines.remove(index);
        let seconds = now.saturating_duration_since(line.since).as_secs_f64();
        line.told.then(|| format!("{}: ended after {seconds:.1} s", line.text))
    }

    /// What a log is to hear of now, with how long it has gone on.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(Activity, Duration, String)> {
        let mut due = Vec::new();
        for line in &mut self.lines {
            let elapsed = now.saturating_duration_since(line.since);
            if line.reminder.is_due(elapsed) {
                line.told = true;
                due.push((line.activity, elapsed, line.with_clock(now)));
            }
        }
        due
    }

    /// The lines as they are on a terminal of that size.
    pub(super) fn on_screen(&self, now: Instant, (width, height): (usize, usize)) -> Vec<String> {
        let mut lines: Vec<String> =
            self.lines.iter().filter(|line| now >= line.since + MOMENT).map(|line| line.with_clock(now)).collect();
        let room = MOST.min(height.saturating_sub(1)).max(1);
        if lines.len() > room {
            let more = lines.len() - (room - 1);
            lines.truncate(room - 1);
            lines.push(format!("and {more} more"));
        }
        // A line that breaks could not be taken back.
        let cut = |line: String| shortened(&format!("pcictl: {}", escaped(&line)), width.saturating_sub(1));
        lines.into_iter().map(cut).collect()
    }
}

impl Line {
    fn with_clock(&self, now: Instant) -> String {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        match self.limit {
            Some(limit) => format!("{}  {seconds} s of {}", self.text, seconds_text(limit)),
            None => format!("{}  {seconds} s", self.text),
        }
    }
}

/// Seconds, tenths where they matter.
pub(crate) fn seconds_text(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 9.5 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}

/// A line of at most so many columns: what is cut is the middle, as numbers stand at the end.
fn shortened(line: &str, width: usize) -> String {
    const END: usize = 16;
    if line.width() <= width {
        return line.to_owned();
    }
    if width < 2 * END {
        return start(line.chars(), width);
    }
    let end: String = start(line.chars().rev(), END).chars().rev().collect();
    format!("{}...{end}", start(line.chars(), width - 3 - end.width()))
}

/// As many characters as so many columns have room for.
fn start(characters: impl Iterator<Item = char>, width: usize) -> String {
    let mut taken = 0;
    let fits = |character: &char| {
        taken += character.width().unwrap_or(0);
        taken <= width
    };
    characters.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_its_start_and_its_end() {
        let line = "0000:18:00.0: waiting for pid 9523 (pcictl lock 18:00.0 -- sleep 12)  2 s of 30 s";
        let short = shortened(line, 60);
        assert_eq!(short, "0000:18:00.0: waiting for pid 9523 (pcict...12)  2 s of 30 s");
        assert_eq!(short.len(), 60);
        assert_eq!(shortened(&"\u{6f22}".repeat(40), 40).width(), 39, "a wide character is not cut in two");
        assert_eq!((shortened(line, 200).as_str(), shortened(line, 9).as_str()), (line, &line[..9]));
    }

    #[test]
    fn each_thing_that_goes_on_has_a_line() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut lines = LiveLines::default();
        lines.set(Activity::Step(0), "unbind a".into(), begun, Some(Duration::from_secs(120)));
        assert!(lines.on_screen(begun, (80, 24)).is_empty(), "it may be over in a moment");
        lines.set(Activity::Step(1), "unbind b".into(), at(1), None);
        assert_eq!(lines.on_screen(at(2), (80, 24)), ["pcictl: unbind a  2 s of 120 s", "pcictl: unbind b  1 s"]);
        lines.remove(Activity::Step(0), at(3));
        assert_eq!(lines.on_screen(at(3), (80, 24)), ["pcictl: unbind b  2 s"]);
        lines.remove(Activity::Step(1), at(3));
        assert!(lines.on_screen(at(3), (80, 24)).is_empty());
    }

    #[test]
    fn no_more_lines_than_the_screen_has() {
        let begun = Instant::now();
        let mut lines = LiveLines::default();
        (0..64).for_each(|step| lines.set(Activity::Step(step), format!("unbind {step}"), begun, None));
        let shown = lines.on_screen(begun + MOMENT, (80, 5));
        assert_eq!((shown.len(), shown.last().map(String::as_str)), (4, Some("pcictl: and 61 more")));
        assert_eq!(lines.on_screen(begun + MOMENT, (80, 50)).len(), MOST);
    }

    #[test]
    fn a_log_hears_of_what_takes_long_and_of_its_end() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut lines = LiveLines::default();
        lines.set(Activity::Devices, "waiting for a".into(), begun, None);
        assert!(lines.due(at(4)).is_empty());
        assert_eq!(lines.due(at(5))[0].2, "waiting for a  5 s");
        assert!(lines.due(at(6)).is_empty());
        assert_eq!(lines.remove(Activity::Devices, at(7)).as_deref(), Some("waiting for a: ended after 7.0 s"));
        lines.set(Activity::Devices, "waiting for a".into(), at(7), None);
        assert_eq!(lines.remove(Activity::Devices, at(8)), None, "nobody has heard of it");
    }
}
