//! The programs of pcictl-locking(7): they take part in the locking as the page says, with nothing of pcictl in them.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{Page, plain, repository};
use crate::locks::machine::{BELOW, BESIDE, Machine, PORT, find_node};
use crate::support::{processes, scratch_directory};

const PORT_PLACE: &str = "pci0000:00/01.0/00.0/00.0";

/// How a program says that the files must be made first.
const NEW: &str = "have pcictl lock it once";

/// The two programs, the one in C compiled as a distribution would.
fn programs(scratch: &Path) -> [PathBuf; 2] {
    let source = repository().join("tests/join/join.c");
    let compiled = scratch.join("join");
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2", "-o"]).arg(&compiled).arg(source);
    let output = processes::output(&mut cc);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    [compiled, repository().join("tests/join/join.sh")]
}

/// The command line that has a program take the lock of PORT.
fn join(program: &Path, machine: &Machine, script: &str) -> Command {
    let mut command = Command::new(program);
    command.arg(machine.run_dir().join("locks")).args([PORT_PLACE, "sh", "-c", script]).env_clear();
    command.env("PATH", "/usr/bin:/bin").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts it, and returns when it has the lock.
fn start(command: &mut Command) -> Child {
    let mut child = processes::start(command);
    let mut line = String::new();
    BufReader::with_capacity(1, child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    if line != "held\n" {
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        panic!("{line}{said}");
    }
    child
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A process at a node, as `pcictl locks` tells it.
struct Party<'a> {
    place: &'a str,
    pid: u32,
    mode: &'a str,
    role: &'a str,
    intention: bool,
}

impl Party<'_> {
    fn is_in(&self, locks: &Value) -> bool {
        let holders = find_node(locks, self.place).and_then(|node| node["holders"].as_array());
        holders.into_iter().flatten().any(|holder| {
            let words = holder["mode"] == self.mode && holder["role"] == self.role;
            words && holder["pid"] == self.pid && holder["intention"] == self.intention
        })
    }
}

/// Looks at the locks until all of these are seen: the kernel's table loses lines while others lock and unlock.
fn assert_seen(machine: &Machine, child: &mut Child, parties: &[Party<'_>]) {
    const LOOKS: usize = 200;
    let mut last = Value::Null;
    for _ in 0..LOOKS {
        last = serde_json::from_slice(&machine.run("locks --json").output().stdout).unwrap();
        if parties.iter().all(|party| party.is_in(&last)) {
            return;
        }
        assert_eq!(child.try_wait().unwrap(), None, "it has ended");
    }
    panic!("{last}");
}

#[test]
fn the_page_has_these_very_programs() {
    let page = Page::all().into_iter().find(|page| page.name == "pcictl-locking").unwrap();
    let text = plain(&page.lines_of("EXAMPLES").join("\n"));
    for file in ["join.c", "join.sh"] {
        let source = fs::read_to_string(repository().join("tests/join").join(file)).unwrap();
        assert!(text.contains(&source), "{file}");
    }
}

#[test]
fn files_that_pcictl_has_not_made_are_not_relied_on() {
    let scratch = scratch_directory();
    for program in programs(scratch.path()) {
        let machine = Machine::new();
        let refused = |why: &str| {
            let output = processes::output(&mut join(&program, &machine, "echo never"));
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!((output.status.code(), output.stdout.len()), (Some(75), 0), "{why}: {said}");
            said
        };
        machine.assert_free(BESIDE);
        refused("the files of this node are missing");
        machine.assert_free(PORT);
        let lock = machine.run_dir().join("locks/pci0000:00+01.0+00.0+00.0.lock");
        let mark = fs::read(&lock).unwrap();
        for wrong in ["", "pcictl 0:1 /run/pcictl/locks/root.lock\n"] {
            fs::write(&lock, wrong).unwrap();
            assert!(refused(wrong).contains(NEW));
        }
        fs::write(&lock, mark).unwrap();
        end(start(&mut join(&program, &machine, "echo held")));
    }
}

#[test]
fn pcictl_is_kept_out_and_names_the_holder() {
    let scratch = scratch_directory();
    for program in programs(scratch.path()) {
        let machine = Machine::new();
        machine.assert_free(PORT);
        let mut holder = start(&mut join(&program, &machine, "echo held; read line; exit 0"));
        let pid = holder.id();
        // At the node, below it and above it; not beside it.
        for selector in [PORT, BELOW, "pci0000:00", "--all"] {
            let said = format!(
                "pcictl: cannot lock [..] is locked by pid {pid} (root, for [..] s): sh -c echo held; read line; exit 0\n\
                 hint: [..]\n"
            );
            machine.run(&format!("lock --no-wait {selector} -- echo never")).stderr_like(said).status(75).check();
        }
        machine.assert_free(BESIDE);
        let way = |place| Party { place, pid, mode: "shared", role: "holds", intention: true };
        let top = Party { place: PORT_PLACE, pid, mode: "exclusive", role: "holds", intention: false };
        assert_seen(&machine, &mut holder, &[way("root"), way("pci0000:00"), way("pci0000:00/01.0/00.0"), top]);
        let waiter =
            machine.lock(PORT, "echo in").stdout("in\n").stderr_like("pcictl: [..]\npcictl: [..]got the lock[..]\n");
        let waiter = waiter.spawn().waits();
        end(holder);
        waiter.end();
    }
}

#[test]
fn they_wait_for_pcictl() {
    let scratch = scratch_directory();
    for program in programs(scratch.path()) {
        let machine = Machine::new();
        let holder = machine.holder(PORT);
        let mut waiter = processes::start(&mut join(&program, &machine, "echo held; read line; exit 0"));
        let pid = waiter.id();
        let waits = Party { place: PORT_PLACE, pid, mode: "exclusive", role: "waits", intention: false };
        assert_seen(&machine, &mut waiter, &[waits]);
        // Whoever comes later stands behind it.
        let later =
            machine.lock(BELOW, "echo in").stdout("in\n").stderr_like("pcictl: [..]\npcictl: [..]got the lock[..]\n");
        let later = later.spawn().waits();
        holder.end();
        let mut line = String::new();
        BufReader::with_capacity(1, waiter.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        end(waiter);
        later.end();
    }
}

/// pcictl knows their locks by the offset even on files that are gone.
#[test]
fn what_they_hold_outlives_the_directory() {
    let scratch = scratch_directory();
    for program in programs(scratch.path()) {
        let machine = Machine::new();
        machine.assert_free(PORT);
        let holder = start(&mut join(&program, &machine, "echo held; read line; exit 0"));
        fs::remove_dir_all(machine.run_dir().join("locks")).unwrap();
        let said = format!(
            "pcictl: cannot lock {PORT}: its locks in @run/locks are new, and pid {} (sh [..]) still holds locks on files \
             that were there before\nhint: [..]\n",
            holder.id()
        );
        machine.run(&format!("lock --no-wait {PORT} -- echo never")).stderr_like(said).status(75).check();
        end(holder);
        machine.assert_free(PORT);
    }
}

/// The one that it started may be in the kernel.
#[test]
fn what_they_start_keeps_the_lock() {
    let scratch = scratch_directory();
    for program in programs(scratch.path()) {
        let machine = Machine::new();
        machine.assert_free(PORT);
        let mut holder =
            start(&mut join(&program, &machine, "exec 3<&0; sh -c 'read line <&3; echo gone' & echo held"));
        // Waiting for it would close this.
        let stdin = holder.stdin.take();
        assert_eq!(holder.wait().unwrap().code(), Some(0));
        machine.assert_locked(PORT);
        drop(stdin);
        let mut rest = String::new();
        holder.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "gone\n");
        machine.assert_free(PORT);
    }
}
