//! The kernel itself is asked whether something has claimed a disk: an open for the asker alone is refused with EBUSY if a
//! file system, swap space, another block driver or a process has claimed it or one of its partitions.
//!
//! It needs no list of what can claim a disk, but it is an open: a disk that is sick may make it wait, so a child makes it,
//! and before a change only. The other way round it says little: btrfs, loop devices and the kernel's NVMe target use
//! disks without claiming them from everybody. For the moment that it lasts nobody else gets the disk for himself alone,
//! and who tries is refused as well; so a refusal counts only if it is repeated.

use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::host::child::{PATIENCE, Sender, Unseen, look_at_each};
use crate::usage::block::stack::Storage;
use crate::usage::model::{Danger, User};
use crate::usage::scope::{Device, Inventory};

/// So long all disks together may take.
const TIME: Duration = Duration::from_secs(10);

/// Others that ask are done after a fraction of it.
const PAUSE: Duration = Duration::from_millis(10);

/// How often a disk is asked before it counts as claimed.
const ATTEMPTS: u32 = 3;

/// What the kernel says of a disk.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Answer {
    Free,
    Claimed,
    Unknown(String),
}

/// Disks that something has claimed that is not among `known`, and those that could not be asked. Opens each disk.
pub(crate) fn users(inventory: &Inventory, storage: &Storage, known: &[User]) -> (Vec<User>, Vec<String>) {
    let mut disks: Vec<usize> = inventory.own_blocks.iter().map(|(_, index)| *index).collect();
    disks.retain(|index| !is_partition(inventory, &inventory.blocks[*index]));
    disks.sort_unstable();
    disks.dedup();
    let devices: Vec<&Device> = disks.iter().map(|index| &inventory.blocks[*index]).collect();
    let mut answers: Vec<Option<Answer>> = devices.iter().map(|_| None).collect();
    let look = |device: &&Device, sender: &mut Sender| sender.send(&ask(device));
    let take = |number: usize, answer: Answer| answers[number] = Some(answer);
    let unseen = look_at_each(&devices, 1, &[], Instant::now() + TIME, &look, take);
    let mut unchecked: Vec<String> =
        unseen.iter().map(|(number, why)| format!("disk {} {}", devices[*number].name, in_words(why))).collect();
    let mut users = Vec::new();
    for ((index, device), answer) in disks.iter().zip(&devices).zip(answers) {
        match answer {
            Some(Answer::Claimed) => users.extend(unnamed(inventory, storage, *index, known)),
            Some(Answer::Unknown(why)) => unchecked.push(format!("disk {} cannot be opened: {why}", device.name)),
            Some(Answer::Free) | None => {}
        }
    }
    (users, unchecked)
}

fn in_words(why: &Unseen) -> String {
    match why {
        Unseen::Hangs | Unseen::Slow => {
            format!("does not answer: opening it took longer than {} s", PATIENCE.as_secs_f32())
        }
        Unseen::OutOfTime => "was not asked: the time for looking was up".to_owned(),
        Unseen::NoChild(_) | Unseen::Died => "was not asked: no child process could do it".to_owned(),
    }
}

fn is_partition(inventory: &Inventory, device: &Device) -> bool {
    let disk = device.path.rsplit_once('/').and_then(|(parent, _)| parent.rsplit('/').next());
    disk.is_some_and(|name| inventory.block_named(name).is_some())
}

/// A claim that nobody who was found explains.
fn unnamed(inventory: &Inventory, storage: &Storage, index: usize, known: &[User]) -> Option<User> {
    let disk = &inventory.blocks[index];
    let (_, reached) = storage.iter().find(|(reached, _)| *reached == index)?;
    let within = format!("{}/", disk.path);
    let is_on_it = |user: &&User| {
        let place = inventory.block_named(&user.device.replace('/', "!")).map(|index| &inventory.blocks[index].path);
        place.is_some_and(|path| *path == disk.path || path.starts_with(&within))
    };
    let mut on_it = known.iter().filter(is_on_it);
    if on_it.clone().any(claims) {
        return None;
    }
    // The kernel does not show how a file was opened.
    let opened = on_it.any(|user| user.process.is_some())
        || known.iter().any(|user| user.device == format!("/dev/{}", disk.node()));
    let what = if opened {
        "a process that has it open, or something in the kernel that cannot be named"
    } else {
        "something in the kernel that cannot be named"
    };
    let description = format!("{} is claimed by {what}{}", reached.label, reached.left());
    Some(User::new(reached.danger(Danger::Holders), reached.address, reached.label.clone(), "a claim", description))
}

/// Whether a use of a disk claims it: what only gives it out, or stands on it as on a file, does not.
fn claims(user: &User) -> bool {
    let shares = ["loop", "NVMe target", "SCST", "SCSI target (file)"];
    user.process.is_none()
        && matches!(user.kind, Danger::Mounted | Danger::Swap | Danger::Holders | Danger::Redundant)
        && !shares.iter().any(|kind| user.by.starts_with(kind))
}

/// Asks for one disk, again if somebody has it.
fn ask(device: &Device) -> Answer {
    let mut answer = Answer::Claimed;
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(PAUSE);
        }
        answer = open(device);
        if answer != Answer::Claimed {
            break;
        }
    }
    answer
}

/// Opens its node, wherever udev put it, and closes it again. A node is looked at before it is opened, for any other
/// device may be behind its name.
fn open(device: &Device) -> Answer {
    let (major, minor) = device.number;
    let nodes = [format!("/dev/{}", device.node()), format!("/dev/block/{major}:{minor}")];
    let is_it = |path: &&String| found(path, device.number);
    let Some(node) = nodes.iter().find_map(|path| is_it(&path)) else {
        return Answer::Unknown(format!("it has no node in /dev ({major}:{minor})"));
    };
    let again = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&node));
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(again, flags, Mode::empty()) {
        Ok(_) => Answer::Free,
        Err(Errno::BUSY) => Answer::Claimed,
        // The claim is looked at before the driver is asked (block/bdev.c), so what the driver says means that it is free.
        Err(Errno::NXIO | Errno::NODEV | Errno::NOMEDIUM | Errno::IO) => Answer::Free,
        Err(errno) => Answer::Unknown(crate::error::plain(&errno.into())),
    }
}

/// The node under that path, if it is this device's.
fn found(path: &str, number: (u32, u32)) -> Option<std::os::fd::OwnedFd> {
    let node = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&node).ok()?;
    let is_it = FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice
        && (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)) == number;
    is_it.then_some(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_node_of_that_number_is_not_opened() {
        let device =
            |name: &str, number| Device { name: name.to_owned(), path: format!("devices/x/block/{name}"), number };
        // /dev/null is a character device, and no disk has that number.
        for device in [device("null", (1, 3)), device("no-such-disk", (4095, 77))] {
            assert!(matches!(open(&device), Answer::Unknown(why) if why.starts_with("it has no node")));
        }
    }
}
