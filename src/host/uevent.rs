//! What the kernel and udev announce: a socket to wait on, so that readiness is looked at when something happened.
//!
//! Events only say when to look; what counts is what sysfs shows then. There is one exception: a driver's link is there
//! before its probe has ended, and the end is announced by a `bind` event alone. Where no events can be heard at all (a
//! container with a network namespace of its own) the links must do.

use std::collections::HashSet;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket, sockopt,
};

use crate::pci::address::PciAddress;

/// The kernel's own events.
const KERNEL: u32 = 1;

/// Those that udev sends when it is done with one (systemd's libudev, MONITOR_GROUP_UDEV).
const UDEV: u32 = 2;

/// Enough for the events of a few hundred functions.
const BUFFER: usize = 4 << 20;

/// Where a driver's failure to probe is told with its reason.
const KERNEL_LOG: &str = "/dev/kmsg";

/// Listens from the moment it is made.
#[derive(Debug)]
pub(crate) struct Events {
    socket: Option<OwnedFd>,
    log: Option<std::fs::File>,
    /// Readable as soon as a signal is pending that somebody else has blocked in order to hear it.
    signals: Option<SignalFd>,
    heard: UeventLog,
}

/// What was heard so far.
#[derive(Debug, Default)]
pub struct UeventLog {
    added: bool,
    overflowed: bool,
    interrupted: bool,
    /// Whether the kernel's events reach this process at all.
    audible: bool,
    bound: HashSet<PciAddress>,
    /// Functions that were without a driver at some moment since listening began.
    unbound: HashSet<PciAddress>,
    failed: Vec<(PciAddress, String)>,
}

impl UeventLog {
    /// Whether this function came, went or lost its driver since listening began.
    pub(crate) fn was_unbound(&self, address: PciAddress) -> bool {
        self.unbound.contains(&address)
    }

    /// Whether a driver's probe of this function has ended well since listening began; taken for granted where that could
    /// not have been heard. For a function that was there before, which no `add` event announces.
    pub(crate) fn has_ended_probe(&self, address: PciAddress) -> bool {
        !self.audible || self.overflowed || self.bound.contains(&address)
    }

    /// Whether a driver's probe of this function has ended well; taken for granted if that could not have been heard.
    pub(crate) fn has_bound(&self, address: PciAddress) -> bool {
        !self.added || self.overflowed || self.bound.contains(&address)
    }

    /// Why a driver's probe of this function failed, if it did and none has bound since.
    pub(crate) fn failure(&self, address: PciAddress) -> Option<&str> {
        let failed = self.failed.iter().rev().find(|(failed, _)| *failed == address);
        failed.filter(|_| !self.bound.contains(&address)).map(|(_, why)| why.as_str())
    }

    /// Whether somebody wants this to end: a signal is pending. It is left to whoever listens to signals.
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// Takes in a message of the kernel or of udev.
    pub(crate) fn event(&mut self, message: &[u8]) {
        // udev's messages have a binary header and end in the same list of words.
        let mut words = message.split(|byte| *byte == 0).filter_map(|word| std::str::from_utf8(word).ok());
        let (mut action, mut path, mut pci) = ("", "", false);
        for word in words.by_ref() {
            match word.split_once('=') {
                Some(("ACTION", value)) => action = value,
                Some(("DEVPATH", value)) => path = value,
                Some(("SUBSYSTEM", "pci")) => pci = true,
                _ => {}
            }
        }
        let Some(address) = path.rsplit('/').next().filter(|_| pci).and_then(PciAddress::from_sysfs_name) else {
            return;
        };
        match action {
            "add" => {
                self.added = true;
                self.unbound.insert(address);
            }
            "bind" => {
                self.bound.insert(address);
            }
            "unbind" | "remove" => {
                self.bound.remove(&address);
                self.unbound.insert(address);
            }
            _ => {}
        }
    }

    /// A record of the kernel log: `slowpci 0000:03:00.0: probe with driver slowpci failed with error -5`, before 6.10
    /// `slowpci: probe of 0000:03:00.0 failed with error -5`.
    pub(crate) fn log_line(&mut self, record: &str) {
        let Some(text) = record.split_once(';').and_then(|(_, text)| text.lines().next()) else { return };
        let Some((before, error)) = text.split_once(" failed with error -") else { return };
        if !before.contains("probe") {
            return;
        }
        let words = before.split([' ', ',']).map(|word| word.trim_end_matches(':'));
        let Some(address) = words.into_iter().find_map(PciAddress::from_sysfs_name) else { return };
        let why =
            error.parse().map_or_else(|_| format!("error {error}"), |code| Errno::from_raw(code).desc().to_owned());
        self.failed.push((address, why));
    }
}

impl Events {
    /// Begins to listen; where that is not possible, waits still end at their deadlines.
    pub(crate) fn listen() -> Self {
        let socket = open_socket(KERNEL | UDEV).ok();
        let heard = UeventLog { audible: socket.is_some() && hears_kernel(), ..UeventLog::default() };
        Self { socket, log: open_log().ok(), signals: pending_signals().ok(), heard }
    }

    /// Hears signals only: what this machine announces says nothing of a dumped tree.
    pub(crate) fn deaf() -> Self {
        Self { socket: None, log: None, signals: pending_signals().ok(), heard: UeventLog::default() }
    }

    /// Waits until something happens or the time is up, and takes in all that has.
    pub(crate) fn wait(&mut self, longest: Duration) {
        let timeout = PollTimeout::try_from(longest).unwrap_or(PollTimeout::MAX);
        let mut waited: Vec<PollFd> = Vec::new();
        waited.extend(self.socket.as_ref().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
        waited.extend(self.log.as_ref().map(|log| PollFd::new(log.as_fd(), PollFlags::POLLIN)));
        waited.extend(self.signals.as_ref().map(|wishes| PollFd::new(wishes.as_fd(), PollFlags::POLLIN)));
        // A signal, or an error of poll, ends the wait like an event does: the caller looks again.
        let _ = poll(&mut waited, timeout);
        self.take_in();
    }

    /// What was heard so far, without waiting.
    pub(crate) fn heard(&mut self) -> &UeventLog {
        self.take_in();
        &self.heard
    }

    fn take_in(&mut self) {
        self.heard.interrupted |= self.signals.as_ref().is_some_and(|wishes| {
            let mut pending = [PollFd::new(wishes.as_fd(), PollFlags::POLLIN)];
            poll(&mut pending, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
        });
        let mut buffer = vec![0; 16 << 10];
        while let Some(socket) = &self.socket {
            // Only root can send to these groups, so whatever comes is the kernel's or udev's.
            match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => self.heard.event(&buffer[..length]),
                Err(Errno::ENOBUFS) => self.heard.overflowed = true,
                Err(Errno::EINTR) => {}
                Err(_) => break,
            }
        }
        while let Some(log) = &mut self.log {
            match log.read(&mut buffer) {
                Ok(length) if length > 0 => self.heard.log_line(&String::from_utf8_lossy(&buffer[..length])),
                // EPIPE: records were overwritten before they were read; the next read goes on with what is left.
                Err(error) if error.raw_os_error() == Some(Errno::EPIPE as i32) => {}
                _ => break,
            }
        }
    }
}

/// What the kernel itself announces of devices, drivers and slots, from the moment it is made.
#[derive(Debug)]
pub(crate) struct Announcements {
    socket: OwnedFd,
}

/// Something that the kernel announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// `add`, `bind`, `remove` and others.
    pub(crate) action: String,
    /// Its directory below `sys`.
    pub(crate) path: String,
}

impl Announcements {
    /// Begins to listen.
    ///
    /// # Errors
    /// There is no such socket here.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { socket: open_socket(KERNEL)? })
    }

    /// Gives `take` all that came since the last time; false if some of it was lost.
    pub(crate) fn take_in(&self, take: &mut dyn FnMut(Announcement)) -> bool {
        let (mut buffer, mut complete) = (vec![0; 16 << 10], true);
        loop {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => Announcement::parse(&buffer[..length]).into_iter().for_each(&mut *take),
                Err(Errno::ENOBUFS) => complete = false,
                Err(Errno::EINTR) => {}
                Err(_) => return complete,
            }
        }
    }
}

impl AsFd for Announcements {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Announcement {
    /// Whether there may be files that were not there before: a driver that starts may bring some, too.
    pub(crate) fn may_bring_files(&self) -> bool {
        matches!(self.action.as_str(), "add" | "bind" | "move")
    }

    /// Reads a message of the kernel: words, each ended by a zero byte.
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        let words = || message.split(|byte| *byte == 0).filter_map(|word| std::str::from_utf8(word).ok());
        let value = |name: &str| words().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let path = value("DEVPATH")?.trim_start_matches('/').to_owned();
        Some(Self { action: value("ACTION")?.to_owned(), path })
    }
}

fn open_socket(groups: u32) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Netlink, SockType::Datagram, flags, SockProtocol::NetlinkKObjectUEvent)?;
    // Root may have more than the limit that is set for everybody; for others the default must do.
    let _ = setsockopt(&socket, sockopt::RcvBufForce, &BUFFER);
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

/// Whether the kernel's events get here: it sends them to the network namespaces of the initial user namespace
/// (uevent_net_broadcast_untagged in lib/kobject_uevent.c), whose number is fixed (PROC_USER_INIT_INO).
pub(crate) fn hears_kernel() -> bool {
    const INITIAL: &str = "user:[4026531837]";
    std::fs::read_link("/proc/self/ns/user").is_ok_and(|namespace| namespace.as_os_str() == INITIAL)
}

/// The signals that are blocked already, and so would not end the wait by themselves.
fn pending_signals() -> nix::Result<SignalFd> {
    SignalFd::with_flags(&SigSet::thread_get_mask()?, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// The kernel log from its end on.
fn open_log() -> std::io::Result<std::fs::File> {
    use std::io::{Seek, SeekFrom};
    use std::os::unix::fs::OpenOptionsExt;
    let mut log = std::fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(KERNEL_LOG)?;
    log.seek(SeekFrom::End(0))?;
    Ok(log)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::sys::signal::SigSet;
    use nix::sys::signalfd::{SfdFlags, SignalFd};

    use super::*;
    use crate::pci::address::PciAddress;

    fn at(text: &str) -> PciAddress {
        text.parse().unwrap()
    }

    #[test]
    fn the_end_of_a_probe_is_heard() {
        let mut heard = UeventLog::default();
        assert!(heard.has_bound(at("0000:03:00.0")), "nothing can be heard: the link must do");
        heard.event(b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/pci0000:00/0000:03:00.0\0SUBSYSTEM=pci\0SEQNUM=1\0");
        assert!(!heard.has_bound(at("0000:03:00.0")));
        heard.event(b"bind@/d\0ACTION=bind\0DEVPATH=/devices/pci0000:00/0000:03:00.0\0SUBSYSTEM=net\0");
        assert!(!heard.has_bound(at("0000:03:00.0")), "of another subsystem");
        heard.event(
            b"libudev\0\xfe\xed\xca\xfeACTION\0ACTION=bind\0DEVPATH=/devices/pci0000:00/0000:03:00.0\0SUBSYSTEM=pci\0",
        );
        assert!(heard.has_bound(at("0000:03:00.0")) && !heard.has_bound(at("0000:04:00.0")));
    }

    #[test]
    fn a_function_that_was_there_is_bound_when_the_kernel_says_so() {
        let function = at("0000:03:00.0");
        assert!(UeventLog::default().has_ended_probe(function), "nothing can be heard: the link must do");
        let mut heard = UeventLog { audible: true, ..UeventLog::default() };
        assert!(!heard.has_ended_probe(function) && !heard.was_unbound(function));
        heard.event(b"x\0ACTION=unbind\0DEVPATH=/d/0000:03:00.0\0SUBSYSTEM=pci\0");
        assert!(!heard.has_ended_probe(function) && heard.was_unbound(function));
        heard.event(b"x\0ACTION=bind\0DEVPATH=/d/0000:03:00.0\0SUBSYSTEM=pci\0");
        assert!(heard.has_ended_probe(function) && heard.was_unbound(function));
    }

    #[test]
    fn a_pending_signal_ends_the_wait_and_is_left_pending() {
        use nix::sys::signal::{Signal, raise};
        let mut set = SigSet::empty();
        set.add(Signal::SIGUSR2);
        set.thread_block().unwrap();
        let mut events = Events::listen();
        assert!(!events.heard().interrupted());
        raise(Signal::SIGUSR2).unwrap();
        events.wait(Duration::from_secs(3600));
        assert!(events.heard().interrupted());
        let theirs = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK).unwrap();
        assert!(theirs.read_signal().unwrap().is_some());
    }

    #[test]
    fn a_failed_probe_is_read_from_the_log_of_old_and_new_kernels() {
        let mut heard = UeventLog::default();
        heard
            .log_line("4,1,2,-;slowpci 0000:03:00.0: probe with driver slowpci failed with error -5\n SUBSYSTEM=pci\n");
        heard.log_line("4,1,2,-;slowpci: probe of 0000:04:00.0 failed with error -12\n");
        heard.log_line("4,1,2,-;nvme 0000:05:00.0: Removing after a while failed with error -1\n");
        assert_eq!(heard.failure(at("0000:03:00.0")), Some("I/O error"));
        assert_eq!(heard.failure(at("0000:04:00.0")), Some("Out of memory"));
        assert_eq!(heard.failure(at("0000:05:00.0")), None);
        heard.event(b"x\0ACTION=bind\0DEVPATH=/d/0000:03:00.0\0SUBSYSTEM=pci\0");
        assert_eq!(heard.failure(at("0000:03:00.0")), None, "a later one bound");
    }
}
