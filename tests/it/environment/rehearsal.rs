//! A command on a machine made of files, in a process of its own, to which things can be done that would hit all tests.
//!
//! The process is this test program again, with one test, which ends with the status of the command.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use clap::Parser;
use pcictl::cli::args::Cli;
use pcictl::commands::rehearse;
use pcictl::execute::executor::StepRunner;
use pcictl::operation::context::Rehearsal;
use pcictl::terminal::output::Output;

use crate::support::fake::{Comes, FakeKernel, Fault, Script};
use crate::support::written::{ASIDE_ENDS, Written};
use crate::support::{Tree, load_dump, processes};

/// The tree that all of these are tried on.
pub const TREE: &str = "guest-switch8";

/// Where the machine, the run directory and the state directory are, and the words of the command.
const VARIABLES: [&str; 4] = ["REHEARSAL_ROOT", "REHEARSAL_RUN", "REHEARSAL_STATE", "REHEARSAL_WORDS"];

/// Set where the writes are made by the writer, and not by the test.
pub const WRITER: &str = "REHEARSAL_WRITER";

/// What libtest prints before it runs a test.
pub const BEFORE: &str = "\nrunning 1 test\n";

/// The command as a process, with nothing else in its environment.
pub fn command(root: &Path, run: &Path, state: &Path, words: &str) -> Command {
    let mut command = processes::this_test("environment::rehearsal::in_a_process_of_its_own");
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    let values = [root.as_os_str(), run.as_os_str(), state.as_os_str(), words.as_ref()];
    command.envs(VARIABLES.into_iter().zip(values));
    command
}

#[test]
#[ignore = "runs in a process of its own"]
fn in_a_process_of_its_own() {
    let [root, run, state, words] = VARIABLES.map(|name| std::env::var(name).expect("it is set"));
    let cli = Cli::parse_from(["pcictl", "--sysroot", &root].into_iter().chain(words.split(' ')));
    let output = Output::new(cli.talk());
    let tree = Rc::new(Tree::of_another(Path::new(&root)));
    let script = Rc::new(RefCell::new(Script::new(Fault::None, 0, Comes::Same)));
    let dump = Rc::new(load_dump(TREE));
    let of_writer = std::env::var(WRITER).ok();
    let kernel = move || -> Box<dyn StepRunner> {
        let kernel = FakeKernel::new(Rc::clone(&tree), Rc::clone(&dump), Rc::clone(&script));
        match &of_writer {
            Some(run) => Box::new(Written::new(kernel, tree.path(), Path::new(run))),
            None => Box::new(kernel),
        }
    };
    let rehearsal = Rehearsal { run: PathBuf::from(run), state: PathBuf::from(state), kernel: Box::new(kernel) };
    // Whoever counts calls leaves out those before this.
    let _ = std::fs::metadata(ASIDE_ENDS);
    let code = rehearse(&cli, &output, &rehearsal).unwrap_or_else(|error| {
        output.error(&error);
        error.status().into()
    });
    std::process::exit(processes::number(code).into());
}
