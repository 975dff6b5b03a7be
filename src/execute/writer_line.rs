//! The line between pcictl and its writer. A message comes whole or not at all (SOCK_SEQPACKET of unix(7)), and each end
//! learns when nobody is left at the other.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, recv, send, shutdown, socketpair};

use crate::plan::action::StepRef;

/// The longest message: a path and a value, of which sysfs takes a page each.
const LONGEST: usize = 3 * 4096;

/// One end of the line.
pub(crate) struct Line(OwnedFd);

/// A write that is to be made at once.
pub(crate) struct Order {
    /// The step that it is for.
    pub(crate) mark: StepRef,
    /// The file.
    pub(crate) path: String,
    /// What is written to it.
    pub(crate) value: String,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was made, with the number of the error that the kernel gave, 0 if it was none.
    Ended(StepRef, i32),
    /// No thread could be started for it, with the number of that error.
    NotBegun(StepRef, i32),
}

/// What is heard of the other end.
#[derive(Debug)]
pub(crate) enum Heard<T> {
    /// A message.
    Message(T),
    /// Nothing for now.
    Nothing,
    /// Nobody is there any more.
    Hangup,
}

impl Line {
    /// Both ends of a new line.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self(one), Self(other)))
    }

    /// Gives an order, without ever waiting: a writer that takes none was stopped.
    pub(crate) fn order(&self, order: &Order) -> Result<(), Errno> {
        let Order { mark, path, value } = order;
        self.send(&format!("{mark}\0{path}\0{value}"), MsgFlags::MSG_DONTWAIT)
    }

    /// Waits for an order; none if none will come any more.
    pub(crate) fn next_order(&self) -> Option<Order> {
        let Heard::Message(text) = self.receive(MsgFlags::empty()) else { return None };
        let mut parts = text.splitn(3, '\0');
        let mut next = || parts.next().map(str::to_owned);
        Some(Order { mark: next()?.parse().ok()?, path: next()?, value: next()? })
    }

    /// Answers; nobody need be left who hears it.
    pub(crate) fn answer(&self, answer: Answer) {
        let text = match answer {
            Answer::Ended(mark, errno) => format!("ended\0{mark}\0{errno}"),
            Answer::NotBegun(mark, errno) => format!("not-begun\0{mark}\0{errno}"),
        };
        let _ = self.send(&text, MsgFlags::empty());
    }

    /// The next answer, if there is one.
    pub(crate) fn next_answer(&self) -> Heard<Answer> {
        match self.receive(MsgFlags::MSG_DONTWAIT) {
            Heard::Message(text) => parse(&text).map_or(Heard::Hangup, Heard::Message),
            Heard::Nothing => Heard::Nothing,
            Heard::Hangup => Heard::Hangup,
        }
    }

    /// Says that no more orders will come, whoever has this end as well.
    pub(crate) fn close_orders(&self) {
        let _ = shutdown(self.0.as_raw_fd(), Shutdown::Write);
    }

    fn send(&self, text: &str, flags: MsgFlags) -> Result<(), Errno> {
        loop {
            match send(self.0.as_raw_fd(), text.as_bytes(), flags | MsgFlags::MSG_NOSIGNAL) {
                Err(Errno::EINTR) => {}
                sent => return sent.map(drop),
            }
        }
    }

    fn receive(&self, flags: MsgFlags) -> Heard<String> {
        let mut message = [0; LONGEST];
        loop {
            return match recv(self.0.as_raw_fd(), &mut message, flags) {
                // Told once, and before what was said, when the other end went without having heard all.
                Err(Errno::EINTR | Errno::ECONNRESET) => continue,
                Err(Errno::EAGAIN) => Heard::Nothing,
                Ok(0) | Err(_) => Heard::Hangup,
                Ok(length) => Heard::Message(String::from_utf8_lossy(&message[..length]).into_owned()),
            };
        }
    }
}

impl AsFd for Line {
    /// Readable when there is something to hear.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn parse(text: &str) -> Option<Answer> {
    let mut parts = text.split('\0');
    let kind = parts.next()?;
    let (mark, errno) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    match kind {
        "ended" => Some(Answer::Ended(mark, errno)),
        "not-begun" => Some(Answer::NotBegun(mark, errno)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    const MARK: StepRef = StepRef { step: 7, undo: true };

    /// Whether nothing more is said. A child that another test forks has the other end as well for a moment.
    fn hangs_up(line: &Line) -> bool {
        loop {
            match line.next_answer() {
                Heard::Nothing => _ = poll(&mut [PollFd::new(line.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE),
                heard => return matches!(heard, Heard::Hangup),
            }
        }
    }

    #[test]
    fn what_is_said_at_one_end_is_heard_at_the_other() {
        let (ours, theirs) = Line::pair().unwrap();
        let order = |value: &str| Order { mark: MARK, path: "/sys/x".to_owned(), value: value.to_owned() };
        ours.order(&order("vf 0 vlan 1")).unwrap();
        ours.order(&order("")).unwrap();
        ours.close_orders();
        let heard: Vec<Order> = std::iter::from_fn(|| theirs.next_order()).collect();
        assert!(heard.iter().all(|order| order.mark == MARK && order.path == "/sys/x"));
        assert_eq!(heard.iter().map(|order| order.value.as_str()).collect::<Vec<_>>(), ["vf 0 vlan 1", ""]);

        assert!(matches!(ours.next_answer(), Heard::Nothing));
        let answers = [Answer::Ended(MARK, 0), Answer::NotBegun(MARK, 11)];
        answers.into_iter().for_each(|answer| theirs.answer(answer));
        drop(theirs);
        for answer in answers {
            assert!(matches!(ours.next_answer(), Heard::Message(heard) if heard == answer));
        }
        assert!(hangs_up(&ours));
        assert_eq!(ours.order(&order("1")), Err(Errno::EPIPE));
    }

    #[test]
    fn what_was_said_is_heard_although_the_other_end_went_without_hearing_all() {
        let (ours, theirs) = Line::pair().unwrap();
        ours.order(&Order { mark: MARK, path: String::new(), value: String::new() }).unwrap();
        theirs.answer(Answer::Ended(MARK, 5));
        drop(theirs);
        assert!(matches!(ours.next_answer(), Heard::Message(Answer::Ended(MARK, 5))));
        assert!(hangs_up(&ours));
    }

    #[test]
    fn an_order_that_nobody_takes_is_not_waited_for() {
        let (ours, _theirs) = Line::pair().unwrap();
        let order = Order { mark: MARK, path: "x".repeat(4096), value: String::new() };
        assert_eq!((0..10_000).find_map(|_| ours.order(&order).err()), Some(Errno::EAGAIN));
    }
}
