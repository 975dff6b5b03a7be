//! dm-multipath is asked which of its paths it uses: it stops using one before sysfs shows anything.
//!
//! The question goes to /dev/mapper/control, opens no disk and changes nothing (drivers/md/dm-ioctl.c, table_status). It
//! is asked by a child: the control device takes a lock that somebody who changes a table may hold for long. Who may not
//! ask, or gets no answer, does not know whether a path is in use; who looks at a dumped tree goes by what sysfs says of the
//! disks.

use std::collections::HashMap;
use std::ffi::c_int;
use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::libc;
use rustix::fs::{Mode, OFlags};

use crate::host::child::{PATIENCE, Sender, look_at_each};
use crate::host::sysfs::Sysfs;
use crate::usage::scope::number;

const CONTROL: &str = "/dev/mapper/control";

/// Room for the answer; a path takes 20 bytes.
const ROOM: usize = 64 << 10;

/// `struct dm_ioctl` (include/uapi/linux/dm-ioctl.h): its size, and where what is used of it lies.
const HEAD: usize = 312;
const DATA_SIZE: usize = 12;
const DATA_START: usize = 16;
const FLAGS: usize = 28;
const DEVICE: usize = 40;

/// `struct dm_target_spec`, which stands before each target's line.
const TARGET: usize = 40;

/// `_IOWR(0xfd, 12, struct dm_ioctl)`: the number is one on all of pcictl's architectures.
const TABLE_STATUS: u32 = 3 << 30 | (HEAD as u32) << 16 | 0xfd << 8 | 12;

/// The answer did not fit.
const BUFFER_FULL: u32 = 1 << 8;

/// Nothing is to be written back for the sake of an exact answer.
const NO_FLUSH: u32 = 1 << 11;

/// Whether each path is in use, by its number; nothing if that cannot be told.
pub(crate) fn paths(sysfs: &Sysfs, device: (u32, u32)) -> Option<HashMap<(u32, u32), bool>> {
    if sysfs.is_dump() {
        return None;
    }
    let mut found = None;
    let look = |device: &(u32, u32), sender: &mut Sender| {
        if let Ok(status) = status(*device) {
            sender.send(&status);
        }
    };
    look_at_each(&[device], 1, &[], Instant::now() + PATIENCE, &look, |_, status: String| {
        found = Some(states(&status))
    });
    found
}

/// The status line of a device's first target.
fn status((major, minor): (u32, u32)) -> nix::Result<String> {
    let control = rustix::fs::open(CONTROL, OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
        .map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
    let mut request = vec![0u8; ROOM];
    let mut put = |at: usize, value: u32| request[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    // The first version of the interface that every kernel since 2.6 takes.
    put(0, 4);
    put(DATA_SIZE, ROOM as u32);
    put(DATA_START, HEAD as u32);
    put(FLAGS, NO_FLUSH);
    // huge_encode_dev (include/linux/kdev_t.h).
    let device = u64::from(minor & 0xff | major << 8) | u64::from(minor & !0xff) << 12;
    request[DEVICE..DEVICE + 8].copy_from_slice(&device.to_ne_bytes());
    // SAFETY: the request is as long as it says, and the kernel writes no further.
    let result: c_int = unsafe { libc::ioctl(control.as_raw_fd(), TABLE_STATUS as _, request.as_mut_ptr()) };
    Errno::result(result)?;
    let get = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap_or_default());
    if get(FLAGS) & BUFFER_FULL != 0 {
        return Err(Errno::ENOBUFS);
    }
    let line = request.get(get(DATA_START) as usize + TARGET..).unwrap_or_default();
    let end = line.iter().position(|byte| *byte == 0).unwrap_or(line.len());
    Ok(String::from_utf8_lossy(&line[..end]).into_owned())
}

/// The state of each path, as the status of dm-multipath has it (drivers/md/dm-mpath.c, multipath_status): `8:16 A 0`.
pub(crate) fn states(status: &str) -> HashMap<(u32, u32), bool> {
    let words: Vec<&str> = status.split_whitespace().collect();
    let state = |pair: &[&str]| {
        let [path, state @ ("A" | "F")] = pair else { return None };
        Some((number(path)?, *state == "A"))
    };
    words.windows(2).filter_map(state).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_says_whether_it_is_in_use() {
        let status = "2 0 1 0 2 1 A 0 2 2 8:16 A 0 0 1 8:32 F 3 0 1 E 0 1 2 65:160 A 0 0 1 ";
        let found = states(status);
        assert_eq!(found.len(), 3);
        assert_eq!((found[&(8, 16)], found[&(8, 32)], found[&(65, 160)]), (true, false, true));
    }
}
