//! `--watch`: a look that is made again when something has happened, and nothing that is left behind on a terminal.
//!
//! Nobody waits by the clock: what comes is read, and the end is brought about by a signal.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::support::processes::terminal;
use crate::support::run::Run;
use crate::support::scratch_directory;

const PORT: &str = "0000:02:00.0";
const FREE: &str = "pcictl: no lock is held or waited for";

#[test]
fn locks_are_shown_when_they_are_taken_and_when_they_end() {
    let run = scratch_directory();
    let run_on = |words: &str| Run::words(words).tree("guest-switch8").run_dir(run.path());
    let watch = run_on("locks --watch").stdout_like("\nall host bridges\n...\n").stderr_like(format!("{FREE}\n...\n"));
    let watch = watch.spawn().tells(FREE);
    let holder = run_on(&format!("lock {PORT} --")).and(["sh", "-c", "echo held; read line; exit 0"]);
    let holder = holder.stdout("held\n").spawn().says("held");
    let watch = watch.says("").says("all host bridges");
    holder.end();
    let watch = watch.tells(FREE);
    watch.signal(Signal::SIGTERM);
    watch.end_by_itself();
}

#[test]
fn the_ledger_is_looked_at_again_when_it_has_changed() {
    let (run, state) = (scratch_directory(), scratch_directory());
    let nothing = "nothing is under way, interrupted or removed";
    let watch = Run::words("status --watch").tree("vmd").run_dir(run.path()).state_dir(state.path());
    let watch = watch.stdout_like(format!("{nothing}\n\n[..]bad.json: [..]\n...\n")).spawn().says(nothing);
    fs::create_dir(state.path().join("new")).unwrap();
    fs::write(state.path().join("new/bad.json"), "{bad").unwrap();
    fs::rename(state.path().join("new"), state.path().join("ledger")).unwrap();
    let watch = watch.says("");
    watch.signal(Signal::SIGINT);
    watch.end_by_itself();
}

#[test]
fn a_terminal_is_left_in_order() {
    let terminal = terminal();
    let end = || Stdio::from(terminal.slave.try_clone().unwrap());
    let watch = Run::words("list --watch 10001:e1:00.0").tree("vmd").env("TERM", "xterm").spawn_on(end);
    let mut shown = String::new();
    let mut master = fs::File::from(terminal.master.try_clone().unwrap());
    while !shown.ends_with("\x1b[?7h") {
        let mut piece = [0; 512];
        let length = master.read(&mut piece).unwrap();
        shown.push_str(std::str::from_utf8(&piece[..length]).unwrap());
    }
    // The screen is cleared once, nothing scrolls, and lines wrap again.
    assert!(shown.starts_with("\x1b[2J\x1b[H\x1b[?7l") && shown.contains("10001:e1:00.0"), "{shown:?}");
    watch.signal(Signal::SIGINT);
    watch.end_by_itself();
}

#[test]
fn a_reader_that_has_gone_ends_it() {
    let watch = Run::words("list --watch --no-header -o address,driver 10001:e1:00.0").tree("vmd");
    let mut watch = watch.stdout("10001:e1:00.0  nvme\n").spawn().says("10001:e1:00.0  nvme");
    watch.close_stdout();
    watch.end_by_itself();
}

#[test]
fn what_is_wrong_at_the_start_ends_it() {
    let absent = "pcictl: 0000:99:00.0: no such device\nhint: [..]\n";
    Run::words("list --watch 0000:99:00.0").tree("vmd").stderr_like(absent).status(3).check();
}
