//! The command line that `ps` shows of this process, changed while it runs.
//!
//! The kernel shows whatever lies in the memory that it was told of (PR_SET_MM_ARG_START of prctl(2)), or, where it may not be
//! told of another (that takes CAP_SYS_RESOURCE), what lies where the arguments and the environment were. Text whose last
//! byte is not zero is shown up to the first zero byte (get_mm_cmdline in fs/proc/base.c).
//!
//! Not promised: where neither can be done the command line stays what it was, and one that had room for little is cut.

use nix::libc;

use crate::host::text::cut;

/// The memory that is shown.
pub(crate) struct Title {
    shown: &'static mut [u8],
    /// The byte that says, by not being zero, that the text was changed.
    sign: usize,
}

impl Title {
    /// Makes room for so many bytes, if possible. What the arguments and the environment of this process were cannot be relied
    /// upon afterwards.
    pub(crate) fn make(room: usize) -> Self {
        Self::elsewhere(room).or_else(Self::in_place).unwrap_or(Self { shown: &mut [], sign: 0 })
    }

    /// Shows this text, cut to the room that there is.
    pub(crate) fn show(&mut self, text: &str) {
        let Some(last) = self.shown.len().checked_sub(1) else { return };
        let text = cut(text, last).as_bytes();
        self.shown[..text.len()].copy_from_slice(text);
        self.shown[text.len()..].fill(0);
        if self.shown[self.sign] == 0 {
            self.shown[self.sign] = b' ';
        }
    }

    /// In memory of its own.
    fn elsewhere(room: usize) -> Option<Self> {
        // It is shown for as long as the process lives.
        let shown = Box::leak(vec![b' '; room.max(1)].into_boxed_slice());
        let start = shown.as_ptr() as usize;
        let moved = [(libc::PR_SET_MM_ARG_START, start), (libc::PR_SET_MM_ARG_END, start + shown.len())];
        let is_moved = moved.into_iter().all(|(what, address)| {
            // SAFETY: the kernel only notes the address, which it reads from later, as anybody's who asks for it.
            unsafe { libc::prctl(libc::PR_SET_MM, what, address, 0, 0) == 0 }
        });
        let sign = shown.len() - 1;
        is_moved.then_some(Self { shown, sign })
    }

    /// Where the arguments were, and the environment behind them.
    fn in_place() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let [start, end, environment, last] = places(&stat)?;
        let end_of_all = if environment == end && last > environment { last } else { end };
        let length = end_of_all.checked_sub(start).filter(|_| start > 0 && end > start && end <= end_of_all)?;
        // SAFETY: the kernel put the arguments and the environment there when it started the program, one behind the other,
        // and they can be written to. Whoever makes a title looks at neither any more.
        let shown = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, length) };
        Some(Self { shown, sign: end - start - 1 })
    }
}

/// Where arguments and environment begin and end, in the text of /proc/self/stat (proc_pid_stat(5), fields 48 to 51).
fn places(stat: &str) -> Option<[usize; 4]> {
    // The state behind the name is the third field.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(45).map(|field| field.parse().ok());
    Some([fields.next()??, fields.next()??, fields.next()??, fields.next()??])
}
