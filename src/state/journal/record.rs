//! The form of a journal: a header with the plan, then a line for each begin and end.
//!
//! Each line carries a sum over itself, so that what was not written by pcictl, or not written to its end, is noticed. A
//! last line without its end is the append that was cut off when everything was killed: it counts as never written. Any
//! other line that does not add up makes the whole journal untrusted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::plan::action::{Action, Step, StepRef, ends_as_it_began};
use crate::state::file::Invalid;

/// What ends a step that was done before it began.
pub(crate) const ALREADY: i32 = nix::errno::Errno::EALREADY as i32;

/// The form that is written; a reader that does not know the number keeps its hands off.
pub(crate) const SCHEMA: u32 = 1;

/// The name of an operation of this process that began then, in seconds since 1970.
pub(crate) fn operation_id(began: u64) -> String {
    format!("{began}-{}", std::process::id())
}

/// What an operation is going to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The form.
    pub(crate) schema: u32,
    /// The operation's name: when it began, and the process.
    pub(crate) id: String,
    /// The boot in which it began; after another one the devices were all enumerated anew.
    pub(crate) boot: String,
    /// The command line.
    pub(crate) command: String,
    /// The process that began it.
    pub(crate) pid: u32,
    /// The user.
    pub(crate) uid: u32,
    /// Seconds since 1970.
    pub(crate) began: u64,
    /// The steps in the order of the plan.
    pub(crate) steps: Vec<Step>,
    /// The nodes that were held for their own sake.
    pub(crate) places: Vec<Place>,
    /// What the functions that are worked on say they are, to know them again.
    pub(crate) functions: BTreeMap<PciAddress, String>,
}

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JournalLine {
    /// The first one.
    Header(Header),
    /// A step is about to be given to the kernel.
    Begun {
        /// Which.
        mark: StepRef,
        /// What it does, if a step is undone: that may take several writes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        action: Option<Action>,
    },
    /// The operation goes beyond its plan: these steps come after all that were planned so far.
    Extended {
        /// The steps; what each waits for is counted from the first step of the whole plan.
        steps: Vec<Step>,
    },
    /// The kernel is done with a step.
    Ended {
        /// Which.
        mark: StepRef,
        /// 0, or the kernel's error.
        errno: i32,
    },
    /// Nothing is left to be done: all went as planned, or was put back.
    #[serde(rename = "over")]
    Closed {
        /// What it came to.
        how: String,
    },
}

/// What a journal tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRecord {
    /// The plan.
    pub(crate) header: Header,
    /// How each step that was begun ended; none if that is not known.
    pub(crate) ends: BTreeMap<StepRef, Option<i32>>,
    /// The steps, in the order of the plan; steps that were added later follow.
    pub(crate) steps: Vec<Step>,
    /// The latest write that undoes a step.
    pub(crate) undo_actions: BTreeMap<usize, Action>,
    /// What it came to, if it was brought to an end.
    pub closed: Option<String>,
}

impl JournalLine {
    /// The text of the line, with its sum and its end.
    pub(crate) fn text(&self) -> String {
        // A struct with string keys can always be written.
        with_sum(&serde_json::to_string(self).unwrap_or_default())
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (written, body) = text.split_once(' ').ok_or("line without a checksum")?;
        if u64::from_str_radix(written, 16).ok() != Some(sum(body.as_bytes())) {
            return Err("checksum mismatch".to_owned());
        }
        serde_json::from_str(body).map_err(|_| "unknown entry".to_owned())
    }

    /// The schema of a header, whatever else a newer pcictl wrote into it.
    fn schema(text: &str) -> Option<u32> {
        let (written, body) = text.split_once(' ')?;
        let is_whole = u64::from_str_radix(written, 16).ok() == Some(sum(body.as_bytes()));
        is_whole.then(|| serde_json::from_str::<VersionedLine>(body).ok()).flatten().map(|line| line.header.schema)
    }
}

#[derive(Deserialize)]
struct VersionedLine {
    header: Versioned,
}

#[derive(Deserialize)]
struct Versioned {
    schema: u32,
}

impl Header {
    /// Reads a marker, which is a header alone.
    ///
    /// # Errors
    /// Why it gives no header.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        if let Ok(Versioned { schema }) = serde_json::from_str::<Versioned>(text) {
            if schema != SCHEMA {
                return Err(Invalid::Newer { schema, expected: SCHEMA });
            }
        }
        serde_json::from_str(text).map_err(|_| Invalid::Damaged("not written by pcictl, or damaged".to_owned()))
    }
}

#[cfg(test)]
impl Header {
    /// Of an operation with these steps, for tests.
    pub(crate) fn of(steps: Vec<Step>) -> Self {
        Self {
            schema: SCHEMA,
            id: "1-2".into(),
            boot: "b".into(),
            command: "pcictl remove 0000:01:00.0".into(),
            pid: 2,
            uid: 0,
            began: 1,
            steps,
            places: Vec::new(),
            functions: BTreeMap::new(),
        }
    }
}

impl OperationRecord {
    fn new(header: Header) -> Self {
        let steps = header.steps.clone();
        Self { header, steps, ends: BTreeMap::new(), undo_actions: BTreeMap::new(), closed: None }
    }

    /// An operation of which nothing but its plan is known: every step may have been given to the kernel. What brings back
    /// counts as not started, unless it is all that was planned: that it was would mean that all before it was done.
    pub(crate) fn all_started(header: Header) -> Self {
        let mut record = Self::new(header);
        let brings_back = |step: &Step| step.action.brings_back();
        let only_brings_back = record.steps.iter().all(brings_back);
        let steps = record.steps.iter().enumerate().filter(|(_, step)| only_brings_back || !brings_back(step));
        record.ends = steps.map(|(step, _)| (StepRef { step, undo: false }, None)).collect();
        if ends_as_it_began(&record.steps) {
            // Then it may have been cut off while it put back, anywhere.
            let first = |(index, step): (usize, &Step)| Some((index, step.action.undo().into_iter().next()?));
            record.undo_actions = record.steps.iter().enumerate().filter_map(first).collect();
        }
        record
    }

    /// Reads a journal.
    ///
    /// # Errors
    /// Why it gives no record.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let mut record: Option<Self> = None;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let damaged = |why: String| Invalid::Damaged(format!("line {}: {why}", number + 1));
            let Some(line) = line.strip_suffix('\n') else {
                if record.is_none() {
                    return Err(Invalid::Damaged("truncated header".to_owned()));
                }
                break;
            };
            if record.is_none() {
                if let Some(schema) = JournalLine::schema(line).filter(|schema| *schema != SCHEMA) {
                    return Err(Invalid::Newer { schema, expected: SCHEMA });
                }
            }
            match (&mut record, JournalLine::parse(line).map_err(damaged)?) {
                (None, JournalLine::Header(header)) => record = Some(Self::new(header)),
                (Some(record), line) => record.take(line).map_err(damaged)?,
                (None, _) => return Err(Invalid::Damaged("no header".to_owned())),
            }
        }
        record.ok_or_else(|| Invalid::Damaged("empty".to_owned()))
    }

    fn take(&mut self, line: JournalLine) -> Result<(), String> {
        match line {
            JournalLine::Header(_) => return Err("second header".to_owned()),
            JournalLine::Extended { steps } => self.steps.extend(steps),
            JournalLine::Begun { mark, action } => {
                self.ends.insert(mark, None);
                if let Some(action) = action {
                    self.undo_actions.insert(mark.step, action);
                }
            }
            JournalLine::Ended { mark, errno } => {
                self.ends.insert(mark, Some(errno));
            }
            JournalLine::Closed { how } => self.closed = Some(how),
        }
        Ok(())
    }

    /// Whether a step was given to the kernel.
    pub(crate) fn was_begun(&self, step: usize) -> bool {
        self.ends.contains_key(&StepRef { step, undo: false })
    }

    /// Whether this operation may have done a step: it was started, and the kernel did not say that it was so before.
    pub(crate) fn may_have_done(&self, step: usize) -> bool {
        let end = self.ends.get(&StepRef { step, undo: false });
        end.is_some_and(|end| end.is_none_or(|errno| errno == 0))
    }

    /// Whether undoing a step was begun.
    pub(crate) fn was_undone(&self, step: usize) -> bool {
        self.undo_actions.contains_key(&step)
    }

    /// Whether undoing a step was started and not brought to the end of its last write.
    pub(crate) fn undo_was_cut(&self, step: usize) -> bool {
        let Some(latest) = self.undo_actions.get(&step) else { return false };
        let end = self.ends.get(&StepRef { step, undo: true }).copied().flatten();
        let last = self.steps.get(step).and_then(|step| step.action.undo().pop());
        last.as_ref() != Some(latest) || !matches!(end, Some(0 | ALREADY))
    }

    /// Whether the kernel said that it did a step, and it was not undone.
    pub(crate) fn succeeded(&self, step: usize) -> bool {
        let ended = |undo| self.ends.get(&StepRef { step, undo }).copied().flatten();
        ended(false) == Some(0) && ended(true) != Some(0)
    }
}

/// A line with its sum before it, and its end.
pub(crate) fn with_sum(body: &str) -> String {
    format!("{:016x} {body}\n", sum(body.as_bytes()))
}

/// FNV-1a: enough to notice an accident; against malice stand the owner and the mode of the files.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pci::place::Place;
    use crate::plan::action::{Action, Step, StepRef};

    fn header() -> Header {
        let address = "0000:01:00.0".parse().unwrap();
        let action = Action::Unbind { address, driver: "nvme".into(), driver_override: None };
        let places = vec![Place::from_chain("pci0000:00/01.0").unwrap()];
        Header { places, ..Header::of(vec![Step::new(action, "", Vec::new())]) }
    }

    fn journal() -> String {
        let mark = StepRef { step: 0, undo: false };
        let lines = [
            JournalLine::Header(header()),
            JournalLine::Begun { mark, action: None },
            JournalLine::Ended { mark, errno: 0 },
            JournalLine::Closed { how: "done".into() },
        ];
        lines.iter().map(JournalLine::text).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let record = OperationRecord::parse(&journal()).unwrap();
        assert_eq!(record.header, header());
        assert!(record.was_begun(0) && record.succeeded(0));
        assert_eq!(record.closed.as_deref(), Some("done"));
    }

    #[test]
    fn a_setting_among_the_steps_is_read_as_well() {
        let address = "0000:01:00.0".parse().unwrap();
        let (file, value) = ("power/control".to_owned(), "auto".to_owned());
        let action = Action::Set { address, file, value, was: "on".to_owned() };
        let steps = vec![Step::new(action, "d", vec![0])];
        let text = JournalLine::Header(header()).text() + &JournalLine::Extended { steps: steps.clone() }.text();
        assert_eq!(OperationRecord::parse(&text).unwrap().steps[1..], steps);
    }

    #[test]
    fn a_journal_cut_off_anywhere_is_what_came_before_or_nothing() {
        let (whole, all) = (journal(), OperationRecord::parse(&journal()).unwrap());
        let first = whole.find('\n').unwrap() + 1;
        for end in 0..whole.len() {
            match OperationRecord::parse(&whole[..end]) {
                Ok(record) => {
                    assert!(end >= first && record.header == all.header);
                    assert!(record.closed.is_none());
                }
                Err(_) => assert!(end < first, "cut off at {end}"),
            }
        }
    }

    #[test]
    fn foreign_journals_are_not_trusted() {
        let newer = JournalLine::Header(Header { schema: SCHEMA + 1, ..header() }).text();
        let no_header = JournalLine::Closed { how: "done".into() }.text();
        for text in ["", "\n", "hello\n", "0000000000000000 {}\n", newer.as_str(), no_header.as_str()] {
            assert!(OperationRecord::parse(text).is_err(), "{text:?}");
        }
        assert!(OperationRecord::parse(&(journal() + &journal())).is_err());
    }

    proptest! {
        #[test]
        fn any_changed_byte_is_noticed(at in 0usize..600, to in 0x20u8..0x7f) {
            let mut bytes = journal().into_bytes();
            let at = at % bytes.len();
            // The end of the last line is the one place where a change looks like a cut.
            prop_assume!(bytes[at] != to && at != bytes.len() - 1);
            bytes[at] = to;
            let text = String::from_utf8(bytes).unwrap();
            let changed = OperationRecord::parse(&text);
            // Hexadecimal digits may be written in capitals.
            prop_assert!(changed.is_err() || text.to_lowercase() == journal().to_lowercase());
        }

        #[test]
        fn no_text_at_all_is_a_crash(text in "\\PC{0,200}") {
            prop_assert!(OperationRecord::parse(&text).is_err());
        }
    }

    #[test]
    fn an_operation_is_called_by_when_it_began_and_the_process() {
        assert_eq!(operation_id(77), format!("77-{}", std::process::id()));
    }
}
