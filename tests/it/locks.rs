//! Locks as people meet them: real processes, their words and exit statuses, and what is left when they are killed.
//!
//! Nobody waits by the clock here. A holder says so on its stdout and goes on when its stdin is closed; a waiter says so
//! on its stderr.

pub(crate) mod machine;
mod outlived;
mod protocol;

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use machine::{BELOW, BESIDE, Machine, PORT, waited_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::processes;
use crate::support::scratch_directory;

/// Where PORT is.
const PORT_PLACE: &str = "pci0000:00/01.0/00.0/00.0";

#[test]
fn a_lock_covers_what_is_below_and_nothing_beside() {
    let machine = Machine::new();
    let holder = machine.holder(PORT);
    machine.run(&format!("lock --no-wait {BESIDE} -- echo free")).stdout("free\n").check();
    for selector in [PORT, BELOW, "--all", "pci0000:00"] {
        machine.assert_locked(selector);
    }
    holder.end();
    machine.assert_free(BELOW);
}

#[test]
fn who_must_not_wait_is_told_whom_for() {
    let machine = Machine::new();
    let holder = machine.holder(PORT);
    let pid = holder.pid();
    let by = |selector: &str| {
        format!(
            "is locked by pid {pid} (root, for [..] s): pcictl --sysroot @ lock {PORT} -- sh -c echo held; read line; exit 0\n\
             hint: wait longer with --wait TIME; pcictl locks{selector} shows who else waits\n"
        )
    };
    for (selector, node) in [
        (PORT, "it".to_owned()),
        (BELOW, format!("the bridge above it ({PORT})")),
        ("0000:01:00.0", "a part of it".to_owned()),
        ("pci0000:00", "a part of it".to_owned()),
    ] {
        let said = format!("pcictl: cannot lock {selector}: {node} {}", by(&format!(" {selector}")));
        machine.run(&format!("lock --no-wait {selector} -- true")).stderr_like(said).status(75).check();
    }
    let said = format!("pcictl: cannot lock the whole machine: a part of it {}", by(""));
    machine.run("lock --no-wait --all -- true").stderr_like(said).status(75).check();

    let document = machine.run(&format!("lock --json --no-wait {PORT} -- true")).status(75).json();
    let error = &document["error"];
    assert_eq!((&error["kind"], &error["exit_code"]), (&"locked".into(), &75.into()));
    assert_eq!(error["place"], PORT_PLACE);
    assert_eq!(error["holders"][0]["pid"], pid);
    assert_eq!((&error["holders"][0]["mode"], &error["holders"][0]["role"]), (&"exclusive".into(), &"holds".into()));
    holder.end();
}

#[test]
fn the_deadline_is_for_the_whole_set() {
    let machine = Machine::new();
    let (holder, other) = (machine.holder(BELOW), machine.holder(BESIDE));
    let pid = holder.pid();
    machine
        .run(&format!("lock --wait 0.3 {BELOW} {BESIDE} -- true"))
        .stderr_like(format!(
            "pcictl: {BELOW}: waiting for up to 0.[..]\n\
             pcictl: cannot lock {BELOW}: it is locked by pid {pid} ([..] (waited [..] s)\nhint: [..]\n"
        ))
        .status(75)
        .check();
    holder.end();
    other.end();
}

#[test]
fn a_waiter_says_so_once_and_when_it_is_over() {
    let machine = Machine::new();
    let holder = machine.holder(PORT);
    let waiter = machine.lock(BELOW, "echo in").stdout("in\n").stderr_like(waited_for(BELOW)).spawn().waits();
    holder.end();
    waiter.end();
}

#[test]
fn the_commands_own_status_comes_through() {
    let machine = Machine::new();
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("exit 75", 75), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
    {
        machine.lock(PORT, script).status(status).check();
    }
    let cannot = |name: &str, why: &str, hint: &str| {
        format!("pcictl: {name}: cannot be run: {why}; nothing was done\nhint: {hint}\n")
    };
    let shell = "a program's name or path is needed; what only a shell knows is run by: sh -c '...'";
    let missing = cannot("no-such-command", "No such file or directory", shell);
    machine.run(&format!("lock {PORT} -- no-such-command")).stderr(missing).status(127).check();
    let script = "it must be a program that may be executed; a script without its #! line is run by: sh SCRIPT";
    let no_program = cannot("/dev/null", "Permission denied", script);
    machine.run(&format!("lock {PORT} -- /dev/null")).stderr(no_program).status(126).check();
}

#[test]
fn signals_are_passed_on() {
    let machine = Machine::new();
    for (name, sent) in
        [("TERM", Signal::SIGTERM), ("INT", Signal::SIGINT), ("HUP", Signal::SIGHUP), ("USR1", Signal::SIGUSR1)]
    {
        // `wait` hears a signal whenever it comes; `read` sleeps on if it comes right before it.
        let script = format!("sleep 1000 & trap 'kill $!; echo {name}; exit 42' {name}; echo held; wait");
        let run = machine.lock(PORT, &script).stdout(format!("held\n{name}\n")).status(42);
        let holder = run.spawn().says("held");
        holder.signal(sent);
        holder.end_by_itself();
    }
}

/// As under a daemon that does not care for its children: the end of the command is no secret all the same.
#[test]
fn an_ignored_sigchld_does_not_keep_pcictl_waiting() {
    let machine = Machine::new();
    let inner = machine.lock(PORT, "exit 7").command_line();
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "30", "env", "--ignore-signal=CHLD"]).args(inner).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("PCICTL_RUN_DIR", machine.run_dir());
    assert_eq!(processes::output(&mut command).status.code(), Some(7));
}

/// It may be in the kernel, where nobody can stop it.
#[test]
fn a_command_keeps_the_lock_when_pcictl_is_killed() {
    let machine = Machine::new();
    let run = machine.lock(PORT, "echo held; exec cat").stdout("held\n").killed(Signal::SIGKILL);
    let mut holder = run.spawn().says("held");
    holder.signal(Signal::SIGKILL);
    holder.wait_for_the_process_only();
    machine.assert_locked(BELOW);
    holder.end();
    machine.assert_free(BELOW);
}

#[test]
fn a_command_without_the_lock_is_killed_with_pcictl() {
    let machine = Machine::new();
    let run = machine.lock(&format!("--close {PORT}"), "echo held; exec cat").stdout("held\n");
    let run = run.killed(Signal::SIGKILL);
    let holder = run.spawn().says("held");
    holder.signal(Signal::SIGKILL);
    // The end of its output is the end of the command: its stdin is still open, so nothing else could have ended it.
    holder.end_by_itself();
    machine.assert_free(PORT);
}

#[test]
fn what_a_command_leaves_behind_keeps_the_lock_unless_it_is_closed() {
    // Its stdout tells whether the one left behind still lives, which is another program by the time that it says something.
    let leave = "exec 3<&0; sh -c 'echo held; read line <&3' &";
    let machine = Machine::new();
    for (option, is_locked) in [("", true), ("--close ", false), ("-o ", false)] {
        let mut run = machine.lock(&format!("{option}{PORT}"), leave).stdout("held\n").spawn().says("held");
        run.wait_for_the_process_only();
        if is_locked {
            machine.assert_locked(PORT);
            // It is named although the process that took the lock is gone.
            let locks = machine.locks();
            let node = machine::node(&locks, PORT_PLACE);
            assert_eq!(node["holders"][0]["command"], "sh -c echo held; read line <&3", "{locks}");
        } else {
            machine.assert_free(PORT);
        }
        run.end();
        machine.assert_free(PORT);
    }
}

/// Programs that use select(2) break above the usual limit of open files, which many locks need.
#[test]
fn a_command_gets_the_limit_of_open_files_that_pcictl_was_given() {
    let machine = Machine::new();
    for options in ["", "--close "] {
        let inner = machine.lock(&format!("{options}--shared --all"), "ulimit -Sn").command_line();
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -Sn 40 && exec \"$@\"", "sh"]).args(inner).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("PCICTL_RUN_DIR", machine.run_dir());
        let output = processes::output(&mut command);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((String::from_utf8(output.stdout).unwrap(), said), ("40\n".to_owned(), String::new()), "{options}");
    }
}

/// What pcictl itself lacks is no lock of somebody else's, and no reason to go on without one.
#[test]
fn too_few_descriptors_are_told_as_what_they_are() {
    let machine = Machine::new();
    let holder = machine.holder(BESIDE);
    let mut refused = 0;
    for limit in 8..16 {
        let inner = machine.run(&format!("lock --no-wait {PORT} -- true")).command_line();
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n $0 && exec \"$@\""]).arg(limit.to_string()).args(inner).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("PCICTL_RUN_DIR", machine.run_dir());
        let output = processes::output(&mut command);
        let said = String::from_utf8(output.stderr).unwrap();
        if !output.status.success() {
            refused += 1;
            assert!(said.contains("Too many open files") && output.status.code() == Some(1), "{limit}: {said}");
        }
    }
    assert!(refused > 0);
    holder.end();
}

#[test]
fn locks_shows_who_holds_and_who_waits() {
    let machine = Machine::new();
    let nobody = "pcictl: no lock is held or waited for\n";
    assert_eq!(machine.run("locks --json").stderr(nobody).json()["children"], serde_json::json!([]));
    let holder = machine.lock(&format!("-o {PORT}"), "echo held; read line").stdout("held\n").killed(Signal::SIGKILL);
    let holder = holder.spawn().says("held");
    let waiter = machine.lock(&format!("--shared {BELOW}"), "echo in").stdout("in\n");
    let waiter = waiter.stderr_like(waited_for(BELOW)).spawn().waits();

    let locks = machine.locks();
    let node = machine::node(&locks, PORT_PLACE);
    assert_eq!(node["address"], PORT);
    let seen: Vec<_> =
        node["holders"].as_array().unwrap().iter().map(|h| (&h["pid"], &h["mode"], &h["role"])).collect();
    let (held, waits) = (serde_json::json!(holder.pid()), serde_json::json!(waiter.pid()));
    assert_eq!(
        seen,
        [(&held, &"exclusive".into(), &"holds".into()), (&waits, &"shared".into(), &"waits".into())],
        "{locks}"
    );
    assert!(node["holders"].as_array().unwrap().iter().all(|h| h["age_seconds"].is_number() && h["uid"].is_number()));

    machine
        .run("locks")
        .stdout_like(
            "\
all host bridges
`- pci0000:00
   `- 01.0 0000:00:01.0
      `- 00.0 0000:01:00.0
         `- 00.0 0000:02:00.0
               held exclusive, pid [..] uid [..] for [..] s: pcictl --sysroot @ lock -o 0000:02:00.0 -- sh -c \
    echo held; read line
               waits shared, for what is below or above, pid [..] uid [..] for [..] s: pcictl --sysroot @ \
    lock --shared 0000:03:00.0 -- sh -c echo in
",
        )
        .check();
    machine.run(&format!("locks {BESIDE}")).check();
    machine
        .run(&format!("show {BELOW}"))
        .stdout_like(
            "\
0000:03:00.0 Unclassified device: Device 1234:11e8 (slowpci)
  path            @/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:00.0/0000:03:00.0
  place           pci0000:00/01.0/00.0/00.0/00.0
  ids             1234:11e8
  class           00ff00
...
  driver          slowpci
...
  above           0000:00:01.0 0000:01:00.0 0000:02:00.0
  lock            held by pid [..] (pcictl --sysroot @ lock -o 0000:02:00.0 -- sh -c echo held; read line) for \
    [..] s, at pci0000:00/01.0/00.0/00.0
  users
    note        the dumped tree has no proc: mounts, addresses and open files cannot be told
remove would
    1  unbind 0000:03:00.0 from slowpci
    2  remove 0000:03:00.0  (after 1)
rescan would scan bus 0000:03: 0000:03:00.0 sits on it
",
        )
        .check();

    holder.signal(Signal::SIGKILL);
    holder.end_by_itself();
    waiter.end();
    machine.run("locks").stderr(nobody).check();
}

#[test]
fn readers_share_and_nobody_changes_what_they_read() {
    let machine = Machine::new();
    let reader = machine.holder("--shared pci0000:00");
    machine.assert_free(&format!("--shared {PORT}"));
    for selector in [PORT, BELOW, "pci0000:00", "--all"] {
        machine.assert_locked(selector);
    }
    reader.end();
    machine.assert_free("--all");
}

#[test]
fn a_waiting_change_is_not_overtaken_by_readers() {
    let machine = Machine::new();
    for _ in 0..5 {
        let order = machine.run_dir().join("order");
        fs::write(&order, "").unwrap();
        let waits = |options: &str, name: &str| {
            let run = machine.lock(options, &format!("echo {name} >>{}", order.display()));
            run.stderr_like("pcictl: [..]: waiting for up to [..]\n...\n").spawn().waits()
        };
        let shared = format!("--shared {PORT}");
        let reader = machine.holder(&shared);
        let change = waits(PORT, "change");
        // These three come later, and could be let in at once were it not for the one that waits.
        let later: Vec<_> = (0..3).map(|_| waits(&shared, "reader")).collect();
        assert_eq!(fs::read_to_string(&order).unwrap(), "");
        reader.end();
        for run in std::iter::once(change).chain(later) {
            run.end();
        }
        assert_eq!(fs::read_to_string(&order).unwrap(), "change\nreader\nreader\nreader\n");
    }
}

#[test]
fn pcictl_does_not_wait_for_itself() {
    let machine = Machine::new();
    let inner = machine.run(&format!("lock {BELOW} -- true")).command_line();
    let refused = format!(
        "pcictl: cannot lock {BELOW}: it is locked by pid [..] (pcictl --sysroot @ lock {PORT} -- [..]), which this command \
         was started by and which waits for it\n\
         hint: under pcictl lock, change the device with plain writes, or run this outside\n"
    );
    machine.run(&format!("lock {PORT} --")).and(inner).stderr_like(refused).status(75).check();
}

/// The ledger is read again under the locks, and nobody reads the same line twice.
#[test]
fn a_torn_entry_of_the_ledger_is_told_once() {
    let (machine, state) = (Machine::new(), scratch_directory());
    fs::create_dir(state.path().join("ledger")).unwrap();
    fs::write(state.path().join("ledger/pci0000:00+01.0.json"), "{").unwrap();
    machine
        .run("lock 0000:03:01.0 -- true")
        .state_dir(state.path())
        .stderr_like(
            "\
pcictl: @state/ledger/pci0000:00+01.0.json: invalid ledger entry: [..]; continuing without it
pcictl: 0000:03:01.0 is not there, [..]
",
        )
        .check();
}

#[test]
fn what_is_not_there_is_locked_where_it_would_come_back() {
    let machine = Machine::new();
    let plan = "would lock 0000:02:00.0 (exclusive): 0000:03:01.0 is not there, and the ledger does not know it; this is its bus
locks  0000:02:00.0 exclusive; 4 above it shared
run    echo a b
dry run: nothing was changed
";
    let said = "pcictl: 0000:03:01.0 is not there, and the ledger does not know it; this is its bus; locking \
                pci0000:00/01.0/00.0/00.0\n";
    machine.run("lock -n 0000:03:01.0 -- echo a b").stdout(plan).stderr(said).check();
    let nowhere = "pcictl: 0001:03:01.0: no such device; the ledger does not know it, and nothing leads to bus 0001:03\n\
                   hint: pcictl rescan --all scans every bus; pcictl tree shows what there is\n";
    machine.run("lock 0001:03:01.0 -- true").stderr(nowhere).status(3).check();
}

#[test]
fn a_dumped_tree_is_not_locked_in_this_machines_name() {
    let machine = Machine::new();
    let run = machine.run(&format!("lock {PORT} -- echo never")).env_remove("PCICTL_RUN_DIR");
    run.stderr(
        "pcictl: --sysroot: the places of a dumped tree are not this machine's; set PCICTL_RUN_DIR to lock them \
    elsewhere, or add --dry-run\n",
    )
    .status(2)
    .check();
}

#[test]
fn locks_that_cannot_be_trusted_are_not_used() {
    let machine = Machine::new();
    machine.assert_free(PORT);
    let locks = machine.run_dir().join("locks");
    for (path, shown, mode) in [
        (locks.clone(), "@run/locks", 0o777),
        (locks.join("root.lock"), "@run/locks/root.lock", 0o666),
        (machine.run_dir().into(), "@run", 0o775),
    ] {
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let of = if shown.ends_with(".lock") { format!("cannot lock {PORT}: ") } else { String::new() };
        let reason = format!(
            "pcictl: {of}{shown}: not to be trusted for locking: others may get at it (mode {mode:o}); nothing was changed\n"
        );
        machine.run(&format!("lock {PORT} -- echo never")).stderr(reason).status(1).check();
        fs::set_permissions(&path, before).unwrap();
    }
    // A file where the directory should be, and a place in which none can be made.
    for (run_dir, said) in [
        (
            "/proc/self/status",
            "pcictl: /proc/self/status: not to be trusted for locking: it is no directory; nothing was changed\n",
        ),
        ("/proc/none/run", "pcictl: the lock directory /proc/none/run cannot be made: No such file or directory\n"),
    ] {
        let run = machine.run(&format!("lock {PORT} -- echo never")).env("PCICTL_RUN_DIR", run_dir);
        run.stderr(said).status(1).check();
    }
}

#[test]
fn wiping_the_run_directory_does_not_unlock_anything() {
    let machine = Machine::new();
    let holder = machine.holder(BELOW);
    // Who waited for the old lock gets one that is worth nothing, and sees it.
    let waiter = machine
        .lock(PORT, "echo never")
        .stderr_like(
            "\
pcictl: 0000:02:00.0: waiting for up to [..] s; a part of it is locked by pid [..] (root, for [..] s): pcictl --sysroot @ \
    lock 0000:03:00.0 -- sh -c echo held; read line; exit 0
pcictl: cannot lock 0000:02:00.0: @run/locks: not to be trusted for locking: it was deleted, moved or covered while in \
    use; nothing was changed
",
        )
        .status(1)
        .spawn()
        .waits();
    fs::remove_dir_all(machine.run_dir().join("locks")).unwrap();
    // New files would be free, and the old lock is still held.
    let run = machine.run(&format!("lock {BELOW} -- echo never"));
    run.stderr_like(
        "pcictl: cannot lock 0000:03:00.0: its locks in @run/locks are new, and pid [..] (pcictl --sysroot @ lock \
    0000:03:00.0 -- sh -c echo held; read line; exit 0)[..] still hold locks on files that were there before
hint: try again when that has ended\n",
    )
    .status(75)
    .check();
    holder.end();
    waiter.end();
    machine.run(&format!("lock {BELOW} -- true")).check();
}

#[test]
fn a_wait_that_is_ended_by_a_signal_takes_its_line_back() {
    let machine = Machine::new();
    let holder = machine.holder(PORT);
    let terminal = processes::terminal();
    let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
    let waiter = machine.run(&format!("lock --wait 60 {PORT} -- true")).killed(Signal::SIGINT);
    let waiter = waiter.spawn_on(|| end(&terminal.slave));
    drop(terminal.slave);
    let mut master = fs::File::from(terminal.master);
    let (mut shown, mut buffer, mut is_told) = (Vec::new(), [0; 4096], false);
    while let Ok(length @ 1..) = master.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..length]);
        if !is_told && String::from_utf8_lossy(&shown).contains(": waiting for ") {
            is_told = true;
            kill(Pid::from_raw(waiter.pid().try_into().unwrap()), Signal::SIGINT).unwrap();
        }
    }
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.ends_with("\r\u{1b}[J") && !shown.contains('\n'), "{shown:?}");
    waiter.end_by_itself();
    holder.end();
}

#[test]
fn a_terminal_is_kept_up_to_date() {
    let machine = Machine::new();
    let holder = machine.holder(PORT);
    let terminal = processes::terminal();
    let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
    let pid = holder.pid();
    let waiter = machine.run(&format!("lock --wait 60 {PORT} -- true")).spawn_on(|| end(&terminal.slave));
    drop(terminal.slave);
    let mut master = fs::File::from(terminal.master);
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    // Two looks at the same wait, then the end; a pseudo-terminal without another side gives EIO.
    let mut holder = Some(holder);
    while let Ok(length @ 1..) = master.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..length]);
        if String::from_utf8_lossy(&shown).matches(": waiting for ").count() >= 2 {
            holder.take().into_iter().for_each(|holder| holder.end());
        }
    }
    waiter.end_by_itself();
    let shown = String::from_utf8(shown).unwrap();
    let progress = format!("pcictl: waiting for {PORT}: pid {pid} pcictl");
    let again = format!("\r\u{1b}[J{progress}");
    assert!(
        shown.starts_with(&progress)
            && shown.contains(&again)
            && !shown[..shown.rfind(&progress).unwrap()].contains('\n'),
        "{shown:?}"
    );
    // The whole line, with the clock at its end, and what does not fit gone from its middle.
    let line = shown.split("\r\u{1b}[J").find(|line| line.starts_with("pcictl: waiting for ")).unwrap();
    let line = line.strip_suffix('\r').expect("the cursor stays at its beginning");
    assert!(line.contains("...") && line.ends_with(" s of 60 s") && line.chars().count() == 79, "{line:?}");
    let (_, last) = shown.rsplit_once("\r\u{1b}[J").unwrap();
    assert!(last.contains(": got the lock after ") && last.ends_with(" s\r\n"), "{shown:?}");
}
