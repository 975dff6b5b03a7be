//! A machine made of files that commands work on, and how they end.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Once;

use clap::Parser;
use pcictl::cli::args::Cli;
use pcictl::commands::rehearse;
use pcictl::error::Error;
use pcictl::execute::executor::StepRunner;
use pcictl::host::sysfs::Sysfs;
use pcictl::operation::context::Rehearsal;
use pcictl::state::journal::progress::{Assessment, Progress};
use pcictl::state::journal::store::{JournalFile, Journals};
use pcictl::terminal::output::Output;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::dump::{Dump, Node, Order};
use crate::support::fake::vf_settings::KEPT_FOR_VFS;
use crate::support::fake::{Comes, Crash, FakeKernel, Fault, Script};
use crate::support::processes::hold_off_starts;
use crate::support::run::Run;
use crate::support::{Tree, check_form, load_dump, scratch_directory};

/// Every function, with its driver.
pub type Functions = BTreeMap<String, Option<String>>;

/// A machine that can be worked on, and its directories.
pub struct Machine {
    pub tree: Rc<Tree>,
    dump: Rc<Dump>,
    script: Rc<RefCell<Script>>,
    directory: Rc<TempDir>,
    /// Every function that was removed in any run.
    removed: RefCell<BTreeSet<String>>,
    /// What the last command printed.
    printed: RefCell<String>,
}

/// How a command ended.
#[derive(Debug)]
pub enum Ended {
    Well,
    Badly(Error),
    Otherwise(ExitCode),
    Crashed,
}

impl Machine {
    pub fn new(name: &str) -> Self {
        Self::prepared(name, |_| ())
    }

    /// The machine of a dump to which this was done first.
    pub fn prepared(name: &str, prepare: fn(&mut Dump)) -> Self {
        let mut dump = load_dump(name);
        prepare(&mut dump);
        let tree = Tree::unpack(&dump, Order::FirstFirst);
        Self::of(Rc::new(tree), Rc::new(dump), Rc::new(scratch_directory()))
    }

    fn of(tree: Rc<Tree>, dump: Rc<Dump>, directory: Rc<TempDir>) -> Self {
        let script = Rc::new(RefCell::new(Script::new(Fault::None, 0, Comes::Same)));
        Self { tree, dump, script, directory, removed: RefCell::default(), printed: RefCell::default() }
    }

    /// The same machine with nothing noted, if nothing about it is changed; to unpack one takes long.
    pub fn reused(self, settings: &BTreeMap<String, String>, functions: &Functions) -> Option<Self> {
        let is_as_new = &self.functions() == functions && &self.settings() == settings;
        is_as_new.then(|| Self::of(self.tree, self.dump, Rc::new(scratch_directory())))
    }

    /// The same machine and directories, for somebody else who works there at the same time.
    pub fn shared(&self) -> Self {
        Self::of(Rc::clone(&self.tree), Rc::clone(&self.dump), Rc::clone(&self.directory))
    }

    /// The same machine with what pcictl itself writes in another directory.
    pub fn with_directory(&self, directory: TempDir) -> Self {
        Self::of(Rc::clone(&self.tree), Rc::clone(&self.dump), Rc::new(directory))
    }

    /// Makes this boot the one that the machine is in.
    pub fn boot(&self, id: &str) {
        let directory = self.tree.path().join("proc/sys/kernel/random");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("boot_id"), format!("{id}\n")).unwrap();
    }

    pub fn directory(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a command.
    pub fn run(&self, words: &[&str]) -> Ended {
        self.run_with(words, Script::new(Fault::None, 0, Comes::Same))
    }

    /// Runs a command, with a fault at one of its calls to the kernel.
    pub fn run_at(&self, words: &[&str], fault: Fault, at: usize) -> Ended {
        self.run_with(words, Script::new(fault, at, Comes::Same))
    }

    /// Takes every function away, as when cables are pulled.
    pub fn pull_all(&self) {
        while let Some(function) = self.functions().keys().next() {
            self.tree.remove(function);
        }
    }

    /// The kernel, for what somebody else writes to it.
    pub fn kernel(&self) -> FakeKernel {
        FakeKernel::new(Rc::clone(&self.tree), Rc::clone(&self.dump), Rc::clone(&self.script))
    }

    /// Runs a command by a script.
    pub fn run_with(&self, words: &[&str], script: Script) -> Ended {
        let _alone = hold_off_starts();
        self.run_beside(words, script)
    }

    /// The same inside another run.
    pub fn run_beside(&self, words: &[&str], script: Script) -> Ended {
        *self.script.borrow_mut() = script;
        let root = self.tree.path().to_str().unwrap();
        // As JSON, so that each report is seen to be in the published form.
        let words = [&["pcictl", "--json", "--quiet", "--sysroot", root], words].concat();
        let cli = Cli::parse_from(words);
        let output = Output::keeping(cli.talk());
        let (tree, dump, script) = (Rc::clone(&self.tree), Rc::clone(&self.dump), Rc::clone(&self.script));
        let kernel = move || -> Box<dyn StepRunner> {
            Box::new(FakeKernel::new(Rc::clone(&tree), Rc::clone(&dump), Rc::clone(&script)))
        };
        let (run, state) = (self.directory("run"), self.directory("state"));
        let rehearsal = Rehearsal { run, state, kernel: Box::new(kernel) };
        let ended = catch_unwind(AssertUnwindSafe(|| rehearse(&cli, &output, &rehearsal)));
        if let Ok(Err(error)) = &ended {
            output.error(error);
        }
        let printed = output.kept();
        check_form(&printed);
        *self.printed.borrow_mut() = String::from_utf8(printed).unwrap();
        self.removed.borrow_mut().append(&mut self.script.borrow_mut().removed);
        match ended {
            Ok(Ok(code)) if code == ExitCode::SUCCESS => Ended::Well,
            Ok(Ok(code)) => Ended::Otherwise(code),
            Ok(Err(error)) => Ended::Badly(error),
            Err(cause) if cause.is::<Crash>() => Ended::Crashed,
            Err(cause) => std::panic::resume_unwind(cause),
        }
    }

    /// What the last command printed: its report, or its events.
    pub fn printed(&self) -> Vec<Value> {
        let printed = self.printed.borrow();
        serde_json::Deserializer::from_str(&printed).into_iter().map(|value| value.expect("JSON")).collect()
    }

    pub fn calls(&self) -> usize {
        self.script.borrow().calls
    }

    /// The writes of the last run, as `VALUE > FILE`.
    pub fn writes(&self) -> Vec<String> {
        self.script.borrow().writes.clone()
    }

    /// Notes that these functions were removed in a run of which this machine knows nothing.
    pub fn note_removed(&self, functions: &BTreeSet<String>) {
        self.removed.borrow_mut().extend(functions.iter().cloned());
    }

    /// Whether a function was ever removed.
    pub fn has_removed(&self, function: &str) -> bool {
        self.removed.borrow().contains(function)
    }

    /// Every function that is there, and the driver that has it.
    pub fn functions(&self) -> Functions {
        self.tree.functions()
    }

    /// Whether a function of the dump is virtual.
    pub fn is_virtual(&self, function: &str) -> bool {
        let link = format!("{function}/physfn");
        self.dump.0.keys().any(|path| path.ends_with(&link))
    }

    /// What is switched on and set, by its file.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        for (top, files) in [
            ("sys/bus/pci/slots", &["power", "attention"][..]),
            (
                "sys/bus/pci/devices",
                &[
                    "driver_override",
                    "power/control",
                    "power/wakeup",
                    "d3cold_allowed",
                    "reset_method",
                    "sriov_numvfs",
                    "sriov_drivers_autoprobe",
                ],
            ),
        ] {
            for entry in fs::read_dir(self.tree.path().join(top)).into_iter().flatten().flatten() {
                for file in files {
                    let Ok(text) = fs::read_to_string(entry.path().join(file)) else { continue };
                    let text = if text == "(null)\n" { "" } else { text.trim() };
                    settings.insert(format!("{}/{file}", entry.file_name().to_str().unwrap()), text.to_owned());
                }
            }
        }
        settings.extend(self.kept_for_vfs());
        settings
    }

    /// What physical functions keep for their VFs, by the VF and the setting.
    fn kept_for_vfs(&self) -> BTreeMap<String, String> {
        let mut kept = BTreeMap::new();
        for file in fs::read_dir(self.tree.path().join(KEPT_FOR_VFS).join("vfs")).into_iter().flatten().flatten() {
            let physical = file.file_name().to_str().unwrap().to_owned();
            for line in fs::read_to_string(file.path()).unwrap().lines() {
                let at = line.match_indices(' ').nth(2).unwrap().0;
                kept.insert(format!("{physical}/{}", &line[..at]), line[at + 1..].to_owned());
            }
        }
        kept
    }

    /// The functions that the ledger waits for.
    pub fn ledger(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.directory("state").join("ledger")).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "json"));
        let entries = files.flat_map(|path| entries_of(&fs::read(path).unwrap()));
        entries.map(|entry| entry["address"].as_str().unwrap().to_owned()).collect()
    }

    /// Whether `status` knows of no operation that somebody would have to put right.
    pub fn is_settled(&self) -> bool {
        let sysfs = Sysfs::open(Some(self.tree.path())).unwrap();
        let is_settled = |found: &JournalFile| {
            let record = found.record.as_ref();
            record.is_ok_and(|r| r.closed.is_some() || Assessment::of(r, &sysfs).progress() != Progress::Partial)
        };
        self.journals().list().unwrap().iter().all(is_settled)
    }

    /// All journals, as they were found and as they are written.
    pub fn leftovers(&self) -> String {
        let found = self.journals().list();
        let files = fs::read_dir(self.directory("run").join("journal")).into_iter().flatten().flatten();
        let text = |file: fs::DirEntry| format!("{file:?}:\n{}", fs::read_to_string(file.path()).unwrap_or_default());
        format!("{found:#?}\n{}", files.map(text).collect::<String>())
    }

    pub fn journals(&self) -> Journals {
        Journals::below(&self.directory("run"), &self.directory("state"))
    }

    pub fn status(&self) -> Run {
        Run::words("status --color never")
            .on(&self.tree)
            .run_dir(&self.directory("run"))
            .state_dir(&self.directory("state"))
    }
}

/// The entries in a file of the ledger; what is no such file has none.
pub fn entries_of(content: &[u8]) -> Vec<Value> {
    let mut file: Value = serde_json::from_slice(content).unwrap_or_default();
    match file["entries"].take() {
        Value::Array(entries) => entries,
        _ if file["place"].is_string() => vec![file],
        _ => Vec::new(),
    }
}

/// Writes a file of a dump.
pub fn set(dump: &mut Dump, path: &str, text: &str) {
    dump.0.insert(path.into(), Node::File { content: text.into(), mode: 0o644 });
}

/// Makes a link of a dump.
pub fn set_link(dump: &mut Dump, path: &str, target: &str) {
    dump.0.insert(path.into(), Node::Link(target.to_owned()));
}

/// Gives a function of a dump to a driver, as deep below `sys` as it sits.
pub fn bind(dump: &mut Dump, device: &str, driver: &str) {
    let address = device.rsplit('/').next().unwrap();
    let up = "../".repeat(device.split('/').count() - 1);
    dump.0.insert(format!("{device}/driver").into(), Node::Link(format!("{up}bus/pci/drivers/{driver}")));
    let below = device.strip_prefix("sys/").unwrap();
    dump.0.insert(format!("sys/bus/pci/drivers/{driver}/{address}").into(), Node::Link(format!("../../../../{below}")));
}

/// A crash is an unwinding here; its message would only be noise.
pub fn quiet_crashes() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Crash>() {
                others(info);
            }
        }));
    });
}
