//! Many cases for one target, in a process of its own: the corpus, what is large, and what chance makes of both.
//!
//! Each case is written down before it is tried, so that one that ends the process is known.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::findings::{keep, place, smallest};
use crate::random::Random;
use crate::target::Target;
use crate::{check, watch};

/// How long a hunt goes on.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// So many cases, of slow targets a hundredth.
    Cases(usize),
    /// So long.
    Time(Duration),
}

/// One hunt.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// What chance is made of.
    pub seed: u64,
    /// How long.
    pub length: Length,
    /// How long large cases are.
    pub large: usize,
    /// Where the process notes what it is at.
    pub scratch: PathBuf,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How many cases were tried.
    pub cases: usize,
    /// What went wrong, each with its file.
    pub found: Vec<(String, PathBuf)>,
}

/// Where the reason is noted for which the process ends itself.
static WHY: OnceLock<PathBuf> = OnceLock::new();

/// The file with the case that is being tried.
pub fn current(scratch: &Path) -> PathBuf {
    scratch.join("current")
}

/// The file with the reason for which the process ended itself.
pub fn why(scratch: &Path) -> PathBuf {
    scratch.join("why")
}

fn hang(reason: &str) -> ! {
    if let Some(file) = WHY.get() {
        let _ = fs::write(file, reason);
    }
    std::process::abort()
}

impl Hunt {
    /// Tries cases until it is over.
    pub fn run(&self, target: &Target) -> Outcome {
        check::note_panics(&self.scratch.join("panics"));
        if WHY.set(why(&self.scratch)).is_ok() {
            watch::start(hang);
        }
        let mut known = BTreeSet::new();
        let mut outcome = Outcome::default();
        let corpus: Vec<Vec<u8>> = target.corpus().into_iter().map(|(_, bytes)| bytes).collect();
        for bytes in &corpus {
            self.try_case(target, bytes, four, &mut known, &mut outcome);
        }
        for bytes in target.large_cases(&corpus, self.large) {
            self.try_case(target, &bytes, one, &mut known, &mut outcome);
        }
        let (begun, mut random) = (Instant::now(), Random::of(self.seed, target.name));
        let is_over = |tried: usize| match self.length {
            Length::Cases(cases) => tried >= if target.is_slow() { cases.div_ceil(100) } else { cases },
            Length::Time(time) => begun.elapsed() >= time,
        };
        for tried in 0.. {
            if is_over(tried) {
                break;
            }
            let bytes = target.any_case(&corpus, &mut random);
            let check = if random.once_in(8) { four } else { one };
            self.try_case(target, &bytes, check, &mut known, &mut outcome);
        }
        outcome
    }

    fn try_case(
        &self,
        target: &Target,
        bytes: &[u8],
        check: Check,
        known: &mut BTreeSet<String>,
        outcome: &mut Outcome,
    ) {
        outcome.cases += 1;
        fs::write(current(&self.scratch), bytes).expect("the case is written down");
        let Some(why) = check(target, bytes) else { return };
        if known.insert(place(&why).to_owned()) {
            let small = smallest(target, bytes.to_vec(), &why, &check);
            let file = keep(target.name, &small).expect("the finding is kept");
            outcome.found.push((why, file));
        }
    }
}

/// What went wrong with a case, if anything did.
type Check = fn(&Target, &[u8]) -> Option<String>;

fn one(target: &Target, bytes: &[u8]) -> Option<String> {
    check::once(target, bytes).err()
}

fn four(target: &Target, bytes: &[u8]) -> Option<String> {
    check::and_four_times(target, bytes).err()
}
