//! Attributes whose drivers take a lock before they answer: read by a child, so that nobody waits for them, see
//! [`child`](crate::host::child).

use std::os::fd::AsFd as _;
use std::time::Instant;

use crate::host::child::{PATIENCE, Sender, look_at_each};
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
