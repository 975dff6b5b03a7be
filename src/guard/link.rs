//! The line between the guard and its keeper, and between the guard and those who wait for locks: messages with descriptors.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

use crate::guard::checks::Conditions;
use crate::guard::kinds::MarkedFile;
use crate::guard::opener::Opener;
use crate::pci::place::Place;

/// So many descriptors go with one message; the kernel takes 253 (SCM_MAX_FD).
const MOST_DESCRIPTORS: usize = 200;

/// No message is longer.
const LONGEST: usize = 64 << 10;

/// Somebody who waits in open(2), as the keeper knows him.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// The number that he is answered by.
    pub(crate) number: i32,
    /// Who.
    pub(crate) opener: Opener,
    /// What.
    pub(crate) file: MarkedFile,
}

/// Somebody who was let go on, and for whom locks are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Granted {
    /// Counts up.
    pub(crate) id: u64,
    /// The number that he is or was answered by; none for one who was inside before the guard came.
    pub(crate) number: Option<i32>,
    /// Who.
    pub(crate) opener: Opener,
    /// What.
    pub(crate) file: MarkedFile,
    /// What is held for him exclusively; a guard of before did not say.
    #[serde(default)]
    pub(crate) tops: Vec<Place>,
}

/// What is said on the line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// The group goes with it.
    Group,
    /// A sysfs goes with it in which what is new is to be marked: that of a network namespace, by its name; without one the machine's.
    Sysfs(Option<String>),
    /// A network namespace has gone.
    NoSysfs(String),
    /// These have come, and nobody has decided about them yet; about those before them somebody has.
    Taken(Vec<Waiting>),
    /// Somebody waits.
    Waiting(Waiting),
    /// He was answered.
    Answered(i32),
    /// Somebody was let go on; his locks go with it.
    Granted(Granted),
    /// More of his locks.
    Locks(u64),
    /// He is done.
    Released(u64),
    /// The guard goes on.
    Alive,
    /// The guard ends as it should: all who wait are let go on.
    Bye,
    /// Another guard is there.
    Busy(u32),
    /// All has been handed over.
    Complete,
    /// Locks are asked for: by which directory, until when.
    Wanted(Wanted),
    /// They are there, and drivers are being stopped.
    Stops,
    /// They cannot be had.
    Refused(String),
}

/// Locks that somebody waits for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// The run directory.
    pub(crate) run: String,
    /// Whether these are the locks of this machine.
    pub(crate) is_of_host: bool,
    /// What is held exclusively.
    pub(crate) tops: Vec<Place>,
    /// How long to wait.
    pub(crate) milliseconds: u64,
    /// What for.
    pub(crate) file: MarkedFile,
    /// Whether drivers are stopped before.
    pub(crate) stops: bool,
    /// What else is asked for.
    pub(crate) conditions: Conditions,
}

/// Two ends of a new line.
///
/// # Errors
/// There are no descriptors left.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Says something; it does not wait for the other end to listen.
///
/// # Errors
/// The other end is gone, or has not listened for long.
pub(crate) fn send(line: impl AsFd, message: &Message, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message).map_err(io::Error::other)?;
    let mut chunks = descriptors.chunks(MOST_DESCRIPTORS);
    send_one(line.as_fd(), &bytes, chunks.next().unwrap_or_default())?;
    let id = if let Message::Granted(granted) = message { granted.id } else { 0 };
    for chunk in chunks {
        let bytes = serde_json::to_vec(&Message::Locks(id)).map_err(io::Error::other)?;
        send_one(line.as_fd(), &bytes, chunk)?;
    }
    Ok(())
}

fn send_one(line: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::io::retry_on_intr(|| sendmsg(line, &[IoSlice::new(bytes)], &mut control, flags))?;
    Ok(())
}

/// What is said next, with the descriptors that go with it; none at the end.
///
/// # Errors
/// Nothing is there yet (`WouldBlock`), or it makes no sense.
pub(crate) fn receive(line: impl AsFd, wait: bool) -> io::Result<Option<(Message, Vec<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0; LONGEST];
    let flags = RecvFlags::CMSG_CLOEXEC | if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    let length = loop {
        match recvmsg(&line, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
            Ok(received) => break received.bytes,
            Err(rustix::io::Errno::INTR) => {}
            // It ended with something still unread.
            Err(rustix::io::Errno::CONNRESET) => break 0,
            Err(errno) => return Err(errno.into()),
        }
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if length == 0 {
        return Ok(None);
    }
    let message = serde_json::from_slice(&bytes[..length]).map_err(io::Error::other)?;
    Ok(Some((message, descriptors)))
}
