//! Takes live lines back when a signal ends or stops the program: nobody else knows that they are there.
//!
//! Only where a signal has its default effect: operations hear of signals in their own way, and what is ignored (nohup) stays
//! ignored. A forked process has no part in the lines.

use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use nix::libc::{self, c_int};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use crate::terminal::live::MOST;

/// What ends the program by default, or stops it.
const SIGNALS: [Signal; 5] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP];

/// What takes so many lines back (ECMA-48 CUU, ED): ready, as a handler must not put a text together.
const TEXTS: [&[u8]; MOST] = [
    b"\r\x1b[J",
    b"\r\x1b[1A\x1b[J",
    b"\r\x1b[2A\x1b[J",
    b"\r\x1b[3A\x1b[J",
    b"\r\x1b[4A\x1b[J",
    b"\r\x1b[5A\x1b[J",
    b"\r\x1b[6A\x1b[J",
    b"\r\x1b[7A\x1b[J",
];

/// How many lines are on the screen.
static DRAWN: AtomicUsize = AtomicUsize::new(0);

/// The process that drew them.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// What takes so many lines back.
pub(super) fn text(drawn: usize) -> &'static [u8] {
    drawn.checked_sub(1).and_then(|index| TEXTS.get(index)).copied().unwrap_or_default()
}

/// How many lines are on the screen: none any more after a stop.
pub(super) fn drawn() -> usize {
    DRAWN.load(Ordering::Relaxed)
}

/// So many lines are about to be on the screen.
pub(super) fn will_draw(lines: usize) {
    if lines > 0 {
        OWNER.store(nix::unistd::getpid().as_raw(), Ordering::Relaxed);
        SIGNALS.into_iter().for_each(hear);
    }
    DRAWN.store(lines, Ordering::Relaxed);
}

/// Has a signal take the lines back first, if it has its default effect.
fn hear(signal: Signal) {
    let flags = SaFlags::SA_RESTART | SaFlags::SA_RESETHAND;
    let action = SigAction::new(SigHandler::Handler(take_back), flags, SigSet::empty());
    // SAFETY: the handler does only what a handler may do (signal-safety(7)): it loads, stores, and calls getpid, write, raise.
    let Ok(old) = (unsafe { sigaction(signal, &action) }) else { return };
    if !matches!(old.handler(), SigHandler::SigDfl | SigHandler::Handler(_)) {
        // SAFETY: what was set before is set again.
        let _ = unsafe { sigaction(signal, &old) };
    }
}

extern "C" fn take_back(signal: c_int) {
    // SAFETY: these three calls may be made in a handler, and the text is static. Its default effect is set again by now
    // (SA_RESETHAND), and comes as soon as the handler returns.
    unsafe {
        if libc::getpid() == OWNER.load(Ordering::Relaxed) {
            let text = text(DRAWN.swap(0, Ordering::Relaxed));
            libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len());
        }
        libc::raise(signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_text_for_as_many_lines_as_are_drawn() {
        assert_eq!((text(0), text(1), text(MOST + 1)), (&b""[..], &b"\r\x1b[J"[..], &b""[..]));
        for lines in 2..=MOST {
            assert_eq!(text(lines), format!("\r\x1b[{}A\x1b[J", lines - 1).as_bytes());
        }
    }
}
