//! An operation on its way through the kernel: its locks, whoever makes its writes, and what to say when it ends otherwise
//! than planned.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use crate::doctor::diagnosis::{Diagnosis, Finding};
use crate::doctor::snapshot;
use crate::doctor::stack::Work;
use crate::error::{Error, ErrorKind, Result};
use crate::execute::executor::{StepRunner, execute, undo};
use crate::execute::journaled::Journaled;
use crate::execute::outcome::{DetachedWrite, Outcome, Outcomes, Undone};
use crate::execute::signals;
use crate::execute::supervisor::Supervisor;
use crate::host::invoker::command_line;
use crate::lock::acquire::Held;
use crate::operation::announced::Announced;
use crate::operation::audit;
use crate::operation::context::Context;
use crate::operation::failure::{StepFailure, not_put_back, rollback_error};
use crate::operation::removal_record::now;
use crate::order;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::plan::action::{Action, Step};
use crate::report::text::operation;
use crate::state::journal::record::{Header, SCHEMA, operation_id};
use crate::state::journal::store::Journal;
use crate::terminal::event::Event;

/// Never adds one more task to those that hang already: an error if the kernel's PCI core will not go on.
pub(crate) fn refuse_if_stuck(context: &Context) -> Result<()> {
    let diagnosis = Diagnosis::of(&snapshot::take(context.machine.procfs()));
    let Some(stuck) = diagnosis.blocking() else { return Ok(()) };
    let message = format!(
        "the kernel's PCI core is stuck, nothing was started: {}; {}",
        stuck.evidence.first().map_or("", String::as_str),
        stuck.helps
    );
    let error = Error::new(ErrorKind::Refused, message).fact("stuck", serde_json::json!(diagnosis.stuck));
    Err(error.hint("pcictl doctor tells more"))
}

/// Never meets another removal in the kernel: an error if somebody past the locks is removing one of these directories
/// (below `sys`) or what lies above it. A removal that waits for one above it never ends
/// (`pci_stop_and_remove_bus_device_locked` takes the one mutex while the files below are drained).
pub(crate) fn refuse_if_being_removed(context: &Context, directories: &[String]) -> Result<()> {
    let diagnosis = Diagnosis::of(&snapshot::take(context.machine.procfs()));
    let is_above = |address: PciAddress| {
        let name = address.to_string();
        directories.iter().any(|directory| directory.split('/').any(|step| step == name))
    };
    let removes = |finding: &&Finding| finding.position.work == Work::Remove && finding.device.is_some_and(is_above);
    let Some(finding) = diagnosis.tasks.iter().find(removes) else { return Ok(()) };
    let message = format!("somebody removes it right now past pcictl's locks: {}", finding.in_words());
    let error = Error::new(ErrorKind::Refused, message).fact("writer", serde_json::json!(finding));
    let error = error.hint("wait until that is done, then run this again");
    Err(match finding.device {
        Some(address) => error.about(address),
        None => error,
    })
}

/// One operation from its first write to its last.
pub(crate) struct Operation<'a> {
    context: &'a Context<'a>,
    kernel: Box<dyn StepRunner + 'a>,
    journal: Rc<Journal>,
    /// How many steps of the plan were given to the kernel so far, phases before included.
    next_step: usize,
    /// How many steps the journal knows of.
    planned: usize,
    /// The steps that changed something and were not undone.
    changed: BTreeSet<usize>,
    /// Another process goes on with it.
    continues: bool,
    /// Something is half done and stays so.
    half_done: bool,
    /// Let go last: whatever ends this ends the locks with it, unless the writer has them too.
    _held: Held,
}

impl<'a> Operation<'a> {
    /// Writes the journal and sets up what makes the writes. From here on signals are heard and no longer end the program.
    ///
    /// # Errors
    /// The journal cannot be written, or there are no descriptors left.
    pub(crate) fn begin(context: &'a Context<'a>, held: Held, steps: &[Step], timeout: Duration) -> Result<Self> {
        let header = header(context, held.claims().tops().to_vec(), steps);
        if context.rehearsal.is_none() {
            // Or else one that comes before the first step would leave the journal behind.
            signals::hold().map_err(|error| Error::io("signals", &error))?;
        }
        let places = header.places.clone();
        let (journal, warning) = context.journals().begin(header)?;
        if let Some(warning) = warning {
            context.output.say(&warning);
        }
        audit::begin(context, journal.id(), &places, steps);
        let operation = Self::resume(context, held, journal, steps.len(), timeout)?;
        context.output.event(&Event::OperationBegun { steps: steps.len() });
        Ok(operation)
    }

    /// Goes on with an operation whose journal was taken over, and which knows of so many steps.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(crate) fn resume(
        context: &'a Context<'a>,
        held: Held,
        journal: Journal,
        planned: usize,
        timeout: Duration,
    ) -> Result<Self> {
        context.output.set_operation(journal.id());
        let journal = Rc::new(journal);
        let inner = match context.rehearsal {
            Some(rehearsal) => (rehearsal.kernel)(),
            None => {
                let copy = journal.try_clone();
                let made =
                    copy.and_then(|copy| Supervisor::new(&context.machine.sysfs, &held, Some(copy.into()), timeout));
                let made = made.map_err(|e| Error::io("nothing was started: no file descriptor is left", &e))?;
                Box::new(made) as Box<dyn StepRunner + 'a>
            }
        };
        let journaled = Box::new(Journaled { inner, journal: Rc::clone(&journal) });
        let kernel = Announced::new(journaled, context.output, timeout);
        Ok(Self {
            context,
            kernel: Box::new(kernel),
            journal,
            next_step: 0,
            planned,
            changed: BTreeSet::new(),
            continues: false,
            half_done: false,
            _held: held,
        })
    }

    /// Lets go of the locks and of what makes the writes, with a part of the plan done: whoever looks at the journal finds that
    /// it is at work. It is taken up again by [`resume`](Self::resume).
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(crate) fn pause(self) -> Result<Journal> {
        let Self { kernel, journal, _held: held, .. } = self;
        drop(kernel);
        drop(held);
        Rc::try_unwrap(journal).map_err(|_| Error::new(ErrorKind::Failed, "the journal is still in use"))
    }

    /// Brings the journal to its end, if nothing is left that somebody would have to put right.
    pub(crate) fn end<T>(&self, result: &Result<T>) {
        if self.continues || self.half_done {
            return;
        }
        let how = match result {
            Ok(_) => "done".to_owned(),
            Err(error) => error.to_string(),
        };
        if let Err(errno) = self.journal.close(&how) {
            self.context.output.say(&format!("the journal cannot be brought to its end: {}", errno.desc()));
        }
    }

    /// Says that what was done so far stays half done, for `pcictl recover` to put right.
    pub(crate) fn keep_half_done(&mut self) {
        self.half_done = true;
    }

    /// Performs the plan's next steps. Those that were not planned are noted in the journal first.
    ///
    /// # Errors
    /// They cannot be noted, or somebody else waits for them now and this process is to end.
    pub(crate) fn run(&mut self, steps: &[Step], jobs: usize) -> Result<Outcomes> {
        if self.next_step + steps.len() > self.planned {
            self.extend(steps)?;
        }
        let mut outcomes = execute(steps, self.next_step, &mut *self.kernel, jobs);
        self.next_step += steps.len();
        self.note_changes(self.next_step - steps.len(), steps, &outcomes);
        match outcomes.detached.take() {
            Some(unfinished) => Err(self.detached_error(&unfinished)),
            None => Ok(outcomes),
        }
    }

    /// A scan changes nothing by itself: what came of it is the report's to say.
    fn note_changes(&mut self, first: usize, steps: &[Step], outcomes: &Outcomes) {
        let is_scan = |action: &Action| matches!(action, Action::Rescan { .. } | Action::RescanAll);
        for (index, (step, outcome)) in steps.iter().zip(outcomes.each()).enumerate() {
            if (outcome.has_changed() || *outcome == Outcome::Unfinished) && !is_scan(&step.action) {
                self.changed.insert(first + index);
            }
        }
        self.context.output.set_changed(!self.changed.is_empty());
    }

    /// Performs the plan's next steps, none of which waits for another, and goes on when one of them fails.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub(crate) fn run_each(&mut self, steps: &[Step], jobs: usize) -> Result<Outcomes> {
        let mut all = Outcomes::default();
        while !all.interrupted && all.each.len() < steps.len() {
            let mut outcomes = self.run(&steps[all.each.len()..], jobs)?;
            all.interrupted = outcomes.interrupted;
            if !all.interrupted {
                // They are begun in their order, so those that were not are the last ones.
                let left = outcomes.each.iter().filter(|outcome| **outcome == Outcome::NotBegun).count();
                outcomes.each.truncate(outcomes.each.len() - left);
                self.next_step -= left;
            }
            all.each.append(&mut outcomes.each);
        }
        Ok(all)
    }

    /// Puts back what these steps changed, `first` being the place of the first one in the plan, and makes one error of
    /// all that went wrong. `lasting` says what was done for good.
    pub(crate) fn roll_back(
        &mut self,
        steps: &[Step],
        first: usize,
        outcomes: &Outcomes,
        why: StepFailure,
        lasting: &str,
    ) -> Error {
        match self.undo(steps, first, outcomes) {
            Ok(undone) => rollback_error(&undone, why, lasting),
            Err(error) => {
                self.context.output.say(&why.message);
                error
            }
        }
    }

    /// Puts back what was only changed for the time of these steps, `first` being the place of the first one in the plan.
    ///
    /// # Errors
    /// The kernel refuses a part of it, or somebody else waits for it now.
    pub(crate) fn put_back(&mut self, steps: &[Step], first: usize, outcomes: &Outcomes) -> Result<()> {
        let undone = self.undo(steps, first, outcomes)?;
        not_put_back(&undone).map_or(Ok(()), Err)
    }

    fn undo(&mut self, steps: &[Step], first: usize, outcomes: &Outcomes) -> Result<Undone> {
        let directory_of = |action: &Action| action.address().map_or_else(String::new, PciAddress::sysfs_link);
        let mut undone = undo(steps, first, outcomes, &directory_of, &mut *self.kernel);
        if let Some(unfinished) = undone.detached.take() {
            return Err(self.detached_error(&unfinished));
        }
        self.half_done = undone.each.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed(_)));
        if !self.half_done {
            let undone = outcomes.each().iter().enumerate().filter(|(_, outcome)| outcome.has_changed());
            undone.for_each(|(index, _)| {
                self.changed.remove(&(first + index));
            });
            self.context.output.set_changed(!self.changed.is_empty());
        }
        Ok(undone)
    }

    /// Whether somebody has asked to stop, now or earlier.
    pub(crate) fn is_interrupted(&mut self) -> bool {
        self.kernel.is_interrupted()
    }

    /// Notes steps that go beyond the plan, all that belong together at once. Each waits for all that was planned before.
    ///
    /// # Errors
    /// They cannot be noted.
    pub(crate) fn extend(&mut self, steps: &[Step]) -> Result<()> {
        let before = self.next_step;
        let absolute = steps.iter().map(|step| {
            let after = (0..before).chain(step.after.iter().map(|index| before + index)).collect();
            Step { after, ..step.clone() }
        });
        let absolute: Vec<Step> = absolute.collect();
        self.journal.extend(&absolute).map_err(|errno| {
            Error::new(
                ErrorKind::Failed,
                format!("cannot write the journal: {}; not going on without it", errno.desc()),
            )
        })?;
        self.planned = before + steps.len();
        Ok(())
    }

    /// The next step to be run is this one of the plan.
    pub(crate) fn seek(&mut self, step: usize) {
        self.next_step = step;
    }

    /// The place in the plan of the step that is run next.
    pub(crate) fn next_step(&self) -> usize {
        self.next_step
    }

    /// Whether something is half done and stays so.
    pub(crate) fn is_half_done(&self) -> bool {
        self.half_done
    }

    /// When it began, by its journal, in seconds since 1970.
    pub(crate) fn began(&self) -> u64 {
        self.journal.began()
    }

    /// Whether another process goes on with this operation, so that this one must leave everything as it is.
    pub(crate) fn continues_in_background(&self) -> bool {
        self.continues
    }

    /// The report of the process that waits no longer.
    fn detached_error(&mut self, unfinished: &DetachedWrite) -> Error {
        self.continues = true;
        if unfinished.background.is_some() {
            audit::leave(self.context);
        }
        for line in operation::kernel_state(unfinished) {
            self.context.output.say(&line);
        }
        let kind = if unfinished.late { ErrorKind::Unfinished } else { ErrorKind::Interrupted };
        let error =
            Error::new(kind, operation::unfinished(unfinished)).fact("unfinished", serde_json::json!(unfinished));
        match unfinished.action.address() {
            Some(address) => error.about(address),
            None => error,
        }
    }
}

fn header(context: &Context, places: Vec<Place>, steps: &[Step]) -> Header {
    let began = now();
    let functions = steps.iter().filter_map(|step| step.action.address());
    Header {
        schema: SCHEMA,
        id: operation_id(began),
        boot: context.machine.boot_id(),
        command: command_line(),
        pid: std::process::id(),
        uid: nix::unistd::getuid().as_raw(),
        began,
        steps: steps.to_vec(),
        places,
        functions: order::map(
            functions.filter_map(|address| Some((address, context.machine.sysfs.modalias(address)?))),
        ),
    }
}
