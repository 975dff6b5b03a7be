//! The programs of pcictl-locking(7): they take part in the locking as the page says, with nothing of pcictl in them.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Page, plain, repository};
use crate::locks::machine::{BELOW, BESIDE, Machine, PORT, node};
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

/// What `pcictl locks` says of the processes at PORT: pid, mode, role.
fn parties(machine: &Machine) -> Vec<(u64, String, String)> {
    let locks = machine.locks();
    let word = |holder: &serde_json::Value, key: &str| holder[key].as_str().unwrap().to_owned();
    let holders = node(&locks, PORT_PLACE)["holders"].as_array().unwrap().clone();
    holders.iter().map(|h| (h["pid"].as_u64().unwrap(), word(h, "mode"), word(h, "role"))).collect()
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
        let holder = start(&mut join(&program, &machine, "echo held; read line; exit 0"));
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
        assert_eq!(parties(&machine), [(pid.into(), "exclusive".to_owned(), "holds".to_owned())]);
        assert_tagged(&machine);
        let waiter =
            machine.lock(PORT, "echo in").stdout("in\n").stderr_like("pcictl: [..]\npcictl: [..]got the lock[..]\n");
        let waiter = waiter.spawn().waits();
        end(holder);
        waiter.end();
    }
}

/// What the offsets tell: what is held for its own sake, and since when.
fn assert_tagged(machine: &Machine) {
    let locks = machine.locks();
    let chain = |steps: usize| PORT_PLACE.split('/').take(steps).collect::<Vec<_>>().join("/");
    for (place, mode, intention) in [
        ("root".to_owned(), "shared", true),
        (chain(1), "shared", true),
        (chain(2), "shared", true),
        (chain(4), "exclusive", false),
    ] {
        let holder = &node(&locks, &place)["holders"][0];
        assert_eq!((&holder["mode"], &holder["intention"]), (&mode.into(), &intention.into()), "{place}: {holder}");
        // A program without it would have the age of its process; both are small, and no clock decides this.
        assert!(holder["age_seconds"].as_f64().is_some_and(|age| age >= 0.0), "{place}: {holder}");
    }
}

#[test]
fn they_wait_for_pcictl() {
    let scratch = scratch_directory();
    for program in programs(scratch.path()) {
        let machine = Machine::new();
        let holder = machine.holder(PORT);
        let mut waiter = processes::start(&mut join(&program, &machine, "echo held; read line; exit 0"));
        let waits = (u64::from(waiter.id()), "exclusive".to_owned(), "waits".to_owned());
        while !parties(&machine).contains(&waits) {
            assert_eq!(waiter.try_wait().unwrap(), None, "it does not wait");
        }
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
