//! A place of its own for what goes on in the background, where systemd runs the machine.
//!
//! When the process that an operator started ends with 124, the unit or the session that it was started in may end too,
//! and systemd kills every process of it (KillMode= of units, KillUserProcesses= of logind). A transient scope takes the
//! processes out of it (systemd.scope(5), StartTransientUnit in org.freedesktop.systemd1(5)).
//!
//! Not promised: without systemd, without a system bus, or where they do not answer in time, the processes stay where they
//! are. systemd's own socket, which needs no bus, is nobody else's (systemd(1)) and not for busctl, whose greeting it does
//! not know. `cargo xtask soak systemd` shows all of it on real systems.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::host::procfs::Procfs;

/// There while systemd is the init of this system (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

/// Comes with systemd.
const BUSCTL: &str = "/usr/bin/busctl";

/// How long systemd waits, when the machine goes down, until what is in the scope has ended by itself, and once more after it
/// was killed; systemd's own default is 90 s. What is left is found by the kernel, which waits for the driver
/// (`device_shutdown` in drivers/base/core.c takes the device's lock).
const STOP_MICROSECONDS: &str = "10000000";

/// For as long as that the report is held back at most.
pub(crate) const LONGEST: Duration = Duration::from_secs(2);

const TICK: Duration = Duration::from_millis(10);

/// Moves these processes, the first of which is the one that leads, to a scope; gives its name when they are there.
#[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "waited for with a deadline"))]
pub(crate) fn move_to_own(procfs: &Procfs, pids: &[u32]) -> Option<String> {
    let leader = *pids.first()?;
    if !std::path::Path::new(BOOTED).is_dir() {
        return None;
    }
    let (begun, name) = (Instant::now(), format!("pcictl-{leader}.scope"));
    let asked = Command::new(BUSCTL)
        .args(arguments(&name, pids))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if !ended_well(&mut asked.ok()?, begun) {
        return None;
    }
    // The call only orders it; it is done when the kernel says so.
    let is_moved = || procfs.text(&format!("{leader}/cgroup")).ok().flatten().is_some_and(|text| text.contains(&name));
    while !is_moved() {
        if begun.elapsed() >= LONGEST {
            return None;
        }
        std::thread::sleep(TICK);
    }
    Some(name)
}

/// The call in the words of busctl(1): a name, a mode, properties, and no further units.
fn arguments(name: &str, pids: &[u32]) -> Vec<String> {
    let call = [
        "call",
        "--timeout=2",
        "org.freedesktop.systemd1",
        "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager",
        "StartTransientUnit",
        "ssa(sv)a(sa(sv))",
        name,
        "fail",
    ];
    let description = ["Description", "s", "pcictl: an operation that the kernel has not finished"];
    // Without it a scope that failed would be listed for ever.
    let collect = ["CollectMode", "s", "inactive-or-failed"];
    // A machine that goes down would wait for it twice as long as for any unit: what is in the kernel cannot be killed.
    let stop = ["TimeoutStopUSec", "t", STOP_MICROSECONDS];
    let properties = description.iter().chain(&collect).chain(&stop);
    let mut words: Vec<String> = call.iter().chain(&["4"]).chain(properties).map(|w| (*w).to_owned()).collect();
    words.extend(["PIDs".to_owned(), "au".to_owned(), pids.len().to_string()]);
    words.extend(pids.iter().map(ToString::to_string));
    words.push("0".to_owned());
    words
}

fn ended_well(child: &mut Child, begun: Instant) -> bool {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if begun.elapsed() < LONGEST => std::thread::sleep(TICK),
            _ => {
                let _ = child.kill();
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_names_every_process_once() {
        let words = arguments("pcictl-7.scope", &[7, 8]);
        assert_eq!(&words[6..10], ["ssa(sv)a(sa(sv))", "pcictl-7.scope", "fail", "4"]);
        assert!(words.windows(3).any(|words| words == ["TimeoutStopUSec", "t", "10000000"]));
        assert_eq!(&words[words.len() - 6..], ["PIDs", "au", "2", "7", "8", "0"]);
    }
}
