//! Everything that can go wrong at every call to the kernel, against a kernel made of files: no panic, a documented
//! status, and a journal from which the machine is brought to the planned end or back to its start.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Once;

use clap::Parser;
use nix::errno::Errno;
use pcictl::cli::args::Cli;
use pcictl::commands::rehearse;
use pcictl::error::{Error, ErrorKind};
use pcictl::execute::executor::StepRunner;
use pcictl::host::sysfs::Sysfs;
use pcictl::operation::context::Rehearsal;
use pcictl::state::journal::progress::{Assessment, Progress};
use pcictl::state::journal::store::{JournalFile, Journals};
use pcictl::terminal::Output;
use tempfile::TempDir;

use crate::support::dump::{Dump, Order};
use crate::support::fake::{Comes, Crash, FakeKernel, Fault, Script};
use crate::support::processes::hold_off_starts;
use crate::support::run::Run;
use crate::support::{Tree, load_dump, scratch_directory};

/// A machine that can be worked on, and its directories.
struct Machine {
    tree: Rc<Tree>,
    dump: Rc<Dump>,
    script: Rc<RefCell<Script>>,
    directory: TempDir,
}

/// How a command ended.
enum Ended {
    Well,
    Badly(Error),
    Otherwise(ExitCode),
    Crashed,
}

impl Machine {
    fn new(name: &str) -> Self {
        let dump = Rc::new(load_dump(name));
        let script = Script::new(Fault::None, 0, Comes::Same);
        let directory = scratch_directory();
        Self {
            tree: Rc::new(Tree::unpack(&dump, Order::FirstFirst)),
            dump,
            script: Rc::new(RefCell::new(script)),
            directory,
        }
    }

    /// The same machine with nothing noted, if it is as it was at its start; to unpack one takes long.
    fn again(self, name: &str, start: &BTreeMap<String, Option<String>>) -> Self {
        if &self.functions() == start { Self { directory: scratch_directory(), ..self } } else { Self::new(name) }
    }

    fn directory(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a command, with a fault at one of its calls to the kernel.
    fn run(&self, words: &[&str], fault: Fault, at: usize) -> Ended {
        *self.script.borrow_mut() = Script::new(fault, at, Comes::Same);
        let root = self.tree.path().to_str().unwrap();
        let words = [&["pcictl", "--quiet", "--sysroot", root], words].concat();
        let cli = Cli::parse_from(words);
        let (tree, dump, script) = (Rc::clone(&self.tree), Rc::clone(&self.dump), Rc::clone(&self.script));
        let kernel = move || -> Box<dyn StepRunner> {
            Box::new(FakeKernel::new(Rc::clone(&tree), Rc::clone(&dump), Rc::clone(&script)))
        };
        let (run, state) = (self.directory("run"), self.directory("state"));
        let rehearsal = Rehearsal { run, state, kernel: Box::new(kernel) };
        let _alone = hold_off_starts();
        match catch_unwind(AssertUnwindSafe(|| rehearse(&cli, &Output::new(cli.common.talk()), &rehearsal))) {
            Ok(Ok(code)) if code == ExitCode::SUCCESS => Ended::Well,
            Ok(Ok(code)) => Ended::Otherwise(code),
            Ok(Err(error)) => Ended::Badly(error),
            Err(cause) if cause.is::<Crash>() => Ended::Crashed,
            Err(cause) => std::panic::resume_unwind(cause),
        }
    }

    fn calls(&self) -> usize {
        self.script.borrow().calls
    }

    /// Every function that is there, and the driver that has it.
    fn functions(&self) -> BTreeMap<String, Option<String>> {
        let devices = self.tree.path().join("sys/bus/pci/devices");
        let entries = fs::read_dir(devices).unwrap().flatten();
        let driver = |path: PathBuf| Some(fs::read_link(path.join("driver")).ok()?.file_name()?.to_str()?.to_owned());
        entries.map(|entry| (entry.file_name().into_string().unwrap(), driver(entry.path()))).collect()
    }

    /// Whether `status` knows of no operation that somebody would have to put right.
    fn is_settled(&self) -> bool {
        let sysfs = Sysfs::open(Some(self.tree.path())).unwrap();
        let journals = Journals::below(&self.directory("run"), &self.directory("state"));
        let is_settled = |found: &JournalFile| {
            let record = found.record.as_ref();
            record.is_ok_and(|r| r.closed.is_some() || Assessment::of(r, &sysfs).progress() != Progress::Partial)
        };
        journals.list().unwrap().iter().all(is_settled)
    }

    fn status(&self) -> Run {
        Run::words("status --color never")
            .on(&self.tree)
            .run_dir(&self.directory("run"))
            .state_dir(&self.directory("state"))
    }
}

/// Every kind of fault. EINTR and a short write are the helper's own business and come out as these.
const FAULTS: [Fault; 14] = [
    Fault::NotBegun(Errno::EAGAIN),
    Fault::NotBegun(Errno::ENOMEM),
    Fault::NotBegun(Errno::ENOENT),
    Fault::Refused(Errno::EIO),
    Fault::Refused(Errno::ENOSPC),
    Fault::Refused(Errno::EBUSY),
    Fault::Refused(Errno::ENODEV),
    Fault::Refused(Errno::EACCES),
    Fault::Vanished,
    Fault::KilledBefore,
    Fault::KilledAfter,
    Fault::Interrupted,
    Fault::CrashBefore,
    Fault::CrashAfter,
];

/// The machines and what is done to them: a port with one endpoint, a PF with its VFs, and an empty place.
const WORK: [(&str, &[&str]); 5] = [
    ("guest-switch8", &["remove", "0000:02:00.0"]),
    ("guest-sriov", &["remove", "0000:01:00.0"]),
    ("guest-switch8", &["remove", "0000:03:00.0", "0000:04:00.0"]),
    ("guest-switch8", &["rescan", "--settle", "0", "0000:02:00.0"]),
    ("guest-switch8", &["replug", "--settle", "0", "0000:03:00.0"]),
];

/// A crash is an unwinding here; its message would only be noise.
fn quiet_crashes() {
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

fn documented(fault: Fault, kind: ErrorKind) -> bool {
    match fault {
        Fault::Interrupted => kind == ErrorKind::Interrupted,
        Fault::Refused(Errno::EACCES) => matches!(kind, ErrorKind::NotPermitted | ErrorKind::Partly),
        _ => matches!(kind, ErrorKind::Failed | ErrorKind::Partly),
    }
}

#[test]
fn every_fault_at_every_call_is_answered_and_can_be_recovered_from() {
    quiet_crashes();
    let mut tried = 0;
    for (name, words) in WORK {
        let whole = Machine::new(name);
        let start = whole.functions();
        assert!(matches!(whole.run(words, Fault::None, 0), Ended::Well), "{words:?} without any fault");
        let (calls, end) = (whole.calls(), whole.functions());
        assert!(calls > 0 && whole.is_settled());
        let mut machine = Machine::new(name);
        for fault in FAULTS {
            for at in 0..calls {
                tried += 1;
                one(&machine, words, fault, at, &start, &end);
                machine = machine.again(name, &start);
            }
        }
    }
    println!("{tried} faults");
}

fn one(
    machine: &Machine,
    words: &[&str],
    fault: Fault,
    at: usize,
    start: &BTreeMap<String, Option<String>>,
    end: &BTreeMap<String, Option<String>>,
) {
    let what = format!("{words:?} with {fault:?} at call {at}");
    match machine.run(words, fault, at) {
        Ended::Badly(error) => {
            assert!(documented(fault, error.kind()), "{what}: {:?}: {error}", error.kind());
            if error.kind() == ErrorKind::Failed && fault != Fault::Vanished {
                assert_eq!(&machine.functions(), start, "{what}: it said that nothing is changed: {error}");
            }
        }
        Ended::Well if fault == Fault::Vanished => {}
        Ended::Well => assert_eq!(&machine.functions(), end, "{what}: it said that all is done"),
        Ended::Otherwise(code) => panic!("{what}: ended with {code:?}"),
        Ended::Crashed => assert!(matches!(fault, Fault::CrashBefore | Fault::CrashAfter), "{what}"),
    }
    let changed = machine.functions();
    let recovered = machine.run(&["recover"], Fault::None, 0);
    if fault == Fault::Vanished {
        // What went away by itself cannot be put back, and no part of it may be made up.
        return;
    }
    if let Ended::Badly(error) = recovered {
        panic!("{what}: recover: {error}; it was {changed:?}");
    }
    let now = machine.functions();
    // Of several targets each is at its start or at its end.
    let as_before = now.iter().all(|(function, driver)| start.get(function) == Some(driver));
    let gone = start.keys().filter(|function| !now.contains_key(*function));
    assert!(as_before && gone.clone().all(|function| !end.contains_key(function)), "{what}: now {now:?}");
    let subtrees = words.iter().filter(|word| start.contains_key(**word)).count();
    assert!(subtrees > 1 || &now == start || &now == end, "{what}: neither start nor end, but {now:?}");
    assert!(machine.is_settled(), "{what}: something is left over");
}

#[test]
fn a_crash_while_undoing_and_one_while_recovering_are_recovered_from() {
    quiet_crashes();
    let words = ["remove", "0000:02:00.0"];
    let start = Machine::new("guest-switch8").functions();
    for at in 0..2 {
        for crash in [Fault::CrashBefore, Fault::CrashAfter] {
            let machine = Machine::new("guest-switch8");
            assert!(matches!(machine.run(&words, Fault::CrashAfter, 1), Ended::Crashed));
            assert!(matches!(machine.run(&["recover"], crash, at), Ended::Crashed));
            assert!(matches!(machine.run(&["recover"], Fault::None, 0), Ended::Well), "{crash:?} at {at}");
            assert_eq!(machine.functions(), start, "{crash:?} at {at}");
            assert!(machine.is_settled());
        }
    }
}

#[test]
fn status_says_what_is_done_what_is_not_and_which_commands_put_it_right() {
    quiet_crashes();
    let machine = Machine::new("guest-switch8");
    assert!(matches!(machine.run(&["remove", "0000:02:00.0"], Fault::CrashAfter, 0), Ended::Crashed));
    machine
        .status()
        .stdout_like(
            "\
[..]: interrupted, half done: [..]
  done: unbind 0000:03:00.0 from slowpci
  not done: unbind 0000:02:00.0 from pcieport
  not done: remove 0000:02:00.0
  to undo it: pcictl recover [..]
  to complete it: pcictl remove 0000:02:00.0
",
        )
        .status(5)
        .check();
    // The command that completes it does, and the journal of the first try knows.
    assert!(matches!(machine.run(&["remove", "0000:02:00.0"], Fault::None, 0), Ended::Well));
    assert!(machine.is_settled());
    machine
        .status()
        .stdout_like(
            "\
[..]: interrupted, but complete: [..]
  done: unbind 0000:03:00.0 from slowpci
0000:02:00.0: removed and not back; pcictl rescan 0000:02:00.0
0000:03:00.0: removed and not back; pcictl rescan 0000:03:00.0
",
        )
        .check();
}

#[test]
fn where_no_journal_can_be_written_nothing_is_begun() {
    let machine = Machine::new("guest-switch8");
    let start = machine.functions();
    fs::create_dir_all(machine.directory("run")).unwrap();
    fs::write(machine.directory("run").join("journal"), "in the way").unwrap();
    let Ended::Badly(error) = machine.run(&["remove", "0000:03:00.0"], Fault::None, 0) else { panic!("it was done") };
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("nothing was changed"), "{error}");
    assert_eq!((machine.calls(), machine.functions()), (0, start));
}

#[test]
fn what_cannot_be_trusted_is_set_aside_and_told() {
    let machine = Machine::new("guest-switch8");
    let journals = machine.directory("run").join("journal");
    quiet_crashes();
    assert!(matches!(machine.run(&["remove", "0000:03:00.0"], Fault::CrashAfter, 0), Ended::Crashed));
    let journal = fs::read_dir(&journals).unwrap().flatten().next().unwrap().path();
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, text.replacen("Unbind", "unbind", 1).replacen("slowpci", "slowpcx", 1)).unwrap();
    let changed = machine.functions();
    assert!(!machine.is_settled());
    let recovered = machine.run(&["recover"], Fault::None, 0);
    assert!(matches!(recovered, Ended::Otherwise(code) if code == ExitCode::from(5)), "not everything could be used");
    assert_eq!((machine.calls(), machine.functions()), (0, changed), "nothing was done on its word");
    assert!(machine.is_settled() && !journal.exists());
    assert!(journal.with_extension("journal.bad").exists());
}
