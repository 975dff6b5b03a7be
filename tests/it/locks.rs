//! Locks as people meet them: real processes, their words and exit statuses, and what is left when they are killed.
//!
//! Nobody waits by the clock here. A holder says so on its stdout and goes on when its stdin is closed; a waiter says so
//! on its stderr.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "locks/machine.rs"]
mod machine;
mod support;

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use machine::{BELOW, BESIDE, Machine, PORT, signal, text};
use nix::sys::signal::Signal;

#[test]
fn a_lock_covers_what_is_below_and_nothing_beside() {
    let machine = Machine::new();
    let holder = machine.holder(PORT);
    let output = machine.run(&format!("lock --no-wait {BESIDE} -- echo free"));
    assert_eq!(
        (output.status.code(), text(&output.stdout), text(&output.stderr)),
        (Some(0), "free\n".into(), "".into())
    );
    for selector in [PORT, BELOW, "--all", "pci0000:00"] {
        let output = machine.run(&format!("lock --no-wait {selector} -- echo never"));
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(75), "".into()), "{selector}");
    }
    holder.release();
    assert_eq!(machine.run(&format!("lock --no-wait {BELOW} -- true")).status.code(), Some(0));
}

#[test]
fn who_must_not_wait_is_told_whom_for() {
    let machine = Machine::new();
    let holder = machine.holder(PORT);
    let output = machine.run(&format!("lock --no-wait {PORT} -- true"));
    let stderr = text(&output.stderr);
    let named = format!("pcictl: pci0000:00/01.0/00.0/00.0: still locked by pid {} (", holder.pid());
    assert!(stderr.starts_with(&named) && stderr.ends_with("; try again, or give --wait SECONDS\n"), "{stderr}");
    assert!(stderr.contains(&format!(" lock {PORT} -- ")) && stderr.lines().count() == 1, "{stderr}");

    let output = machine.run(&format!("lock --json --no-wait {PORT} -- true"));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = &document["error"];
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(75), "".into()));
    assert_eq!((&error["kind"], &error["exit_code"]), (&"locked".into(), &75.into()));
    assert_eq!(error["place"], "pci0000:00/01.0/00.0/00.0");
    assert_eq!(error["holders"][0]["pid"], holder.pid());
    assert_eq!((&error["holders"][0]["mode"], &error["holders"][0]["role"]), (&"exclusive".into(), &"holds".into()));
}

#[test]
fn the_deadline_is_for_the_whole_set() {
    let machine = Machine::new();
    let holders = [machine.holder(BELOW), machine.holder(BESIDE)];
    let output = machine.run(&format!("lock --wait 0.3 {BELOW} {BESIDE} -- true"));
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{stderr}");
    let [start, end] = stderr.lines().collect::<Vec<_>>()[..] else { panic!("{stderr}") };
    let place = "pcictl: pci0000:00/01.0/00.0/00.0/00.0: ";
    assert!(start.starts_with(&format!("{place}waiting for up to 0.")), "{start}");
    assert!(end.starts_with(&format!("{place}still locked after ")), "{end}");
    assert!(end.contains(&format!(" by pid {} (", holders[0].pid())), "{end}");
}

#[test]
fn a_waiter_says_so_once_and_when_it_is_over() {
    let machine = Machine::new();
    let holder = machine.holder(PORT);
    let waiter = machine.waiter(machine.lock(BELOW, "echo in"));
    holder.release();
    let output = waiter.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "in\n".into()));
    let stderr = text(&output.stderr);
    let is_end =
        stderr.starts_with("pcictl: pci0000:00/01.0/00.0/00.0: got the lock after ") && stderr.ends_with(" s\n");
    assert!(is_end && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn the_commands_own_status_comes_through() {
    let machine = Machine::new();
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("exit 75", 75), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
    {
        let output = machine.lock(PORT, script).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(status), "".into()), "{script}");
    }
    let output = machine.run(&format!("lock {PORT} -- no-such-command"));
    let said = "pcictl: no-such-command: cannot be run: No such file or directory; nothing was done\n";
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(127), said.into()));
    let output = machine.run(&format!("lock {PORT} -- /dev/null"));
    assert_eq!(output.status.code(), Some(126), "{output:?}");
}

#[test]
fn signals_are_passed_on() {
    let machine = Machine::new();
    for (name, sent) in
        [("TERM", Signal::SIGTERM), ("INT", Signal::SIGINT), ("HUP", Signal::SIGHUP), ("USR1", Signal::SIGUSR1)]
    {
        // `wait` hears a signal whenever it comes; `read` sleeps on if it comes right before it.
        let script = format!("sleep 1000 & trap 'kill $!; echo {name}; exit 42' {name}; echo held; wait");
        let holder = machine.holder_running(PORT, &script);
        signal(holder.pid(), sent);
        let output = holder.wait_without_release();
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(42), format!("{name}\n")));
    }
}

#[test]
fn a_command_does_not_go_on_unlocked_when_pcictl_is_killed() {
    let machine = Machine::new();
    let mut holder = machine.holder_running(PORT, "echo held; exec cat");
    signal(holder.pid(), Signal::SIGKILL);
    // The end of its output is the end of the command: its stdin is still open, so nothing else could have ended it.
    let mut rest = String::new();
    holder.stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(machine.run(&format!("lock --no-wait {PORT} -- true")).status.code(), Some(0));
}

#[test]
fn what_a_command_leaves_behind_keeps_the_lock_only_if_asked() {
    // Its stdout tells whether the one left behind still lives.
    let leave = "exec 3<&0; sh -c 'read line <&3' & echo held";
    let machine = Machine::new();
    for (option, status) in [("", 0), ("--inherit ", 75)] {
        let mut child = machine.lock(&format!("{option}{PORT}"), leave).spawn().unwrap();
        let stdin = child.stdin.take();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let output = machine.run(&format!("lock --no-wait {PORT} -- true"));
        assert_eq!(output.status.code(), Some(status), "{option}: {}", text(&output.stderr));
        let mut said = String::new();
        if status == 75 {
            // It is named although the process that took the lock is gone.
            let locks = machine.locks();
            let node = machine::node(&locks, "pci0000:00/01.0/00.0/00.0");
            assert_eq!(node["holders"][0]["command"], "sh -c read line <&3", "{locks}");
        }
        drop(stdin);
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "held\n");
        assert_eq!(machine.run(&format!("lock --no-wait {PORT} -- true")).status.code(), Some(0));
    }
}

#[test]
fn locks_shows_who_holds_and_who_waits() {
    let machine = Machine::new();
    assert_eq!(machine.locks()["children"], serde_json::json!([]));
    let holder = machine.holder(PORT);
    let waiter = machine.waiter(machine.lock(&format!("--shared {BELOW}"), "echo in"));

    let locks = machine.locks();
    let node = machine::node(&locks, "pci0000:00/01.0/00.0/00.0");
    assert_eq!(node["address"], PORT);
    let seen: Vec<_> =
        node["holders"].as_array().unwrap().iter().map(|h| (&h["pid"], &h["mode"], &h["role"])).collect();
    let (held, waits) = (serde_json::json!(holder.pid()), serde_json::json!(waiter.id()));
    assert_eq!(
        seen,
        [(&held, &"exclusive".into(), &"holds".into()), (&waits, &"shared".into(), &"waits".into())],
        "{locks}"
    );
    assert!(node["holders"].as_array().unwrap().iter().all(|h| h["age_seconds"].is_number() && h["uid"].is_number()));

    let output = machine.run("locks");
    let (out, lines) = (text(&output.stdout), |what: &str| text(&output.stdout).matches(what).count());
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), "".into()));
    assert!(out.contains(&format!("held exclusive, pid {} uid ", holder.pid())), "{out}");
    assert!(out.contains(&format!("waits shared, for what is below or above, pid {} uid ", waiter.id())), "{out}");
    assert_eq!((lines("held exclusive"), lines("waits shared")), (1, 1), "{out}");
    assert_eq!(text(&machine.run(&format!("locks {BESIDE}")).stdout), "");
    assert!(text(&machine.run(&format!("show {BELOW}")).stdout).contains(&format!("held by pid {} (", holder.pid())));

    signal(holder.pid(), Signal::SIGKILL);
    assert_eq!(waiter.wait_with_output().unwrap().status.code(), Some(0));
    let output = machine.run("locks");
    let nobody = "pcictl: no lock is held or waited for\n";
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("".into(), nobody.into()));
}

#[test]
fn readers_share_and_nobody_changes_what_they_read() {
    let machine = Machine::new();
    let reader = machine.holder("--shared pci0000:00");
    assert_eq!(machine.run(&format!("lock --no-wait --shared {PORT} -- true")).status.code(), Some(0));
    for selector in [PORT, BELOW, "pci0000:00", "--all"] {
        let output = machine.run(&format!("lock --no-wait {selector} -- true"));
        assert_eq!(output.status.code(), Some(75), "{selector}");
    }
    reader.release();
    assert_eq!(machine.run("lock --no-wait --all -- true").status.code(), Some(0));
}

#[test]
fn a_waiting_change_is_not_overtaken_by_readers() {
    let machine = Machine::new();
    for _ in 0..5 {
        let order = machine.run.path().join("order");
        fs::write(&order, "").unwrap();
        let note = |name: &str| format!("echo {name} >>{}", order.display());
        let reader = machine.holder(&format!("--shared {PORT}"));
        let change = machine.waiter(machine.lock(PORT, &note("change")));
        // These three come later, and could be let in at once were it not for the one that waits.
        let later: Vec<_> =
            (0..3).map(|_| machine.waiter(machine.lock(&format!("--shared {PORT}"), &note("reader")))).collect();
        assert_eq!(fs::read_to_string(&order).unwrap(), "");
        reader.release();
        for child in std::iter::once(change).chain(later) {
            assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
        }
        assert_eq!(fs::read_to_string(&order).unwrap(), "change\nreader\nreader\nreader\n");
    }
}

#[test]
fn pcictl_does_not_wait_for_itself() {
    let machine = Machine::new();
    let mut outer = machine.command(&format!("lock {PORT} --"));
    let inner = machine.command(&format!("lock {BELOW} -- true"));
    let output = outer.arg(inner.get_program()).args(inner.get_args()).output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(75), 1), "{stderr}");
    assert!(stderr.contains("which this command was started by and which waits for it"), "{stderr}");
}

#[test]
fn what_is_not_there_is_locked_where_it_would_come_back() {
    let machine = Machine::new();
    let output = machine.run("lock -n 0000:03:01.0 -- echo a b");
    let plan = "would lock pci0000:00/01.0/00.0/00.0 (exclusive): 0000:03:01.0 is not there, and its bus is
locks, in this order:
  shared     all host bridges
  shared     pci0000:00
  shared     pci0000:00/01.0
  shared     pci0000:00/01.0/00.0
  exclusive  pci0000:00/01.0/00.0/00.0
and run: echo a b
";
    let said = "pcictl: 0000:03:01.0 is not there, and its bus is; locking pci0000:00/01.0/00.0/00.0\n";
    assert_eq!((text(&output.stdout), text(&output.stderr)), (plan.into(), said.into()));
    let output = machine.run("lock 0001:03:01.0 -- true");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(3), "".into()));
}

#[test]
fn a_dumped_tree_is_not_locked_in_this_machines_name() {
    let machine = Machine::new();
    let output = machine.command(&format!("lock {PORT} -- echo never")).env_remove("PCICTL_RUN_DIR").output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), "".into()));
    assert!(text(&output.stderr).contains("set PCICTL_RUN_DIR"), "{output:?}");
}

#[test]
fn locks_that_cannot_be_trusted_are_not_used() {
    let machine = Machine::new();
    assert_eq!(machine.run(&format!("lock {PORT} -- true")).status.code(), Some(0));
    let locks = machine.run.path().join("locks");
    for (path, mode) in [(locks.clone(), 0o777), (locks.join("root.lock"), 0o666), (machine.run.path().into(), 0o775)] {
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let output = machine.run(&format!("lock {PORT} -- echo never"));
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), "".into()));
        let reason =
            format!("not to be trusted for locking: others may get at it (mode {mode:o}); nothing was changed\n");
        assert!(stderr.contains(&path.display().to_string()) && stderr.ends_with(&reason), "{stderr}");
        fs::set_permissions(&path, before).unwrap();
    }
    // A file where the directory should be, and a place in which none can be made.
    for run in ["/proc/self/status", "/proc/none/run"] {
        let output =
            machine.command(&format!("lock {PORT} -- echo never")).env("PCICTL_RUN_DIR", run).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), "".into()), "{output:?}");
    }
}

#[test]
fn wiping_the_run_directory_does_not_unlock_anything() {
    let machine = Machine::new();
    let holder = machine.holder(BELOW);
    let waiter = machine.waiter(machine.lock(PORT, "echo never"));
    fs::remove_dir_all(machine.run.path().join("locks")).unwrap();
    // New files would be free, and the old lock is still held.
    let output = machine.run(&format!("lock {BELOW} -- echo never"));
    let stderr = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(75), "".into()), "{stderr}");
    assert!(stderr.contains(&format!("were deleted while pid {} (", holder.pid())), "{stderr}");
    holder.release();
    // Who waited for the old lock gets one that is worth nothing, and sees it.
    let output = waiter.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), "".into()), "{output:?}");
    assert!(text(&output.stderr).contains("it was deleted while in use"), "{output:?}");
    assert_eq!(machine.run(&format!("lock {BELOW} -- true")).status.code(), Some(0));
}

#[test]
fn a_terminal_is_kept_up_to_date() {
    let machine = Machine::new();
    let holder = machine.holder(PORT);
    let terminal = nix::pty::openpty(None, None).unwrap();
    let end = |fd: &std::os::fd::OwnedFd| Stdio::from(fd.try_clone().unwrap());
    let mut command = machine.command(&format!("lock --wait 60 {PORT} -- true"));
    let mut waiter = command.stdout(end(&terminal.slave)).stderr(end(&terminal.slave)).spawn().unwrap();
    drop((command, terminal.slave));
    let mut master = fs::File::from(terminal.master);
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    // Two looks at the same wait, then the end; a pseudo-terminal without another side gives EIO.
    let mut holder = Some(holder);
    while let Ok(length @ 1..) = master.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..length]);
        if text(&shown).matches(": waiting for ").count() == 2 {
            drop(holder.take());
        }
    }
    assert_eq!(waiter.wait().unwrap().code(), Some(0));
    let shown = text(&shown);
    let progress = "\r\u{1b}[Kpcictl: pci0000:00/01.0/00.0/00.0: waiting for ";
    assert!(
        shown.matches(progress).count() >= 2 && !shown[..shown.rfind(progress).unwrap()].contains('\n'),
        "{shown:?}"
    );
    let (_, last) = shown.rsplit_once("\r\u{1b}[K").unwrap();
    assert!(last.contains(": got the lock after ") && last.ends_with(" s\r\n"), "{shown:?}");
}
