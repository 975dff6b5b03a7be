//! Reads `driver_override`, a file that can block for as long as a driver's probe or remove does.
//!
//! Whoever sleeps in such a read cannot be ended, so the reading is left to a process of its own. If that does not answer
//! in time it is left behind and the values count as unknown.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::verify::capture::Overrides;

/// The hidden command that reads; see [`read_here`].
pub const HELPER: &str = "read-overrides";

/// A driver that is not stuck is done with its device lock long before.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `driver_override` says of these functions; none if that cannot be found out without hanging.
pub fn read_overrides(sysfs: &Sysfs, addresses: &[PciAddress]) -> Option<Overrides> {
    let may_say = |address: &&PciAddress| sysfs.exists(&format!("{}/driver_override", address.sysfs_link()));
    let asked: Vec<&PciAddress> = addresses.iter().filter(may_say).collect();
    if asked.is_empty() {
        return Some(Overrides::new());
    }
    let mut child = Command::new("/proc/self/exe")
        .arg(HELPER)
        .args(asked.iter().map(ToString::to_string))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdout = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text);
        // Nobody listens any more when it took too long.
        let _ = sender.send(read.ok().map(|_| text));
    });
    match receiver.recv_timeout(PATIENCE) {
        Ok(Some(text)) => {
            let ended_well = child.wait().ok()?.success();
            ended_well.then(|| parse(&text))
        }
        // It cannot be waited for: that is why it is a process of its own.
        Ok(None) | Err(_) => None,
    }
}

/// The helper's work: a line `ADDRESS NAME` for each function that has an override.
pub fn read_here(sysfs: &Sysfs, addresses: &[PciAddress]) -> String {
    let line = |address: &PciAddress| {
        let text = sysfs.read(&format!("{}/driver_override", address.sysfs_link())).ok().flatten()?;
        // drivers/pci/pci-sysfs.c prints a null pointer when there is none.
        (!text.is_empty() && text != "(null)").then(|| format!("{address} {text}\n"))
    };
    addresses.iter().filter_map(line).collect()
}

fn parse(text: &str) -> Overrides {
    let pair = |line: &str| {
        let (address, name) = line.split_once(' ')?;
        Some((address.parse().ok()?, name.to_owned()))
    };
    text.lines().filter_map(pair).collect()
}
