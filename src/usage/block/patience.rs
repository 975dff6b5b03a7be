//! Attributes whose drivers take a lock before they answer: read by a child, so that nobody waits for them.

use std::os::fd::AsFd as _;
use std::time::Instant;

use crate::host::child::{PATIENCE, Sender, look_at_each};
use crate::host::sysfs::Sysfs;

/// Reads these files of /sys; what is missing is `None`, what does not answer is told.
pub(crate) fn read_all(sysfs: &Sysfs, paths: &[String]) -> (Vec<Option<String>>, Vec<String>) {
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
    let deadline = Instant::now() + PATIENCE * 2;
    let take = |number: usize, text: String| found[number] = Some(text);
    let unseen = look_at_each(paths, 1, &[sysfs.top().as_fd()], deadline, &look, take);
    let unchecked = unseen.iter().map(|(number, _)| format!("{} does not answer", sysfs.display(&paths[*number])));
    (found, unchecked.collect())
}
