//! Attributes whose drivers take a lock before they answer, and questions that wait for one: asked by a child, so that nobody
//! waits for them, see [`child`](crate::host::child).

use std::io;
use std::os::fd::AsFd as _;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::plain;
use crate::host::child::{Limits, PATIENCE, Sender, Unseen, look_at_each};
use crate::host::sysfs::Sysfs;

/// Reads these files of /sys; what is missing is `None`, what does not answer is told.
pub(crate) fn read_all(sysfs: &Sysfs, paths: &[String]) -> (Vec<Option<String>>, Vec<String>) {
    let (found, silent) = read_each(sysfs, paths, Instant::now() + PATIENCE * 2);
    let unchecked = silent.into_iter().map(|number| format!("{} does not answer", sysfs.display(&paths[number])));
    (found, unchecked.collect())
}

/// The same until that time; what does not answer is told by its number. The plain files of a dumped tree never block.
pub(crate) fn read_each(sysfs: &Sysfs, paths: &[String], deadline: Instant) -> (Vec<Option<String>>, Vec<usize>) {
    if sysfs.is_dump() {
        return (paths.iter().map(|path| sysfs.read(path).ok().flatten()).collect(), Vec::new());
    }
    let mut found = vec![None; paths.len()];
    if paths.is_empty() {
        return (found, Vec::new());
    }
    let look = |path: &String, sender: &mut Sender| {
        if let Ok(Some(text)) = sysfs.read(path) {
            sender.send(&text);
        }
    };
    let take = |number: usize, text: String| found[number] = Some(text);
    let unseen = look_at_each(paths, 1, &[sysfs.top().as_fd()], deadline, &look, take);
    (found, unseen.into_iter().map(|(number, _)| number).collect())
}

/// Reads at most so many bytes of each of these files of /sys; what is missing is `None`. A read of configuration space waits
/// while its device is being reset (pci_wait_cfg in drivers/pci/access.c).
///
/// # Errors
/// Why one cannot be read, with its number, in words.
pub(crate) fn read_bytes(
    sysfs: &Sysfs,
    paths: &[String],
    limit: usize,
) -> Result<Vec<Option<Vec<u8>>>, (usize, String)> {
    let read = |path: &String| sysfs.read_bytes(path, limit).map_err(|error| plain(&error));
    let mut found = Vec::new();
    if sysfs.is_dump() {
        for (number, path) in paths.iter().enumerate() {
            found.push(read(path).map_err(|why| (number, why))?);
        }
        return Ok(found);
    }
    found.resize(paths.len(), None);
    if paths.is_empty() {
        return Ok(found);
    }
    /// What a message begins with: bytes, a character each, or why there are none.
    const BYTES: char = '=';
    const FAILED: char = '!';
    let look = |path: &String, sender: &mut Sender| match read(path) {
        Ok(Some(bytes)) => {
            let characters = bytes.iter().map(|byte| char::from(*byte));
            sender.send(&std::iter::once(BYTES).chain(characters).collect::<String>());
        }
        Ok(None) => {}
        Err(why) => sender.send(&format!("{FAILED}{why}")),
    };
    let mut failed = Vec::new();
    let take = |number: usize, said: String| match said.strip_prefix(BYTES) {
        Some(text) => found[number] = Some(text.chars().map(|character| character as u32 as u8).collect()),
        None => failed.push((number, said.trim_start_matches(FAILED).to_owned())),
    };
    let silent = look_at_each(paths, 1, &[sysfs.top().as_fd()], Instant::now() + PATIENCE * 2, &look, take);
    failed.extend(silent.into_iter().map(|(number, _)| (number, "the kernel does not answer".to_owned())));
    failed.into_iter().next().map_or(Ok(found), Err)
}

/// Has a child ask a question that may wait for a lock.
///
/// # Errors
/// Why there is no answer, in words.
pub(crate) fn in_child<M: Serialize + DeserializeOwned>(
    limits: Limits,
    ask: &dyn Fn() -> io::Result<M>,
) -> Result<M, String> {
    let mut answer = None;
    let look = |(): &(), sender: &mut Sender| {
        sender.send(&ask().map_err(|error| plain(&error)));
    };
    let take = |_: usize, said: Result<M, String>| answer = Some(said);
    let unseen = look_at_each(&[()], 1, &[], limits, &look, take);
    match (answer, unseen.into_iter().next()) {
        (Some(answer), _) => answer,
        (None, Some((_, Unseen::NoChild(error)))) => Err(format!("no process could be started: {}", plain(&error))),
        (None, Some((_, Unseen::Died))) => Err("the child that asked ended".to_owned()),
        (None, _) => Err("the kernel does not answer".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_answer_is_waited_for_as_long_as_silence_is_taken() {
        let late = || {
            std::thread::sleep(Duration::from_millis(500));
            Ok(7)
        };
        assert_eq!(in_child(Limits::of_answer(Duration::from_secs(60)), &late), Ok(7));
        let given_up = in_child(Limits::of_answer(Duration::from_millis(100)), &late);
        assert_eq!(given_up, Err("the kernel does not answer".to_owned()));
    }
}
