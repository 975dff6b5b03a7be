//! A kernel made of files to which the writes are made by the writer itself, so that what it costs can be counted.

use std::fs;

use nix::errno::Errno;
use pcictl::execute::executor::{Event, StepRunner};
use pcictl::execute::supervisor::Supervisor;
use pcictl::host::sysfs::Sysfs;
use pcictl::lock::acquire::{Held, WaitLimit, Waiting, WatchWait};
use pcictl::lock::claims::Claims;
use pcictl::lock::files::LockDirectory;
use pcictl::pci::place::Place;
use pcictl::plan::action::{Step, StepRef};
use pcictl::plan::step_state::interpret_result;

use crate::support::fake::FakeKernel;

/// What the writer writes goes to plain files; what the kernel would do is done when it has ended.
pub struct Written {
    kernel: FakeKernel,
    sysfs: &'static Sysfs,
    supervisor: Supervisor<'static>,
    /// The writer has locks of its own here, beside those of the command.
    _held: Held,
    begun: Vec<(StepRef, Step)>,
}

/// What a test does by itself is no cost of pcictl's: in a trace it stands between two calls of these names.
pub const ASIDE: &str = "aside: begin";
pub const ASIDE_ENDS: &str = "aside: end";

/// Does something that is not to be counted.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    let _ = fs::metadata(ASIDE);
    let result = work();
    let _ = fs::metadata(ASIDE_ENDS);
    result
}

struct Silent;

impl WatchWait for Silent {
    fn waiting(&mut self, _: &Waiting) {}
}

impl Written {
    /// Of a process that ends with it.
    pub fn new(kernel: FakeKernel, root: &std::path::Path, run: &std::path::Path) -> Self {
        aside(|| Self::set_up(kernel, root, run))
    }

    fn set_up(kernel: FakeKernel, root: &std::path::Path, run: &std::path::Path) -> Self {
        let sysfs: &Sysfs = Box::leak(Box::new(Sysfs::open(Some(root)).expect("the tree")));
        let claims = Claims::changing(vec![Place::from_chain("pci00ff:00/01.0").expect("a place")]);
        let locks = LockDirectory::open(run).expect("locks");
        let held = locks.acquire(&claims, WaitLimit::NoWait, &mut Silent).expect("nobody else is there");
        let timeout = std::time::Duration::from_secs(3600);
        let supervisor = Supervisor::new(sysfs, &held, None, timeout).expect("a supervisor");
        Self { kernel, sysfs, supervisor, _held: held, begun: Vec::new() }
    }
}

impl StepRunner for Written {
    fn begin(&mut self, mark: StepRef, step: &Step) -> Result<(), Errno> {
        let file = self.kernel.sys(&step.file);
        aside(|| {
            if !file.exists() {
                fs::write(file, "").expect("a file to write to");
            }
        });
        self.supervisor.begin(mark, step)?;
        self.begun.push((mark, step.clone()));
        Ok(())
    }

    fn next_event(&mut self) -> Event {
        let event = self.supervisor.next_event();
        let Event::Ended(mark, answer) = event else { return event };
        let index = self.begun.iter().position(|(begun, _)| *begun == mark).expect("it was begun");
        let (_, step) = self.begun.remove(index);
        let answer = aside(|| {
            assert_eq!(fs::read_to_string(self.kernel.sys(&step.file)).expect("it was written to"), step.value);
            answer.and_then(|_| self.kernel.write(&step.action))
        });
        Event::Ended(mark, interpret_result(self.sysfs, &step.action, answer))
    }
}
