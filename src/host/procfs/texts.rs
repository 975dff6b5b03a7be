//! What the texts of /proc say; see proc(5).

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What /proc/PID/stat says of a task, see proc_pid_stat(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskStat {
    /// D waits and hears no signal, S waits and does, R runs.
    pub(crate) state: char,
    /// The process that it is a child of; 0 for none.
    pub(crate) parent: u32,
    /// Threads of its process; 0 if unknown, as in a dump that lacks the field.
    pub(crate) threads: usize,
    /// When it started, in ticks since boot; 0 if unknown.
    pub(crate) started: u64,
    /// How much processor time it has used, its own and the kernel's for it, in ticks.
    pub(crate) used: u64,
    /// Where its program begins in memory, and its stack: as they were when it was executed, and as who was forked from it
    /// has them. Zeros if it has no memory, or if that may not be known.
    pub(crate) layout: (u64, u64),
}

impl TaskStat {
    /// `PID (COMM) STATE ...`, where COMM may hold anything.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let mut number = |skipped: usize| fields.nth(skipped).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        // The fourth, the fourteenth and fifteenth, the twentieth and the twenty-second field; the state is the third.
        let (parent, used, threads, started) = (number(0), number(9).saturating_add(number(0)), number(4), number(1));
        // The twenty-sixth and the twenty-eighth.
        let layout = (number(3), number(1));
        let (parent, threads) = (u32::try_from(parent).ok()?, usize::try_from(threads).ok()?);
        Some(Self { state, parent, threads, started, used, layout })
    }

    /// How long it has been running, that long after the boot.
    pub(crate) fn age(&self, since_boot: Duration) -> Duration {
        since_boot.saturating_sub(ticks(self.started))
    }

    /// How much processor time it has used since it was seen like that.
    pub(crate) fn used_since(&self, before: &Self) -> Duration {
        ticks(self.used.saturating_sub(before.used))
    }
}

fn ticks(count: u64) -> Duration {
    /// USER_HZ, which is 100 on every architecture that has PCI (include/asm-generic/param.h).
    const PER_SECOND: u64 = 100;
    Duration::from_millis(count.saturating_mul(1000 / PER_SECOND))
}

/// The time since boot in the text of /proc/uptime; none of a number that is none, as somebody may have written.
pub(crate) fn uptime(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.split_whitespace().next()?.parse().ok()?).ok()
}

/// How often a task was given a processor and gave it back, in the text of /proc/PID/status.
pub(crate) fn context_switches(status: &str) -> Option<u64> {
    let counts = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
    counts.map(|(_, count)| count.trim().parse::<u64>().ok()).try_fold(0, |sum: u64, count| sum.checked_add(count?))
}

/// The time since boot, including time asleep: the clock that nobody sets.
pub(crate) fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

/// The real user id in the text of /proc/PID/status.
pub(crate) fn real_uid(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse().ok())
}

/// The arguments of a command line, which zero bytes end, separated by spaces.
pub(crate) fn words(cmdline: &[u8]) -> String {
    let words = cmdline.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(String::from_utf8_lossy);
    words.collect::<Vec<_>>().join(" ")
}

/// Undoes the octal escapes of the kernel's tables: `\040` is a space.
pub(crate) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|digits| byte == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        match digits {
            Some(&[a, b, c]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = &after[3..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_the_kernel_are_undone() {
        assert_eq!(unescape(r"/mnt/a\040b\011c\134"), "/mnt/a b\tc\\");
        assert_eq!(unescape(r"/x\04"), r"/x\04");
    }

    #[test]
    fn a_command_name_may_hold_anything() {
        let line = "7 (a) b) c) S 3 7 7 0 -1 1 0 0 0 0 5 2 0 0 20 0 4 0 812 1 1 9 26 27 28";
        let stat = TaskStat { state: 'S', parent: 3, threads: 4, started: 812, used: 7, layout: (26, 28) };
        assert_eq!(TaskStat::parse(line), Some(stat));
        let stat = TaskStat { state: 'S', parent: 0, threads: 0, started: 0, used: 0, layout: (0, 0) };
        assert_eq!(TaskStat::parse("7 (a) S"), Some(stat));
        assert_eq!(TaskStat::parse("7 (a"), None);
    }

    #[test]
    fn a_count_that_is_unknown_counts_as_none() {
        assert_eq!(context_switches("voluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t4\n"), Some(7));
        assert_eq!(context_switches("nonvoluntary_ctxt_switches:\tunknown\n"), None);
        let most = u64::MAX;
        assert_eq!(context_switches(&format!("a_ctxt_switches:\t{most}\nb_ctxt_switches:\t1\n")), None);
    }

    #[test]
    fn an_age_is_told_of_any_numbers() {
        let stat = |started: u64| TaskStat { state: 'S', parent: 1, threads: 1, started, used: 0, layout: (0, 0) };
        assert_eq!(stat(500).age(Duration::from_secs(7)), Duration::from_secs(2));
        assert_eq!(stat(u64::MAX).age(Duration::from_secs(7)), Duration::ZERO);
        assert_eq!(uptime("7.25 3.00\n"), Some(Duration::from_millis(7250)));
        for text in ["", "nan", "-1 0", "1e300", "inf"] {
            assert_eq!(uptime(text), None, "{text}");
        }
    }
}
