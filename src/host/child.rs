//! Looks that may hang, made by child processes that can be left behind.
//!
//! What the kernel shows of a process may wait for a lock of that process, and a process that hangs in the kernel never
//! gives it back. A thread that waits there could not be ended, and would keep pcictl from ever forking again; a child
//! can be killed, and if it cannot, it harms nobody: it has closed every descriptor but those that it was left, so it
//! holds no lock and no terminal, and it dies with its parent.
//!
//! While one makes no progress another child goes on with what comes after, so that many that hang take no longer than
//! one; in the end it is given up, and its item is told. It does NOT promise that a child that was given up is gone: the
//! kernel decides.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid, pipe2};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::pidfd;
use crate::host::procfs::Procfs;

/// A child that says nothing for so long hangs; thousands of processes are looked at in less. A command that only looks is
/// to answer within two seconds, whatever hangs.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1500);

/// The same before a change, for what waits for a lock of the kernel that others may have for seconds and then give back, as the
/// routing lock while a network card sets up virtual functions.
pub(crate) const CHANGE_PATIENCE: Duration = Duration::from_secs(6);

/// A child that says nothing for so long keeps its item, and another one goes on with the rest.
const STALLED: Duration = Duration::from_millis(150);

/// How long one may take to end that has said all.
const END: Duration = Duration::from_millis(20);

/// So many children are there at most.
const MOST_CHILDREN: usize = 32;

/// How often a child says that it is at work.
const SIGN_OF_LIFE: Duration = Duration::from_millis(50);

/// How long children are waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// When the time for all items is up.
    pub(crate) deadline: Instant,
    /// A child that says nothing for so long hangs.
    pub(crate) silence: Duration,
}

impl Limits {
    /// For one question, to which nothing is said but the answer.
    pub(crate) fn of_answer(silence: Duration) -> Self {
        Self { deadline: Instant::now() + silence, silence }
    }
}

/// With [`PATIENCE`].
impl From<Instant> for Limits {
    fn from(deadline: Instant) -> Self {
        Self { deadline, silence: PATIENCE }
    }
}

/// Why an item was not looked at to its end.
#[derive(Debug)]
pub(crate) enum Unseen {
    /// The child waits in the kernel, where no signal reaches it.
    Hangs,
    /// The child made no progress for as long as silence is taken.
    Slow,
    /// The time for all items was up.
    OutOfTime,
    /// No child could be started.
    NoChild(io::Error),
    /// The child ended by itself.
    Died,
}

/// The child's end: what it sends is given to its parent.
#[derive(Debug)]
pub(crate) struct Sender {
    pipe: std::fs::File,
    said: Instant,
}

impl Sender {
    /// Sends what was found.
    pub(crate) fn send(&mut self, found: &impl Serialize) {
        // A value that cannot be written as JSON does not exist here; the parent would miss the line and go on.
        let mut line = serde_json::to_vec(found).unwrap_or_default();
        line.insert(0, FOUND);
        self.line(line);
    }

    /// Says that the work goes on, not too often.
    pub(crate) fn is_alive(&mut self) {
        if self.said.elapsed() > SIGN_OF_LIFE {
            self.line(Vec::new());
        }
    }

    fn line(&mut self, mut line: Vec<u8>) {
        line.push(b'\n');
        if self.pipe.write_all(&line).is_err() {
            // Nobody is left who would want to know.
            leave();
        }
        self.said = Instant::now();
    }
}

/// What a line begins with: an item's number, something found, the end.
const BEGUN: u8 = b'B';

const FOUND: u8 = b'F';

const ENDED: u8 = b'E';

/// Has children look at each item, some at a time; `take` gets what they send, with the item's number. What a child may
/// use besides memory is its own, and the descriptors that are left to it.
pub(crate) fn look_at_each<T, M: Serialize + DeserializeOwned>(
    items: &[T],
    children: usize,
    left: &[BorrowedFd<'_>],
    limits: impl Into<Limits>,
    look: &dyn Fn(&T, &mut Sender),
    mut take: impl FnMut(usize, M),
) -> Vec<(usize, Unseen)> {
    let work = |numbers: &[usize], sender: &mut Sender| {
        for number in numbers {
            let mut line = vec![BEGUN];
            line.extend_from_slice(number.to_string().as_bytes());
            sender.line(line);
            look(&items[*number], sender);
        }
        sender.line(vec![ENDED]);
    };
    let mut found = |number: usize, json: &[u8]| {
        if let Ok(message) = serde_json::from_slice(json) {
            take(number, message);
        }
    };
    supervise(items.len(), children.clamp(1, items.len().max(1)), left, limits.into(), &work, &mut found)
}

type Work<'a> = &'a dyn Fn(&[usize], &mut Sender);

fn supervise(
    items: usize,
    children: usize,
    left: &[BorrowedFd<'_>],
    limits: Limits,
    work: Work<'_>,
    found: &mut dyn FnMut(usize, &[u8]),
) -> Vec<(usize, Unseen)> {
    let mut unseen = Vec::new();
    let start = |numbers: Vec<usize>, unseen: &mut Vec<(usize, Unseen)>| -> Option<Child> {
        if numbers.is_empty() {
            return None;
        }
        match Child::start(numbers.clone(), left, work) {
            Ok(child) => Some(child),
            Err(error) => {
                let code = error.raw_os_error().unwrap_or_default();
                unseen.extend(numbers.iter().map(|n| (*n, Unseen::NoChild(io::Error::from_raw_os_error(code)))));
                None
            }
        }
    };
    let parts = (0..children).map(|part| (part..items).step_by(children).collect::<Vec<usize>>());
    let mut running: Vec<Child> = parts.filter_map(|numbers| start(numbers, &mut unseen)).collect();
    while !running.is_empty() {
        let mut next = Vec::new();
        wait_for_any(&running);
        let is_late = Instant::now() >= limits.deadline;
        let mut room = MOST_CHILDREN.saturating_sub(running.len());
        for mut child in running {
            let is_over = child.take_in(found);
            let given_up = match child.given_up(is_over, is_late, limits.silence) {
                None if is_over => continue,
                None => {
                    if room > 0 && child.has_stalled() {
                        room -= 1;
                        next.extend(start(child.overtake(), &mut unseen));
                    }
                    next.push(child);
                    continue;
                }
                Some(why) => why,
            };
            let (first, rest) = child.left();
            drop(child);
            unseen.extend(first.map(|number| (number, given_up)));
            if is_late {
                unseen.extend(rest.into_iter().map(|number| (number, Unseen::OutOfTime)));
            } else {
                next.extend(start(rest, &mut unseen));
            }
        }
        running = next;
    }
    unseen.sort_by_key(|(number, _)| *number);
    unseen
}

fn wait_for_any(running: &[Child]) {
    let mut pipes: Vec<PollFd> =
        running.iter().map(|child| PollFd::new(child.pipe.as_fd(), PollFlags::POLLIN)).collect();
    // A signal, or an error of poll, ends the wait like a message does: the caller looks again.
    let _ = poll(&mut pipes, PollTimeout::from(50u8));
}

/// The parent's end.
struct Child {
    pid: Pid,
    pipe: OwnedFd,
    numbers: Vec<usize>,
    /// The item that it is at; none before the first.
    current: Option<usize>,
    heard: Instant,
    bytes: Vec<u8>,
    has_ended: bool,
    /// It came to items that another child has since.
    is_past_its_own: bool,
}

impl Child {
    fn start(numbers: Vec<usize>, left: &[BorrowedFd<'_>], work: Work<'_>) -> io::Result<Self> {
        let (pipe, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        nix::fcntl::fcntl(&pipe, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let parent = getpid();
        // SAFETY: pcictl has one thread when it looks for users. Where the library is used by a program with more, as by
        // its tests, the child takes no lock that another thread could have held but that of malloc, which both glibc and
        // musl hand over to a child in a usable state. It ends by _exit and never returns from here.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self {
                pid: child,
                pipe,
                numbers,
                current: None,
                heard: Instant::now(),
                bytes: Vec::new(),
                has_ended: false,
                is_past_its_own: false,
            }),
            ForkResult::Child => {
                let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
                let kept: Vec<RawFd> = left.iter().map(AsRawFd::as_raw_fd).chain([theirs.as_raw_fd()]).collect();
                if getppid() == parent && close_all_but(kept).is_ok() {
                    let mut sender = Sender { pipe: theirs.into(), said: Instant::now() };
                    // A test's panic would go on in a copy of the test program.
                    let _ = catch_unwind(AssertUnwindSafe(|| work(&numbers, &mut sender)));
                }
                leave()
            }
        }
    }

    /// Takes in what it has said; whether it will say no more.
    fn take_in(&mut self, found: &mut dyn FnMut(usize, &[u8])) -> bool {
        let mut buffer = [0; 16 << 10];
        let is_over = loop {
            match nix::unistd::read(&self.pipe, &mut buffer) {
                Ok(0) => break true,
                Ok(length) => self.bytes.extend_from_slice(&buffer[..length]),
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => break false,
                Err(_) => break true,
            }
            self.heard = Instant::now();
            // One that talks without end must not keep the others from being heard.
            if self.bytes.len() > 1 << 20 {
                break false;
            }
        };
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = bytes.as_slice();
        while let Some(end) = memchr::memchr(b'\n', rest) {
            match rest[..end].split_first() {
                Some((&BEGUN, number)) => {
                    let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
                    if number.is_some_and(|number| !self.numbers.contains(&number)) {
                        self.is_past_its_own = true;
                        return true;
                    }
                    self.current = number;
                }
                Some((&FOUND, json)) => self.current.into_iter().for_each(|number| found(number, json)),
                Some((&ENDED, _)) => self.has_ended = true,
                _ => {}
            }
            rest = &rest[end + 1..];
        }
        self.bytes = rest.to_vec();
        is_over
    }

    /// Why it is given up, if it is.
    fn given_up(&self, is_over: bool, is_late: bool, silence: Duration) -> Option<Unseen> {
        if self.has_ended || self.is_past_its_own {
            return None;
        }
        if is_over {
            return Some(Unseen::Died);
        }
        if self.heard.elapsed() > silence {
            return Some(if self.is_in_kernel() { Unseen::Hangs } else { Unseen::Slow });
        }
        is_late.then_some(Unseen::OutOfTime)
    }

    /// Whether it sleeps where no signal wakes it.
    fn is_in_kernel(&self) -> bool {
        Procfs::live().is_ok_and(|procfs| procfs.stat(&self.pid.to_string()).is_some_and(|stat| stat.state == 'D'))
    }

    /// Whether it has been silent for a while, and there are items after the one that it is at.
    fn has_stalled(&self) -> bool {
        self.heard.elapsed() > STALLED && !self.left().1.is_empty()
    }

    /// Whether it has ended, and is no zombie any more.
    fn is_reaped(&self) -> bool {
        !matches!(waitpid(self.pid, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive))
    }

    /// Takes from it what comes after the item that it is at.
    fn overtake(&mut self) -> Vec<usize> {
        let (current, rest) = self.left();
        self.numbers = current.into_iter().collect();
        rest
    }

    /// The item that it is at, or would have begun with, and those after it.
    fn left(&self) -> (Option<usize>, Vec<usize>) {
        let at = self.current.and_then(|at| self.numbers.iter().position(|number| *number == at)).unwrap_or(0);
        let left = &self.numbers[at..];
        (left.first().copied(), left.get(1..).unwrap_or_default().to_vec())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.has_ended {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
        if self.is_reaped() {
            return;
        }
        // What it had to say was its last word but for the end itself, which takes a moment.
        match pidfd::of(self.pid.as_raw().unsigned_abs()) {
            Some(end) => {
                let limit = PollTimeout::try_from(END).unwrap_or(PollTimeout::ZERO);
                let _ = poll(&mut [PollFd::new(end.as_fd(), PollFlags::POLLIN)], limit);
            }
            // No kernel before Linux 5.3 has these; or there are no descriptors left.
            None => std::thread::sleep(END),
        }
        // One that does not end is left behind, and is nobody's child when pcictl ends.
        self.is_reaped();
    }
}

/// Closes every descriptor of this process but these, of a child that ends without dropping the values that own the others.
pub(crate) fn close_all_but(mut kept: Vec<RawFd>) -> io::Result<()> {
    kept.sort_unstable();
    let mut first = 0;
    for fd in kept {
        close_range(first, fd.saturating_sub(1))?;
        first = fd + 1;
    }
    close_range(first, RawFd::MAX)
}

fn close_range(first: RawFd, last: RawFd) -> io::Result<()> {
    use nix::libc;
    if first > last {
        return Ok(());
    }
    // SAFETY: this is a child that uses nothing but the descriptors that are not in any such range, and that ends without
    // dropping the values that own the others.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0 {
        return Ok(());
    }
    // Before Linux 5.9.
    for fd in Procfs::live()?.names("self/fd")?.unwrap_or_default() {
        if let Some(fd) = fd.parse::<RawFd>().ok().filter(|fd| (first..=last).contains(fd)) {
            // SAFETY: as above.
            unsafe { libc::close(fd) };
        }
    }
    Ok(())
}

/// Ends a child at once, without what the parent would do at its own end.
pub(crate) fn leave() -> ! {
    // SAFETY: it does not return and runs nothing.
    unsafe { nix::libc::_exit(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn each_item_is_looked_at_once_and_what_is_found_comes_back() {
        let items: Vec<u32> = (0..1000).collect();
        let look = |item: &u32, sender: &mut Sender| sender.send(&(item * 2));
        let mut found = vec![None; items.len()];
        let unseen = look_at_each(&items, 3, &[], soon(), &look, |number, twice: u32| found[number] = Some(twice));
        assert!(unseen.is_empty(), "{unseen:?}");
        assert!(found.iter().enumerate().all(|(number, twice)| *twice == Some(number as u32 * 2)));
    }

    #[test]
    fn one_that_makes_no_progress_is_given_up_and_the_others_are_looked_at() {
        let look = |item: &u32, sender: &mut Sender| {
            if *item == 1 {
                std::thread::sleep(Duration::from_secs(3600));
            }
            if *item == 3 {
                leave();
            }
            sender.send(item);
        };
        let mut found = Vec::new();
        let begun = Instant::now();
        let unseen = look_at_each(&[0, 1, 2, 3, 4], 1, &[], soon(), &look, |_, item: u32| found.push(item));
        assert_eq!(found, [0, 2, 4]);
        assert!(matches!(unseen[..], [(1, Unseen::Slow), (3, Unseen::Died)]), "{unseen:?}");
        assert!(begun.elapsed() < PATIENCE * 3);
    }

    /// Each of them would be waited for in turn.
    #[test]
    fn many_that_hang_take_no_longer_than_one() {
        let items: Vec<u32> = (0..20).collect();
        let look = |item: &u32, sender: &mut Sender| {
            if item % 2 == 1 {
                std::thread::sleep(Duration::from_secs(3600));
            }
            sender.send(item);
        };
        let mut found = Vec::new();
        // One after the other would need more.
        let deadline = Instant::now() + PATIENCE * 6;
        let unseen = look_at_each(&items, 1, &[], deadline, &look, |_, item: u32| found.push(item));
        found.sort_unstable();
        assert_eq!(found, (0..20).filter(|item| item % 2 == 0).collect::<Vec<u32>>());
        assert!(unseen.len() == 10 && unseen.iter().all(|(item, why)| item % 2 == 1 && matches!(why, Unseen::Slow)));
    }

    /// One that only took long goes on, and what it looks at is not looked at twice.
    #[test]
    fn one_that_was_overtaken_ends_its_own_item_and_no_other() {
        let items: Vec<u32> = (0..6).collect();
        let look = |item: &u32, sender: &mut Sender| {
            if *item == 2 {
                std::thread::sleep(STALLED * 3);
            }
            sender.send(item);
        };
        let mut found = Vec::new();
        let unseen = look_at_each(&items, 1, &[], soon(), &look, |_, item: u32| found.push(item));
        found.sort_unstable();
        assert!(unseen.is_empty(), "{unseen:?}");
        assert_eq!(found, items);
    }

    #[test]
    fn slow_is_not_stuck_and_the_time_for_all_is_bounded() {
        let look = |item: &Duration, sender: &mut Sender| {
            let end = Instant::now() + *item;
            while Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
                sender.is_alive();
            }
            sender.send(&());
        };
        let items = [PATIENCE + Duration::from_millis(500), Duration::from_secs(3600), Duration::ZERO];
        let looked = || {
            let mut found = Vec::new();
            let deadline = Instant::now() + PATIENCE + Duration::from_secs(5);
            let unseen = look_at_each(&items, 1, &[], deadline, &look, |number, ()| found.push(number));
            (found, unseen)
        };
        // On a machine so busy that a child does not run for all of PATIENCE, slow is not told from stuck.
        let is_starved = |unseen: &[(usize, Unseen)]| !matches!(unseen.first(), Some((1, Unseen::OutOfTime)));
        let mut tries = (0..5).map(|_| looked());
        let (found, unseen) = tries.find(|(_, unseen)| !is_starved(unseen)).expect("one of five");
        assert_eq!(found, [0]);
        assert!(matches!(unseen[..], [(1, Unseen::OutOfTime), (2, Unseen::OutOfTime)]), "{unseen:?}");
    }

    #[test]
    fn a_child_has_no_descriptor_that_was_not_left_to_it() {
        let file = tempfile::tempfile().unwrap();
        let look = |_: &(), sender: &mut Sender| {
            let names = Procfs::live().unwrap().names("self/fd").unwrap().unwrap();
            // Two are the walk's own.
            sender.send(&names.len());
        };
        let mut count = 0;
        look_at_each(&[()], 1, &[file.as_fd()], soon(), &look, |_, open: usize| count = open);
        assert!((2..=5).contains(&count), "{count} descriptors");
    }
}
