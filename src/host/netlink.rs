//! Netlink: one question, and the kernel's answers.
//!
//! A parser of our own: the crates for netlink (netlink-packet-route, neli) turn each answer into values of hundreds of
//! types, for every family; here are three questions, whose answers may be a million, and a few attributes of each count.
//! Nothing in an answer is taken at its word: what does not fit ends the walk over it.
//!
//! The kernel answers in the call that asks, and may wait for rtnl_lock there (net/core/rtnetlink.c), which a driver that
//! hangs can hold for ever. So these are asked in a child that can be left behind, see [`child`](crate::host::child).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

/// The kernel fills at most 32 KiB at a time (netlink_dump, net/netlink/af_netlink.c).
const BUFFER: usize = 64 << 10;

/// So often is a dump that was disturbed by a change asked for again.
const TRIES: usize = 4;

const HEADER: usize = 16;

/// NLMSG_ERROR, NLMSG_DONE; NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR (uapi/linux/netlink.h).
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const DUMP: u16 = 0x300;
const INTERRUPTED: u16 = 0x10;

/// RTM_GETLINK and RTM_SETLINK: what the kernel tells and takes of an interface (uapi/linux/rtnetlink.h).
pub(crate) const GET_LINK: u16 = 18;
pub(crate) const SET_LINK: u16 = 19;

/// What a question about an interface asks for besides; statistics are a driver's to answer, and left out.
pub(crate) const IFLA_EXT_MASK: u16 = 29;
pub(crate) const SKIP_STATS: u32 = 1 << 3;

/// A socket to ask with.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// A socket that asks about interfaces, addresses and routes of the network namespace that this process is in.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn route() -> io::Result<Self> {
        let asker = Self::open(SockProtocol::NetlinkRoute)?;
        let on: libc::c_int = 1;
        // Since 5.0 a dump is then of what was asked for only. Before, it is of everything, and whoever asks looks.
        // SAFETY: the option is an int, which outlives the call.
        unsafe {
            libc::setsockopt(
                asker.socket.as_raw_fd(),
                libc::SOL_NETLINK,
                libc::NETLINK_GET_STRICT_CHK,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            );
        }
        Ok(asker)
    }

    /// A socket that asks about RDMA devices.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn rdma() -> io::Result<Self> {
        Self::open(SockProtocol::NetlinkRDMA)
    }

    fn open(protocol: SockProtocol) -> io::Result<Self> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Asks for everything of a kind; `take` gets the body of each answer. It is told to begin anew where a change came
    /// in between; what changes all the time is taken as it was the last time.
    ///
    /// # Errors
    /// The kernel says no, or what it says cannot be understood.
    pub(crate) fn dump(&mut self, kind: u16, question: &Question, take: &mut dyn FnMut(Told<'_>)) -> io::Result<()> {
        for _ in 0..TRIES {
            take(Told::Begin);
            if self.exchange(kind, DUMP, question, take)? {
                break;
            }
        }
        Ok(())
    }

    /// Asks for one thing.
    ///
    /// # Errors
    /// As for [`dump`](Self::dump).
    pub(crate) fn get(&mut self, kind: u16, question: &Question, take: &mut dyn FnMut(Told<'_>)) -> io::Result<()> {
        self.exchange(kind, ACK, question, take).map(drop)
    }

    /// Has the kernel change something, and waits until it has.
    ///
    /// # Errors
    /// The kernel says no.
    pub(crate) fn change(&mut self, kind: u16, what: &Question) -> io::Result<()> {
        self.exchange(kind, ACK, what, &mut |_| {}).map(drop)
    }

    /// Whether the answers fit together.
    fn exchange(
        &mut self,
        kind: u16,
        flags: u16,
        question: &Question,
        take: &mut dyn FnMut(Told<'_>),
    ) -> io::Result<bool> {
        self.sequence += 1;
        let length = (HEADER + question.0.len()) as u32;
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(REQUEST | flags).to_ne_bytes());
        bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&question.0);
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        let mut buffer = vec![0; BUFFER];
        let mut fits = true;
        loop {
            let length = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC) {
                Err(Errno::EINTR) => continue,
                result => result?,
            };
            let part = buffer.get(..length).ok_or_else(broken)?;
            for message in Messages(part) {
                let Message { kind, flags, sequence, body } = message;
                if sequence != self.sequence {
                    continue;
                }
                fits &= flags & INTERRUPTED == 0;
                match kind {
                    // An acknowledgement is error 0; a dump may end with what went wrong in it.
                    ERROR | DONE => {
                        let code = body.get(..4).and_then(|code| code.try_into().ok()).map_or(0, i32::from_ne_bytes);
                        return if code < 0 { Err(io::Error::from_raw_os_error(-code)) } else { Ok(fits) };
                    }
                    _ => take(Told::Answer(body)),
                }
            }
        }
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is longer than any should be")
}

/// What [`Netlink`] gives to whoever asked.
#[derive(Debug)]
pub(crate) enum Told<'a> {
    /// The answers begin, or begin anew.
    Begin,
    /// The body of an answer.
    Answer(&'a [u8]),
}

/// The body of a question: a fixed head, then attributes.
#[derive(Clone, Debug)]
pub(crate) struct Question(Vec<u8>);

impl Question {
    /// A question with this head.
    pub(crate) fn new(head: &[u8]) -> Self {
        Self(head.to_vec())
    }

    /// What it consists of, to be put into another one.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds an attribute.
    pub(crate) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }
}

pub(crate) struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    /// What follows its head.
    pub(crate) body: &'a [u8],
}

/// The messages in what one call received.
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = number(self.0)? as usize;
        let (kind, flags) = (short(self.0.get(4..)?)?, short(self.0.get(6..)?)?);
        let sequence = number(self.0.get(8..)?)?;
        let body = self.0.get(HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, flags, sequence, body })
    }
}

/// Attributes, each with its kind and value, as far as they are whole.
#[derive(Clone, Debug)]
pub(crate) struct Attributes<'a>(&'a [u8]);

/// The attributes behind a head of this length.
pub(crate) fn attributes(body: &[u8], head: usize) -> Attributes<'_> {
    Attributes(body.get(head.next_multiple_of(4)..).unwrap_or_default())
}

impl<'a> Attributes<'a> {
    /// The value of the first attribute of this kind.
    pub(crate) fn value(&self, kind: u16) -> Option<&'a [u8]> {
        self.clone().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        /// NLA_F_NESTED and NLA_F_NET_BYTEORDER.
        const FLAGS: u16 = 0xc000;
        let length = usize::from(short(self.0)?);
        let kind = short(self.0.get(2..)?)? & !FLAGS;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// A number of 32 bits at the start of this.
pub(crate) fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// A number of 16 bits at the start of this.
pub(crate) fn short(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn attributes_are_written_and_read_with_their_padding() {
        let question = Question::new(&[9; 5 + 3]).with(1, b"abc").with(0x8002, &7u32.to_ne_bytes());
        let found: Vec<(u16, &[u8])> = attributes(&question.0, 8).collect();
        assert_eq!(found, [(1, b"abc".as_slice()), (2, &7u32.to_ne_bytes())]);
        assert_eq!(attributes(&question.0, 8).value(2).and_then(number), Some(7));
    }

    #[test]
    fn an_attribute_that_is_longer_than_its_message_is_none() {
        let whole = Question::new(&[]).with(1, b"abcd").with(2, b"efgh");
        assert_eq!(attributes(&whole.0[..15], 0).count(), 1);
        assert_eq!(attributes(&[0, 0, 1, 0, 0, 0], 0).count(), 0);
        assert_eq!(attributes(&[3, 0, 1, 0, 0, 0], 0).count(), 0);
    }

    #[test]
    fn the_kernel_tells_the_interfaces_of_this_namespace() {
        let mut asker = Netlink::route().unwrap();
        let mut count = 0;
        let mut take = |told: Told<'_>| match told {
            Told::Begin => count = 0,
            Told::Answer(_) => count += 1,
        };
        asker.dump(18, &Question::new(&[0; 16]), &mut take).unwrap();
        assert!(count >= 1);
        let nobody = Question::new(&[[0; 4], 0x7fff_fff0_u32.to_ne_bytes(), [0; 4], [0; 4]].concat());
        let error = asker.get(18, &nobody, &mut |_| {}).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_fall(bytes: Vec<u8>, head in 0usize..40) {
            for (_, value) in attributes(&bytes, head) {
                for _ in attributes(value, 0) {}
            }
            for message in Messages(&bytes) {
                for _ in attributes(message.body, head) {}
            }
        }
    }
}
