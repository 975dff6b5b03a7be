//! Reads that may hang: `driver_override` blocks for as long as a driver's probe or remove does.
//!
//! A process that sleeps in such a read cannot be ended, so the reading is left to a child. If the child does not answer
//! in time it is left behind and the values count as unknown. The child inherits no lock: nothing that can hang for ever
//! may hold one, except the writers of [`writer`](crate::execute::writer).

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::verify::overrides::Overrides;

/// The word that turns pcictl into a reader. Not a command: pcictl starts it itself.
const SUBCOMMAND: &str = "read-overrides";

/// A driver that is not stuck releases its device's lock long before.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// What `driver_override` says of these functions; `None` if that cannot be found out without hanging.
#[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "a child that is left behind if it hangs"))]
pub(crate) fn read_overrides(sysfs: &Sysfs, addresses: &[PciAddress]) -> Option<Overrides> {
    let may_say = |address: &&PciAddress| sysfs.exists(&format!("{}/driver_override", address.sysfs_link()));
    let asked: Vec<PciAddress> = addresses.iter().filter(may_say).copied().collect();
    if asked.is_empty() {
        return Some(Overrides::new());
    }
    // The plain files of a dumped tree never block.
    if sysfs.is_dump() {
        return Some(parse(&read_here(sysfs, &asked)));
    }
    let mut child = Command::new("/proc/self/exe")
        .arg(SUBCOMMAND)
        .args(asked.iter().map(ToString::to_string))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let text = answer(&mut child).ok()?;
    child.wait().ok()?.success().then(|| parse(&text))
}

/// All that the child prints before it closes its standard output; an error if that takes too long.
fn answer(child: &mut Child) -> io::Result<String> {
    let mut stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let deadline = Instant::now() + ANSWER_TIME;
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let left =
            PollTimeout::try_from(deadline.saturating_duration_since(Instant::now())).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)], left) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        match stdout.read(&mut buffer)? {
            0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
            length => text.extend_from_slice(&buffer[..length]),
        }
    }
}

/// Reads for another pcictl, if this process was started to do so.
pub(crate) fn run_if_probe() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != SUBCOMMAND {
        return None;
    }
    let address = |text: OsString| text.to_str()?.parse::<PciAddress>().ok();
    let addresses: Option<Vec<PciAddress>> = arguments.map(address).collect();
    let (Some(addresses), Ok(sysfs)) = (addresses, Sysfs::open(None)) else { return Some(ExitCode::FAILURE) };
    let printed = io::stdout().write_all(read_here(&sysfs, &addresses).as_bytes());
    Some(if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line `ADDRESS NAME` for each function that has an override.
fn read_here(sysfs: &Sysfs, addresses: &[PciAddress]) -> String {
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
