//! A lock that is still held on a file that is not the one under its name: whatever was done to the run directory, nobody
//! gets the same lock, and nobody who may not open lock files can pretend to hold one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::machine::{BELOW, Machine, PORT};
use crate::support::processes;
use crate::support::run::{Run, Running};
use crate::support::scratch_directory;

/// A run directory that can be renamed, within one that is the test's own.
struct Movable {
    scratch: tempfile::TempDir,
}

impl Movable {
    fn new() -> Self {
        Self { scratch: scratch_directory() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn run(&self, words: &str) -> Run {
        Run::words(words).tree("guest-switch8").run_dir(&self.path("run"))
    }

    fn holder(&self) -> Running {
        let run = self.run(&format!("lock {BELOW} --")).and(["sh", "-c", "echo held; read line; exit 0"]);
        run.stdout("held\n").spawn().says("held")
    }

    /// By way of another program, and with all rights that the tests themselves have.
    fn run_as_it_is(&self, before: &[&str], words: &str) -> std::process::Output {
        let mut command = Command::new(before[0]);
        command.args(&before[1..]).args(self.run(words).command_line());
        let path = "/usr/sbin:/usr/bin:/sbin:/bin";
        processes::output(command.env_clear().env("PATH", path).env("PCICTL_RUN_DIR", self.path("run")))
    }

    /// The lock is refused while somebody holds it on another file, and to be had afterwards.
    fn assert_refused_until_the_end_of(&self, holder: Running) {
        let said = format!(
            "pcictl: cannot lock {PORT}: its locks in @run/locks are new, and pid {} (pcictl --sysroot @ lock {BELOW} -- \
             [..] still hold[..]locks on files that were there before\nhint: try again when that has ended\n",
            holder.pid()
        );
        self.run(&format!("lock --no-wait {PORT} -- echo never")).stderr_like(said).status(75).check();
        holder.end();
        self.run(&format!("lock --no-wait {PORT} -- true")).check();
    }
}

#[test]
fn moving_the_run_directory_does_not_unlock_anything() {
    let machine = Movable::new();
    let holder = machine.holder();
    fs::rename(machine.path("run"), machine.path("old")).unwrap();
    machine.assert_refused_until_the_end_of(holder);
}

#[test]
fn renaming_lock_files_does_not_unlock_anything() {
    let machine = Movable::new();
    let holder = machine.holder();
    for entry in fs::read_dir(machine.path("run/locks")).unwrap() {
        let path = entry.unwrap().path();
        fs::rename(&path, format!("{}.bak", path.display())).unwrap();
    }
    machine.assert_refused_until_the_end_of(holder);
}

/// Also how a directory gets to another file system: its files are marked as ones to be relied on, and are others.
#[test]
fn a_copy_of_the_lock_files_is_not_what_was_locked() {
    let machine = Movable::new();
    let holder = machine.holder();
    let copied = Command::new("cp").arg("-a").args([machine.path("run"), machine.path("copy")]).status().unwrap();
    assert!(copied.success());
    fs::remove_dir_all(machine.path("run")).unwrap();
    fs::rename(machine.path("copy"), machine.path("run")).unwrap();
    machine.assert_refused_until_the_end_of(holder);
}

#[test]
fn swapping_the_names_of_lock_files_does_not_unlock_anything() {
    let machine = Movable::new();
    machine.run("lock 0000:04:00.0 -- true").check();
    let holder = machine.holder();
    let file = |step: &str| machine.path(&format!("run/locks/pci0000:00+01.0+00.0+{step}.lock"));
    let (port, other, between) = (file("00.0"), file("01.0"), machine.path("run/between"));
    for (from, to) in [(&port, &between), (&other, &port), (&between, &other)] {
        fs::rename(from, to).unwrap();
    }
    machine.assert_refused_until_the_end_of(holder);
}

#[test]
fn a_mount_over_the_run_directory_does_not_unlock_anything() {
    let Some(unshare) = mount_namespace() else { return };
    let machine = Movable::new();
    let holder = machine.holder();
    let run = machine.path("run");
    let mut before = vec!["unshare"];
    before.extend(unshare);
    before.extend(["sh", "-c", "mount -t tmpfs -o mode=755 none \"$0\" && exec \"$@\"", run.to_str().unwrap()]);
    let output = machine.run_as_it_is(&before, &format!("lock --no-wait {PORT} -- echo never"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains(&format!("pid {} ", holder.pid())), "{said}");
    holder.end();
}

#[test]
fn who_cannot_be_looked_into_may_hold_a_lock() {
    if !nix::unistd::geteuid().is_root() || !works("setpriv", &["--bounding-set=-all", "--inh-caps=-all", "true"]) {
        return;
    }
    let machine = Movable::new();
    let holder = machine.holder();
    fs::remove_dir_all(machine.path("run")).unwrap();
    let before = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let output = machine.run_as_it_is(&before, &format!("lock --no-wait {PORT} -- echo never"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(77), "{said}");
    assert!(said.contains("cannot be told") && said.contains(&format!("pid {} ", holder.pid())), "{said}");
    holder.end();
}

/// As any user: a namespace in which a file of one's own has the name of a lock file, locked and deleted.
#[test]
fn a_faked_lock_of_another_user_keeps_nobody_out() {
    let fake = ["--reuid=65534", "--clear-groups", "unshare", "-Urm", "true"];
    if !nix::unistd::geteuid().is_root() || !works("setpriv", &fake) {
        return;
    }
    let machine = Movable::new();
    let locks = machine.path("run/locks");
    let first = Path::new("/").join(locks.components().nth(1).unwrap());
    let script = "mount -t tmpfs none \"$0\" && mkdir -p \"$1\" && exec 9>\"$1/root.lock\" && flock 9 && printf 12345678 >&9 \
                  && rm \"$1/root.lock\" && echo held && exec sleep 1000";
    let mut command = Command::new("setpriv");
    command.args(&fake[..4]).args(["sh", "-c", script]).args([&first, &locks]).stdout(Stdio::piped());
    let mut faker = processes::start(&mut command);
    let mut line = [0; 5];
    std::io::Read::read_exact(faker.stdout.as_mut().unwrap(), &mut line).unwrap();
    // With the right to look into every process, which the others of these runs do without.
    let output = machine.run_as_it_is(&["env"], &format!("lock --no-wait {PORT} -- true"));
    faker.kill().unwrap();
    faker.wait().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Who took the lock has ended, and left it to a process that the kernel's table does not name.
#[test]
fn a_lock_that_was_left_to_another_process_counts() {
    let machine = Movable::new();
    machine.run(&format!("lock {PORT} -- true")).check();
    let file = machine.path("run/locks/pci0000:00+01.0+00.0+00.0.lock");
    // The offset of a lock file's descriptor is never 0.
    let script = "exec 9<>\"$0\" && dd bs=8 count=1 <&9 2>/dev/null >/dev/null && flock 9 && echo held && read line";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = processes::start(&mut command);
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut [0; 5]).unwrap();
    fs::rename(machine.path("run"), machine.path("old")).unwrap();
    let lock = || machine.run(&format!("lock --no-wait {PORT} -- true"));
    lock().status(75).stderr_like(format!("[..]pid {} (sh -c [..]\n...\n", holder.id())).check();
    drop(holder.stdin.take());
    holder.wait().unwrap();
    lock().check();
}

/// Whether a process that took a lock on this machine does not have it any more, as where `flock 9` of a script took it.
fn is_some_lock_left_to_others() -> bool {
    let is_left = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = words[..] else { return false };
        let open = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
        let mut open = open.filter_map(|entry| fs::read_to_string(entry.path()).ok());
        !open.any(|text| text.lines().any(|line| line.starts_with("lock:") && line.contains(file)))
    };
    // Who unlocks just now has it no more either.
    (0..5).all(|_| fs::read_to_string("/proc/locks").unwrap().lines().any(is_left))
}

/// Everybody would be asked for what he has open, and a host has thousands of processes.
#[test]
fn the_first_lock_does_not_look_into_those_who_hold_none() {
    let mut bystander = processes::start(Command::new("sleep").arg("1000"));
    let looks_into = format!("\"{}/fd\"", bystander.id());
    // More than a piece of the table has.
    let scratch = scratch_directory();
    let lock = |number: usize| {
        let file = fs::File::create(scratch.path().join(number.to_string())).unwrap();
        fs2::FileExt::lock_exclusive(&file).unwrap();
        file
    };
    let held: Vec<fs::File> = (0..100).map(lock).collect();
    let looks = || {
        let trace = Movable::new().run(&format!("lock --no-wait {PORT} -- true")).traced();
        assert!(trace.iter().any(|line| line.contains("\"locks\"")), "{trace:?}");
        trace.iter().any(|line| line.contains(&looks_into))
    };
    let is_first = fs::read_link("/proc/self/ns/pid").unwrap().as_os_str() == "pid:[4026531836]";
    // Other tests lock and unlock meanwhile, and where many do, the table is not trusted. Nor is it where somebody on this
    // machine has a lock that a process took which has ended.
    let is_quiet = (0..20).any(|_| !looks());
    let may_be_quiet = is_first && !is_some_lock_left_to_others();
    drop(held);
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    assert_eq!(is_quiet, may_be_quiet, "everybody was looked into, twenty times");
}

/// A server that is gone would never answer: what others have open is told by the kernel, not by their file systems.
#[test]
fn nobody_is_asked_for_what_others_have_open() {
    let machine = Machine::new();
    let holder = machine.holder(PORT);
    for command in [format!("lock --no-wait {BELOW} -- true"), "locks".to_owned(), format!("show {BELOW}")] {
        let status = if command.starts_with("lock ") { 75 } else { 0 };
        let run = machine.run(&command).status(status).stderr_like("...\n");
        let trace = run.traced();
        let asks = |line: &&String| {
            let follows = line.contains("stat") || line.contains("open") && !line.contains("O_DIRECTORY");
            // What it has open itself answers: a dumped tree's files are opened again once they are known to be plain.
            follows && line.contains("/fd/") && !line.contains("/proc/self/fd/") || line.contains("\"fd/")
        };
        assert_eq!(trace.iter().find(asks), None, "{command}");
    }
    holder.end();
}

fn works(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// How to have mounts of one's own, if that may be had here.
fn mount_namespace() -> Option<&'static [&'static str]> {
    let options: &[&str] = if nix::unistd::geteuid().is_root() { &["-m"] } else { &["-Urm"] };
    works("unshare", &[options, &["mount", "-t", "tmpfs", "none", "/mnt"]].concat()).then_some(options)
}
