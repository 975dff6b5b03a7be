//! Who waits in open(2): which process and user, and whether it opens the file to write.
//!
//! Only what the kernel answers from its own memory is asked. A command line is none of it: it lies in the process's memory,
//! which may be on a server that is gone.

use std::io;
use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use crate::host::invoker::login_uid;
use crate::host::pidfd;
use crate::host::procfs::Procfs;
use nix::libc;

/// What a process may do that root may (include/uapi/linux/capability.h).
const CAP_DAC_OVERRIDE: u32 = 1;

/// Who opens, or has opened, a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opener {
    /// The thread.
    pub(crate) tid: u32,
    /// Its process.
    pub(crate) pid: u32,
    /// Its short name.
    pub(crate) comm: String,
    /// The user that it runs as.
    pub(crate) uid: Option<u32>,
    /// The user who logged in.
    pub(crate) login_uid: Option<u32>,
    /// Its control group, by which containers and services are known.
    pub(crate) control_group: Option<String>,
    /// Whether it can write to files of root.
    #[serde(skip)]
    may_write: bool,
}

/// What a thread is doing in the kernel, as far as opening files goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// It opens a file to read.
    OpenToRead,
    /// It opens a file to write.
    OpenToWrite,
    /// It opens a file, or will be seen to in a moment.
    Open,
    /// It does something else, as far as its own call tells: io_uring, a call of another architecture.
    Other,
    /// It is gone.
    Gone,
}

impl Opener {
    /// The thread with this id; what cannot be read is left out.
    pub(crate) fn of(procfs: &Procfs, tid: u32) -> Self {
        let status = procfs.start_of(&format!("{tid}/status"), &mut [0; 4096]).ok().flatten().unwrap_or_default();
        let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let first = |name: &str| value(name)?.split_whitespace().next()?.parse::<u32>().ok();
        let capabilities = value("CapEff:").and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(u64::MAX);
        let uids: Vec<&str> = value("Uid:").unwrap_or_default().split_whitespace().collect();
        Self {
            tid,
            pid: first("Tgid:").unwrap_or(tid),
            comm: value("Name:").unwrap_or("?").to_owned(),
            uid: first("Uid:"),
            login_uid: None,
            control_group: None,
            may_write: uids.is_empty() || uids.contains(&"0") || capabilities & (1 << CAP_DAC_OVERRIDE) != 0,
        }
    }

    /// The same with what only records tell.
    pub(crate) fn in_full(self, procfs: &Procfs) -> Self {
        let small = |path: &str| procfs.start_of(&format!("{}/{path}", self.tid), &mut [0; 1024]).ok().flatten();
        let login_uid = small("loginuid").and_then(|text| login_uid(&text));
        let group = small("cgroup").and_then(|text| Some(text.lines().last()?.rsplit_once(':')?.1.to_owned()));
        let control_group = group.filter(|group| !matches!(group.as_str(), "" | "/"));
        Self { login_uid, control_group, ..self }
    }

    /// What is readable when his process has ended; none if it has, or cannot be watched.
    pub(crate) fn watch_process(&self) -> Option<OwnedFd> {
        pidfd::of(self.pid)
    }

    /// `pid 4711 (sh)`, for messages.
    pub(crate) fn name(&self) -> String {
        format!("pid {} ({})", self.pid, self.comm)
    }

    /// Whether it opens a file that only root may write just to read it. What cannot be told counts as writing.
    ///
    /// Whoever may not write cannot have come here otherwise; he is not looked into, so that nothing of his can hold the guard
    /// up. For all others their own call says it (proc_pid_syscall in fs/proc/base.c).
    pub(crate) fn only_reads(&self, procfs: &Procfs) -> bool {
        if !self.may_write {
            return true;
        }
        let calls = (0..LOOKS).map(|_| call_of(procfs, self.tid));
        calls.into_iter().find(|call| *call != Call::Open) == Some(Call::OpenToRead)
    }
}

/// Between being put to sleep and sleeping a thread is "running"; so often it is looked at again.
const LOOKS: usize = 50;

/// The call of a thread with its arguments, if it opens a file.
pub(crate) fn opening_call(procfs: &Procfs, tid: u32) -> Option<String> {
    let look = || procfs.start_of(&format!("{tid}/syscall"), &mut [0; 256]).ok().flatten();
    let text =
        (0..LOOKS).map(|_| look()).find(|text| text.as_ref().is_none_or(|text| !text.starts_with("running")))??;
    matches!(parse_call(&text, &|_| None), Call::OpenToRead | Call::OpenToWrite).then_some(text)
}

/// Whether a thread is in that call still. Of one that runs it is not told where: that counts as `or`.
pub(crate) fn is_in_call(procfs: &Procfs, tid: u32, call: &str, or: bool) -> bool {
    let text = procfs.start_of(&format!("{tid}/syscall"), &mut [0; 256]).ok().flatten();
    text.is_some_and(|text| text == call || or && text.starts_with("running"))
}

/// What a thread is doing.
pub(crate) fn call_of(procfs: &Procfs, tid: u32) -> Call {
    let text = match procfs.start_of(&format!("{tid}/syscall"), &mut [0; 256]) {
        Ok(Some(text)) => text,
        Ok(None) => return Call::Gone,
        Err(_) => return Call::Other,
    };
    parse_call(&text, &|address| flags_of_open_how(procfs, tid, address))
}

/// `257 0xffffff9c 0x7ffd... 0x241 0x1b6 ...`: the number and six arguments, see proc_pid_syscall(5).
pub(crate) fn parse_call(text: &str, flags_at: &dyn Fn(u64) -> Option<u64>) -> Call {
    if text.starts_with("running") {
        return Call::Open;
    }
    let mut words = text.split_whitespace();
    let number = words.next().and_then(|word| word.parse::<i64>().ok()).unwrap_or(-1);
    let arguments: Vec<u64> = words.map_while(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()).collect();
    let flags = match number {
        libc::SYS_openat => arguments.get(2).copied(),
        libc::SYS_openat2 => arguments.get(2).and_then(|address| flags_at(*address)),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_open => arguments.get(1).copied(),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_creat => Some(libc::O_WRONLY as u64),
        _ => return Call::Other,
    };
    match flags {
        Some(flags) if flags & libc::O_ACCMODE as u64 == libc::O_RDONLY as u64 => Call::OpenToRead,
        _ => Call::OpenToWrite,
    }
}

/// The first member of struct open_how.
fn flags_of_open_how(procfs: &Procfs, tid: u32, address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    let memory = procfs.open_file(&format!("{tid}/mem")).ok()??;
    let read = rustix::io::pread(&memory, &mut bytes, address).ok()?;
    (read == bytes.len()).then(|| u64::from_ne_bytes(bytes))
}

/// A file of the table that a process has open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenFile {
    /// The number of its descriptor.
    pub(crate) descriptor: String,
    /// What the kernel calls it.
    pub(crate) target: String,
}

/// The files that a process has open to write and whose links `wanted` accepts.
pub(crate) fn open_to_write(procfs: &Procfs, pid: u32, wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<OpenFile>> {
    let numbers = procfs.names(&format!("{pid}/fd"))?.unwrap_or_default();
    let mut found = Vec::new();
    for descriptor in numbers {
        let Ok(Some(target)) = procfs.link(&format!("{pid}/fd/{descriptor}")) else { continue };
        if wanted(&target) && is_to_write(procfs, pid, &descriptor) {
            found.push(OpenFile { descriptor, target });
        }
    }
    Ok(found)
}

fn is_to_write(procfs: &Procfs, pid: u32, descriptor: &str) -> bool {
    let text = procfs.start_of(&format!("{pid}/fdinfo/{descriptor}"), &mut [0; 1024]).ok().flatten();
    let flags = text.and_then(|text| {
        let octal = text.lines().find_map(|line| line.strip_prefix("flags:"))?.trim().to_owned();
        i32::from_str_radix(&octal, 8).ok()
    });
    flags.is_some_and(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_call_tells_readers_from_writers() {
        let call = |text: &str| parse_call(text, &|address| (address == 0x10).then_some(1));
        assert_eq!(call("257 0xffffff9c 0x7ffd 0x0 0x0 0x0 0x0 0x7ffd 0x7f"), Call::OpenToRead);
        assert_eq!(call("257 0xffffff9c 0x7ffd 0x80241 0x1b6 0x0 0x0 0x7ffd 0x7f"), Call::OpenToWrite);
        assert_eq!(call("2 0x7ffd 0x2 0x0 0x0 0x0 0x0 0x7ffd 0x7f"), Call::OpenToWrite);
        assert_eq!(call("437 0xffffff9c 0x7ffd 0x10 0x18 0x0 0x0 0x7ffd 0x7f"), Call::OpenToWrite);
        assert_eq!(call("437 0xffffff9c 0x7ffd 0x20 0x18 0x0 0x0 0x7ffd 0x7f"), Call::OpenToWrite);
        assert_eq!(call("426 0x3 0x1 0x0 0x0 0x0 0x0 0x7ffd 0x7f"), Call::Other);
        assert_eq!(call("running\n"), Call::Open);
        assert_eq!(call("-1 0x7ffd 0x7f"), Call::Other);
    }

    #[test]
    fn a_process_is_known_by_what_the_kernel_says_of_it() {
        let procfs = Procfs::live().unwrap();
        let own = Opener::of(&procfs, std::process::id());
        assert_eq!((own.pid, own.uid), (std::process::id(), Some(nix::unistd::getuid().as_raw())));
        assert!(!own.only_reads(&procfs) || !own.may_write, "it runs");
        let open = open_to_write(&procfs, own.pid, &|target| target == "/nowhere").unwrap();
        assert_eq!(open, []);
    }
}
