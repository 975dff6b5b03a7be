//! Makes what was found small, and keeps it: a finding is an entry of the corpus from then on.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::sources;
use crate::target::Target;

/// So often is a finding made smaller.
const ROUNDS: usize = 2000;

/// Where it went wrong, without what differs from case to case.
pub fn place(why: &str) -> &str {
    match why.find("memory grows") {
        Some(at) => &why[at..at + "memory grows".len()],
        None => why.split_once(": ").map_or(why, |(place, _)| place),
    }
}

/// The smallest case that was found to go wrong at the same place.
pub fn smallest(
    target: &Target,
    bytes: Vec<u8>,
    why: &str,
    check: &dyn Fn(&Target, &[u8]) -> Option<String>,
) -> Vec<u8> {
    let (mut best, mut rounds) = (bytes, 0);
    'smaller: loop {
        let known = best.clone();
        for less in target.smaller(&known) {
            rounds += 1;
            if rounds > ROUNDS {
                return best;
            }
            if less.len() < best.len() && check(target, &less).is_some_and(|now| place(&now) == place(why)) {
                best = less;
                continue 'smaller;
            }
        }
        return best;
    }
}

/// Adds a case to the corpus; its file.
///
/// # Errors
/// It cannot be written.
pub fn keep(target: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let directory = sources::corpus(target);
    fs::create_dir_all(&directory)?;
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let file = directory.join(format!("found-{hash:016x}"));
    fs::write(&file, bytes)?;
    Ok(file)
}
