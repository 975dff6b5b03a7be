//! When and where to look for those who were quicker than the marks of what is new.

use std::time::{Duration, Instant};

/// How long after a file was marked who is inside is looked for. Who had passed the marks' place in open(2) by then has his
/// descriptor at the second look at the latest; the first one is late enough to be one look for all that a scan brings.
const LOOKS: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(200)];

/// Which looks are due when.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// The directory whose files were marked; none for all.
    all: Vec<(Instant, Option<String>)>,
}

impl Looks {
    /// At everything, now.
    pub(super) fn everywhere() -> Self {
        Self { all: vec![(Instant::now(), None)] }
    }

    /// Whether there is nothing to look at.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// To be looked at soon, and once more.
    pub(super) fn later(&mut self, directory: Option<String>) {
        let now = Instant::now();
        self.all.extend(LOOKS.map(|after| (now + after, directory.clone())));
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.all.iter().map(|(due, _)| *due).min()
    }

    /// Takes those that are due.
    pub(super) fn take_due(&mut self) -> Self {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.all).into_iter().partition(|(due, _)| *due <= now);
        self.all = later;
        Self { all: due }
    }

    /// Whether a directory is one of them.
    pub(super) fn concern(&self, directory: &str) -> bool {
        self.all.iter().any(|(_, one)| one.as_ref().is_none_or(|one| one == directory))
    }
}
