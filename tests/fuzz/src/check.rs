//! One case, and whether all was well.

use std::fs;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::memory;
use crate::target::Target;
use crate::watch;

/// Where panics are written to, of this process and of those that it forks.
static PANICS: OnceLock<PathBuf> = OnceLock::new();

/// What may be allocated once, whatever the input is.
const CONSTANT: usize = 128 << 10;

/// Has panics written to a file instead of standard error. Once in a process.
pub fn note_panics(file: &Path) {
    if PANICS.set(file.to_owned()).is_err() {
        return;
    }
    std::panic::set_hook(Box::new(|info| {
        let Some(mut file) =
            PANICS.get().and_then(|path| fs::File::options().create(true).append(true).open(path).ok())
        else {
            return;
        };
        let _ = writeln!(file, "{}", info.to_string().replace('\n', " "));
    }));
}

/// Gives a target bytes; what it allocated.
///
/// # Errors
/// It panics, or one of its children does.
pub fn once(target: &Target, bytes: &[u8]) -> Result<usize, String> {
    let _busy = watch::begin();
    let before = memory::allocated();
    let ended = catch_unwind(AssertUnwindSafe(|| target.run(bytes)));
    let allocated = memory::allocated() - before;
    // Children of parsers there are none.
    let panics = if ended.is_err() || target.is_slow() { noted() } else { String::new() };
    match (ended, panics) {
        (Ok(()), panics) if panics.is_empty() => Ok(allocated),
        (_, panics) => Err(panics.lines().next().unwrap_or("panicked").to_owned()),
    }
}

/// What was noted since the last time.
fn noted() -> String {
    let Some(path) = PANICS.get() else { return String::new() };
    let text = fs::read_to_string(path).unwrap_or_default();
    let _ = fs::remove_file(path);
    text
}

/// Gives a target the same bytes, and four times as many.
///
/// # Errors
/// As [`once`], or what is allocated grows faster than what is given.
pub fn and_four_times(target: &Target, bytes: &[u8]) -> Result<(), String> {
    // What is made once and kept, such as a table or a tree, is made now.
    once(target, &[])?;
    let taken = |factor| once(target, &target.times(bytes, factor));
    let (one, four) = (taken(1)?, taken(4)?);
    // Where two pieces meet something new may begin, which is there once more often for four pieces; it is not for 16.
    if is_too_much(one, four) && is_too_much(four, taken(16)?) {
        return Err(format!("memory grows faster than the input: {one} bytes, and {four} for four times as much"));
    }
    Ok(())
}

/// A vector that doubles may be at the start of a step once and at the end of it the other time.
fn is_too_much(one: usize, four: usize) -> bool {
    four > 4 * one + 2 * one + CONSTANT
}
