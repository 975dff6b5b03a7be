//! Copies of /proc what the readers of users and of stuck tasks ask for: processes that have a device open or mapped, that
//! hang, that are the first in a namespace; and the machine's swap, routes and addresses.
//!
//! Never copied: environments, memory, descriptors that lead to plain files, and command lines of processes that have
//! nothing to do with a device.

use std::collections::BTreeSet;

use crate::doctor::stack::waits_for_users;
use crate::dump::anonymize::Anonymizer;
use crate::dump::collector::Collector;
use crate::dump::format::{changed_lines, lines_of};
use crate::error::{Result, plain, rights_hint};
use crate::host::procfs::texts::{context_switches, unescape};
use crate::host::procfs::{Next, Procfs};
use crate::order;
use crate::usage::network::packets;
use crate::usage::process::descriptors::may_matter;

/// The largest of these files on a large machine: routes, mounts.
const LARGE: usize = 16 << 20;

/// A process may have hundreds of thousands of mappings.
const MAPS: usize = 64 << 20;

const SMALL: usize = 64 << 10;

/// What matters of a process.
#[derive(Debug, Default)]
struct Needed {
    /// The directory of the table of descriptors: nothing, or `task/TID/`.
    table: String,
    /// Descriptors and what they lead to.
    descriptors: Vec<(String, String)>,
    /// Lines of its map of memory.
    maps: String,
    /// Threads that wait in the kernel, each with how often it had given up the processor.
    tasks: Vec<(u32, Option<u64>)>,
    /// Whether it stands for its mount namespace.
    mounts: bool,
}

/// Copies /proc.
///
/// # Errors
/// The dump cannot be written.
pub(crate) fn copy(collector: &mut Collector) -> Result<()> {
    let Some(procfs) = collector.machine.procfs() else {
        if let Some(error) = collector.machine.procfs_error() {
            let why = plain(error);
            collector.miss("/proc", why);
        }
        return Ok(());
    };
    collector.directory("proc")?;
    machine(collector, procfs)?;
    network(collector)?;
    drivers(collector, procfs)?;
    let found = find(collector, procfs);
    for (pid, needed) in &found {
        if collector.is_full() {
            break;
        }
        process(collector, procfs, *pid, needed)?;
    }
    Ok(())
}

fn machine(collector: &mut Collector, procfs: &Procfs) -> Result<()> {
    collector.copy("proc/sys/kernel/osrelease", SMALL)?;
    collector.copy("proc/sys/kernel/random/boot_id", SMALL)?;
    collector.copy("proc/locks", LARGE)?;
    collector.copy("proc/filesystems", SMALL)?;
    collector.copy("proc/crypto", SMALL)?;
    collector.copy("proc/uptime", SMALL)?;
    if let Some(text) = collector.read_text("proc/swaps", SMALL) {
        let text = replaced(collector, text, &|names, line| Some(names.swap(line)));
        collector.put_replaced("proc/swaps", text.as_bytes())?;
    }
    for journal in procfs.names("fs/jbd2").ok().flatten().unwrap_or_default() {
        collector.directory(&format!("proc/fs/jbd2/{journal}"))?;
    }
    // The thread of a journal is called after its disk.
    let sysfs = &collector.machine.sysfs;
    let systems = sysfs.names("fs/ext4").ok().flatten().unwrap_or_default();
    let task = |system: &String| sysfs.read(&format!("fs/ext4/{system}/journal_task")).ok().flatten();
    let tasks: Vec<u32> = systems.iter().filter_map(task).filter_map(|pid| pid.trim().parse().ok()).collect();
    for pid in tasks {
        collector.copy(&format!("proc/{pid}/comm"), SMALL)?;
    }
    for pool in procfs.names("spl/kstat/zfs").ok().flatten().unwrap_or_default() {
        let Some(state) = collector.read(&format!("proc/spl/kstat/zfs/{pool}/state"), SMALL) else { continue };
        let pool = collector.names.as_ref().map_or(pool.clone(), |names| names.name(&pool));
        collector.put(&format!("proc/spl/kstat/zfs/{pool}/state"), &state)?;
    }
    Ok(())
}

/// Addresses and routes of the namespace that pcictl is in.
fn network(collector: &mut Collector) -> Result<()> {
    type Replace = fn(&Anonymizer, &str) -> String;
    let files: [(&str, Replace); 5] = [
        ("route", Anonymizer::route),
        ("ipv6_route", Anonymizer::inet6),
        ("if_inet6", Anonymizer::inet6),
        ("fib_trie", Anonymizer::text),
        ("packet", Anonymizer::text),
    ];
    for (name, replace) in files {
        let path = format!("proc/net/{name}");
        let Some(text) = collector.read_text(&path, LARGE) else { continue };
        let text = replaced(collector, text, &|names, line| Some(replace(names, line)));
        collector.put_replaced(&path, text.as_bytes())?;
    }
    Ok(())
}

/// Which node belongs to which GPU, without its serial numbers.
fn drivers(collector: &mut Collector, procfs: &Procfs) -> Result<()> {
    for name in procfs.names("driver/nvidia/gpus").ok().flatten().unwrap_or_default() {
        if !collector.scope.keeps(&name) {
            continue;
        }
        let path = format!("proc/driver/nvidia/gpus/{name}/information");
        let Some(text) = collector.read_text(&path, SMALL) else { continue };
        collector.put(&path, lines_of(&text, &["Device Minor:"]).as_bytes())?;
    }
    Ok(())
}

/// The processes that matter, and why.
fn find(collector: &mut Collector, procfs: &Procfs) -> Vec<(u32, Needed)> {
    let mut found: Vec<(u32, Needed)> = Vec::new();
    let mut namespaces = BTreeSet::new();
    let own = (!procfs.is_dump()).then(std::process::id);
    let pids = procfs.pids().unwrap_or_else(|error| {
        collector.miss("/proc", plain(&error));
        Vec::new()
    });
    let table = procfs.text("net/packet").ok().flatten().unwrap_or_default();
    let listening: Vec<String> =
        packets::sockets(&table).iter().map(|(_, inode)| format!("socket:[{inode}]")).collect();
    let mut denied = Vec::new();
    for pid in pids {
        if Some(pid) == own {
            continue;
        }
        let mut needed = Needed::default();
        let is_kernel_thread = procfs.is_kernel_thread(pid);
        if !is_kernel_thread {
            let looked =
                descriptors(collector, procfs, pid, &listening, &mut needed).and_then(|()| maps(collector, pid));
            match looked {
                Ok(maps) => needed.maps = maps,
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => denied.push(pid),
                Err(error) => collector.miss(&format!("/proc/{pid}"), plain(&error)),
            }
        }
        needed.tasks = waiting(procfs, pid);
        let mounts = || procfs.link(&format!("{pid}/ns/mnt")).ok().flatten();
        let is_new = !is_kernel_thread && mounts().is_some_and(|id| namespaces.insert(id));
        // The first process stands for the machine.
        needed.mounts = is_new || found.is_empty();
        let matters = !needed.descriptors.is_empty() || !needed.maps.is_empty() || !needed.tasks.is_empty();
        if matters || needed.mounts {
            found.push((pid, needed));
        }
    }
    // Whose child a waiting task is tells whether pcictl started it.
    let ancestors: Vec<u32> = found
        .iter()
        .filter(|(_, needed)| !needed.tasks.is_empty())
        .flat_map(|(pid, _)| procfs.ancestors(*pid))
        .collect();
    for pid in ancestors {
        if !found.iter().any(|(known, _)| *known == pid) {
            found.push((pid, Needed::default()));
        }
    }
    order::sort_by(&mut found, |(a, _), (b, _)| a.cmp(b));
    if let [first, ..] = denied[..] {
        let why = format!("{} processes may not be looked into; {}", denied.len(), rights_hint());
        collector.miss(&format!("/proc/{first}/fd"), why);
    }
    found
}

/// What a process has open of devices, and its packet sockets.
fn descriptors(
    collector: &Collector,
    procfs: &Procfs,
    pid: u32,
    listening: &[String],
    needed: &mut Needed,
) -> std::io::Result<()> {
    let Some(process) = procfs.process(pid)? else { return Ok(()) };
    let mut tables = vec![String::new()];
    while let Some(table) = tables.pop() {
        let mut kept: Vec<(String, String)> = Vec::new();
        let mut all = 0;
        process.links(&format!("{table}fd"), |fd, target| {
            all += 1;
            let listens = || listening.iter().any(|socket| socket == target);
            if (matters(target) && collector.scope.keeps(target)) || listens() {
                kept.push((fd.to_owned(), target.to_owned()));
            }
            Next::Go
        })?;
        // When a process's first thread has ended and others go on, only theirs show what it has open.
        if all == 0 && table.is_empty() && process.has_threads() {
            let threads = process.names("task")?.unwrap_or_default();
            tables.extend(threads.iter().filter(|thread| **thread != pid.to_string()).map(|t| format!("task/{t}/")));
        }
        if !kept.is_empty() {
            let number = |fd: &str| fd.parse::<u32>().unwrap_or(u32::MAX);
            order::sort_by(&mut kept, |(a, _), (b, _)| number(a).cmp(&number(b)));
            (needed.table, needed.descriptors) = (table, kept);
            break;
        }
    }
    Ok(())
}

/// Whether a reader would look at what a descriptor leads to.
fn matters(target: &str) -> bool {
    target == "anon_inode:[vfio-device]" || (target.starts_with('/') && may_matter(target))
}

/// The mappings of devices.
fn maps(collector: &mut Collector, pid: u32) -> std::io::Result<String> {
    let Some(bytes) = collector.try_read(&format!("proc/{pid}/maps"), MAPS)? else { return Ok(String::new()) };
    let text = String::from_utf8_lossy(&bytes);
    Ok(changed_lines(&text, &|line| {
        let path = unescape(&line[line.find('/')?..]);
        let is_device = path.contains("/dev/") || path.contains("/resource");
        (is_device && matters(&path) && collector.scope.keeps(&path)).then(|| line.to_owned())
    }))
}

/// Threads of a process that wait in the kernel: those that hear no signal, and those that wait for users.
fn waiting(procfs: &Procfs, pid: u32) -> Vec<(u32, Option<u64>)> {
    let main = procfs.stat(&format!("{pid}/task/{pid}"));
    let others = match main {
        None => return Vec::new(),
        Some(stat) if stat.threads == 1 => Vec::new(),
        Some(_) => procfs.names(&format!("{pid}/task")).ok().flatten().unwrap_or_default(),
    };
    let mut threads: Vec<u32> = others.iter().filter_map(|name| name.parse::<u32>().ok()).collect();
    threads.push(pid);
    threads.sort_unstable();
    threads.dedup();
    let mut found = Vec::new();
    for tid in threads {
        let path = format!("{pid}/task/{tid}");
        let state = procfs.stat(&path).map(|stat| stat.state);
        let wchan = || procfs.text(&format!("{path}/wchan")).ok().flatten().unwrap_or_default();
        if state == Some('D') || (state == Some('S') && waits_for_users(wchan().trim())) {
            found.push((tid, context_switches(&status(procfs, &path))));
        }
    }
    found
}

/// The lines of a status file that somebody reads.
fn status(procfs: &Procfs, path: &str) -> String {
    const LINES: &[&str] = &[
        "Name:",
        "State:",
        "Tgid:",
        "Pid:",
        "PPid:",
        "Uid:",
        "Threads:",
        "voluntary_ctxt_switches:",
        "nonvoluntary_ctxt_switches:",
    ];
    let text = procfs.text(&format!("{path}/status")).ok().flatten().unwrap_or_default();
    lines_of(&text, LINES)
}

fn process(collector: &mut Collector, procfs: &Procfs, pid: u32, needed: &Needed) -> Result<()> {
    let top = format!("proc/{pid}");
    collector.directory(&top)?;
    let uses = !needed.descriptors.is_empty() || !needed.maps.is_empty() || !needed.tasks.is_empty();
    for name in ["comm", "stat"] {
        collector.copy(&format!("{top}/{name}"), SMALL)?;
    }
    let text = status(procfs, &pid.to_string());
    if !text.is_empty() {
        collector.put(&format!("{top}/status"), text.as_bytes())?;
    }
    if uses {
        if let Some(bytes) = collector.read(&format!("{top}/cmdline"), SMALL) {
            let bytes = collector.names.as_ref().map_or(bytes.clone(), |names| names.command(&bytes));
            collector.put_replaced(&format!("{top}/cmdline"), &bytes)?;
        }
    }
    if !needed.maps.is_empty() {
        let text = replaced(collector, needed.maps.clone(), &|names, line| Some(mapping(names, line)));
        collector.put_replaced(&format!("{top}/maps"), text.as_bytes())?;
    }
    if needed.mounts {
        mounts(collector, &top)?;
    }
    for name in ["mnt", "net"] {
        if let Ok(Some(id)) = procfs.link(&format!("{pid}/ns/{name}")) {
            collector.link(&format!("{top}/ns/{name}"), &id)?;
        }
    }
    let Needed { table, descriptors, .. } = needed;
    for (fd, target) in descriptors {
        let target = collector.names.as_ref().map_or(target.clone(), |names| device_path(names, target));
        collector.link(&format!("{top}/{table}fd/{fd}"), &target)?;
    }
    for (fd, target) in descriptors {
        descriptor(collector, &format!("{top}/{table}fdinfo/{fd}"), target)?;
    }
    for (tid, before) in &needed.tasks {
        task(collector, procfs, &format!("{pid}/task/{tid}"), *before)?;
    }
    Ok(())
}

/// Position, mount and locks of a descriptor. The drivers of some devices add lines of their own, and may take their time.
fn descriptor(collector: &mut Collector, path: &str, target: &str) -> Result<()> {
    const ASK_DRIVERS: [&str; 3] = ["/dev/dri/", "/dev/kfd", "/dev/accel/"];
    if ASK_DRIVERS.iter().any(|node| target.starts_with(node)) {
        return Ok(());
    }
    let Some(text) = collector.read_text(path, SMALL) else { return Ok(()) };
    collector.put(path, lines_of(&text, &["pos:", "flags:", "mnt_id:", "lock:"]).as_bytes())
}

/// A thread that waits in the kernel. One that ran meanwhile has no count of switches: it did not stand still.
fn task(collector: &mut Collector, procfs: &Procfs, path: &str, before: Option<u64>) -> Result<()> {
    for name in ["comm", "stat", "wchan", "stack"] {
        collector.copy(&format!("proc/{path}/{name}"), SMALL)?;
    }
    let mut text = status(procfs, path);
    if context_switches(&text) != before {
        text = changed_lines(&text, &|line| (!line.contains("ctxt_switches:")).then(|| line.to_owned()));
        text.push_str("nonvoluntary_ctxt_switches:\tunknown\n");
    }
    if text.is_empty() { Ok(()) } else { collector.put(&format!("proc/{path}/status"), text.as_bytes()) }
}

fn mounts(collector: &mut Collector, top: &str) -> Result<()> {
    let path = format!("{top}/mountinfo");
    let Some(text) = collector.read_text(&path, LARGE) else { return Ok(()) };
    let text = replaced(collector, text, &Anonymizer::mount);
    collector.put_replaced(&path, text.as_bytes())
}

/// A text with names in its lines replaced, if that was asked for.
fn replaced(collector: &Collector, text: String, replace: &dyn Fn(&Anonymizer, &str) -> Option<String>) -> String {
    match &collector.names {
        Some(names) => changed_lines(&text, &|line| replace(names, line)),
        None => text,
    }
}

/// A mapping: numbers, then the path.
fn mapping(names: &Anonymizer, line: &str) -> String {
    let at = line.find('/').unwrap_or(line.len());
    format!("{}{}", &line[..at], device_path(names, &line[at..]))
}

/// A path that leads to a device: what is not below /dev or /sys keeps only the end that says which one.
fn device_path(names: &Anonymizer, path: &str) -> String {
    match path.rsplit_once("/spdk_pci_lock_") {
        Some((directory, address)) => format!("{}/spdk_pci_lock_{address}", names.path(directory)),
        None if path.starts_with('/') => names.path(path),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leads_to_a_device_is_kept() {
        for target in ["/dev/nvme0n1", "/sys/devices/pci0000:00/0000:00:01.0/config", "anon_inode:[vfio-device]"] {
            assert!(matters(target), "{target}");
        }
        for target in ["/home/user/letter", "/dev/null", "socket:[1]", "anon_inode:[eventfd]", "/dev/pts/0"] {
            assert!(!matters(target), "{target}");
        }
    }
}
