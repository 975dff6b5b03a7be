//! What the writes of a removal cost in programs, processes and system calls, and what it says where no process can be started for its
//! writes. The writes go to files, made by the writer; counted by strace, never timed.

use std::fs;
use std::process::{Command, Output};

use super::rehearsal::{TREE, WRITER};
use super::{Machine, output};
use crate::support::written::{ASIDE, ASIDE_ENDS};
use crate::syscalls::as_on_a_machine;

/// An endpoint with a driver: two writes.
const ENDPOINT: &str = "remove 0000:03:00.0";

/// Runs a command with its writes made by the writer, beside what strace is told; what it said, and its system calls.
fn traced(words: &str, strace: &[&str]) -> (Output, Vec<String>) {
    let machine = Machine::new(TREE);
    // The first lock of a node looks at all who hold some lock on the machine that the test runs on.
    let lock = machine.on_tree(Command::new(env!("CARGO_BIN_EXE_pcictl")), "lock 0000:03:00.0 -- true").status();
    assert!(lock.unwrap().success());
    let mut inner = machine.rehearsal(words);
    let locks = machine.path("writer");
    fs::create_dir(&locks).unwrap();
    inner.env(WRITER, locks);
    let log = machine.path("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-s", "256", "-o"]).arg(&log).args(strace).arg(inner.get_program());
    command.args(inner.get_args()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = output(command.stdin(std::process::Stdio::null()));
    let trace = fs::read_to_string(log).expect("a trace: is strace installed?");
    let is_call = |line: &&str| !["+++ ", "--- ", "<... ", "F_GETFD"].iter().any(|word| line.contains(word));
    (output, trace.lines().filter(is_call).map(str::to_owned).collect())
}

fn count(trace: &[String], is_it: impl Fn(&str) -> bool) -> usize {
    trace.iter().filter(|line| is_it(line)).count()
}

/// A process, and no thread.
fn is_fork(line: &str) -> bool {
    let call = line.split_whitespace().nth(1).unwrap_or_default();
    ["clone(", "clone3(", "fork(", "vfork("].iter().any(|fork| call.starts_with(fork)) && !line.contains("CLONE_THREAD")
}

/// The calls of the processes and threads that came after the one that was forked, itself included.
fn of_writer(trace: &[String]) -> Vec<&str> {
    let pid = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let fork = trace.iter().position(|line| is_fork(line)).expect("a writer");
    let before: Vec<_> = trace[..=fork].iter().map(|line| pid(line)).collect();
    trace[fork..].iter().map(String::as_str).filter(|line| !before.contains(&pid(line))).collect()
}

/// The calls of the command and of what it starts, from where it begins, without what the test does in the kernel's stead.
fn of_command(trace: &[String]) -> Vec<&str> {
    let begins = trace.iter().position(|line| line.contains(ASIDE_ENDS)).expect("it begins");
    let thread = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let (main, mut is_aside) = (thread(&trace[begins]), false);
    let is_own = |line: &&str| {
        let (aside, ends) = (line.contains(ASIDE), line.contains(ASIDE_ENDS));
        is_aside = (is_aside || aside) && !ends;
        !ends && (!is_aside || thread(line) != main)
    };
    trace[begins + 1..].iter().map(String::as_str).filter(is_own).collect()
}

/// The writer's start and end, and for each of two writes a thread, its command line, the file and the answer.
const OF_WRITER: usize = 100;

#[test]
fn a_removal_starts_no_program_and_one_process_for_its_writes() {
    let (output, trace) = traced(ENDPOINT, &[]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(count(&trace, |line| line.contains("execve(")), 1, "the command itself");
    assert_eq!(count(&trace, is_fork), 1);
    let calls = of_writer(&trace);
    assert!(calls.len() <= OF_WRITER, "{} calls, and {OF_WRITER} would do:\n{}", calls.len(), calls.join("\n"));
    let of_line = |line: &str| ["sendto(", "recvfrom(", "wait4("].iter().any(|call| line.contains(call));
    assert!(count(&trace, of_line) <= 20, "an order and an answer for each");
}

/// What all of a removal takes, its start left out, with nobody who uses anything and a state directory that is still empty.
const OF_REMOVAL: usize = 560;

#[test]
fn a_removal_makes_few_calls() {
    let (output, trace) = traced(ENDPOINT, &[]);
    assert!(output.status.success(), "{output:?}");
    let calls = of_command(&trace);
    let count = as_on_a_machine(&calls);
    assert!(count <= OF_REMOVAL, "{count} calls, and {OF_REMOVAL} would do:\n{}", calls.join("\n"));
    assert!(!calls.iter().any(|call| call.contains("/usr/share/zoneinfo/")), "a walk through all time zones");
}

#[test]
fn no_process_for_the_writes_is_a_write_that_was_not_begun() {
    let (output, trace) = traced(ENDPOINT, &["-e", "inject=clone,fork,vfork:error=EAGAIN"]);
    assert!(trace.iter().any(|line| line.contains("(INJECTED)")));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the kernel was not asked: Try again; nothing was changed"), "{said}");
    assert!(
        said.contains("hint: no process could be started for it: see ulimit -u, pids.max of the control group"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1));
}
