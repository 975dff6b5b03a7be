//! One pass over all processes, however many devices are asked about.
//!
//! Reading a process's map of memory waits for a lock of that process, and a process that hangs in the kernel may never
//! give it back. So the pass is made by children that are watched, see [`child`](crate::host::child): a process at which
//! one makes no progress is named as one that could not be looked at. How much a process has mapped and open is up to
//! whoever runs it, so those that take long are left for the end, and all together have until a deadline: nobody can keep
//! pcictl longer than that, and who takes the time is named.
//!
//! Before a change the pass is made twice. The second time what was seen of a process is kept if it cannot have changed since,
//! see [`activity`](crate::usage::process::activity).

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::plain;
use crate::host::bpf::layout::Layout;
use crate::host::child::{PATIENCE, Sender, Unseen, look_at_each};
use crate::host::processors::at_once;
use crate::host::procfs::{Next, ProcessRef, Procfs};
use crate::host::sysfs::Sysfs;
use crate::order;
use crate::usage::block::file_systems::{FileSystems, Mount};
use crate::usage::process::activity::Activity;
use crate::usage::process::descriptors::{FileUses, Finders, Look, Question, Wanted};
use crate::usage::process::namespaces::{Denied, Namespaces, name};
use crate::usage::process::suspects;

/// A process that takes longer is left for the end; thousands take less.
const QUICK: Duration = Duration::from_millis(250);

/// More children than this only fight over the kernel's locks.
const MOST_CHILDREN: usize = 4;

/// So many processes are worth a child of their own.
const WORTH_A_CHILD: usize = 64;

/// Of fewer processes all are gone through a second time: to find out which of them have run takes two children and as long.
const WORTH_NOTING: usize = 32;

/// What the pass found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The processes that hold something.
    pub(crate) holders: Vec<(ProcessRef, FileUses)>,
    /// Processes that may not be looked at.
    pub(crate) denied: Vec<Denied>,
    /// What else could not be looked at, in words.
    pub(crate) unchecked: Vec<String>,
}

/// What a child says of a process.
#[derive(Serialize, Deserialize)]
enum Answer {
    Holder(ProcessRef, FileUses),
    Denied(bool, String),
    /// It takes longer than [`QUICK`].
    Long,
    /// It has something that only the mounts which were not read can tell.
    NeedsMounts,
}

/// Which look of how many this is.
#[derive(Debug)]
pub(crate) enum Round<'a> {
    /// There will be no other.
    Only,
    /// Another one will follow.
    First(&'a mut Seen),
    /// After this one.
    Second(&'a Seen),
}

/// What a first look found, for the second one: what holds of processes that did not run in between.
#[derive(Debug, Default)]
pub struct Seen {
    /// How the kernel is asked which processes are worth a look. What comes below is for where it cannot be.
    layout: Option<Layout>,
    wanted: Wanted,
    activity: Activity,
    /// What each process holds that was looked at to its end.
    answers: HashMap<u32, Option<(ProcessRef, FileUses)>>,
}

impl Seen {
    /// What processes hold that have not run since; none if something else is looked for now.
    fn still_so(
        &self,
        proc: &Procfs,
        wanted: &Wanted,
        deadline: Instant,
    ) -> HashMap<u32, Option<&(ProcessRef, FileUses)>> {
        if self.wanted != *wanted {
            return HashMap::new();
        }
        let still = self.activity.still(proc, deadline).into_iter();
        still.filter_map(|pid| Some((pid, self.answers.get(&pid)?.as_ref()))).collect()
    }

    fn remember(&mut self, pids: &[u32], unanswered: &HashSet<u32>, wanted: &Wanted, findings: &Findings) {
        self.wanted = wanted.clone();
        self.answers = pids.iter().filter(|pid| !unanswered.contains(pid)).map(|pid| (*pid, None)).collect();
        for (process, uses) in &findings.holders {
            if uses.may_change {
                self.answers.remove(&process.pid);
            } else if let Some(answer) = self.answers.get_mut(&process.pid) {
                *answer = Some((process.clone(), uses.clone()));
            }
        }
    }
}

/// What is looked for, and where.
pub(crate) struct Asked<'a> {
    /// Says how the kernel is asked for all processes at once.
    pub(crate) sysfs: &'a Sysfs,
    /// The processes.
    pub(crate) proc: &'a Procfs,
    /// What of.
    pub(crate) wanted: &'a Wanted,
}

/// Looks at all these processes that the kernel does not say of that they hold nothing; where it cannot be asked, a second look
/// leaves out those that cannot have changed what they hold.
pub(crate) fn run(
    asked: &Asked<'_>,
    mut pids: Vec<u32>,
    file_systems: FileSystems,
    namespaces: &mut Namespaces,
    round: Round<'_>,
    deadline: Instant,
) -> Findings {
    let Asked { sysfs, proc, wanted } = *asked;
    let own = std::process::id();
    pids.retain(|pid| proc.is_dump() || *pid != own);
    let layout = match &round {
        Round::Second(seen) => seen.layout,
        Round::Only | Round::First(_) => suspects::layout(sysfs, proc, pids.len()),
    };
    let suspects = layout.and_then(|layout| suspects::among(&layout, wanted, deadline));
    let mut kept = HashMap::new();
    let mut seen = None;
    match (round, &suspects) {
        (Round::Only, _) => {}
        (Round::First(first), Some(_)) => first.layout = layout,
        (Round::First(first), None) => {
            // Before anything is looked at: what happens from here on counts.
            if pids.len() >= WORTH_NOTING {
                first.activity = Activity::note(proc, &pids, deadline);
            }
            seen = Some(first);
        }
        (Round::Second(_), Some(_)) => {}
        (Round::Second(first), None) => {
            kept = first.still_so(proc, wanted, deadline);
            pids.retain(|pid| !kept.contains_key(pid));
        }
    }
    if let Some(suspects) = suspects {
        pids.retain(|pid| suspects.contains(pid));
    }
    let user_namespace = proc.link("self/ns/user").ok().flatten();
    let is_partial = namespaces.have_unread();
    let finders = Finders::default();
    let question = Question { wanted, file_systems, is_partial, user_namespace, finders };
    let mut pass =
        Pass { proc, question, namespaces, deadline, findings: Findings::default(), unanswered: HashSet::new() };
    pass.over_all(&pids);
    let Pass { mut findings, unanswered, .. } = pass;
    if let Some(seen) = seen {
        seen.remember(&pids, &unanswered, wanted, &findings);
    }
    findings.holders.extend(kept.into_values().flatten().cloned());
    order::sort_by(&mut findings.holders, |(a, _), (b, _)| a.pid.cmp(&b.pid));
    findings
}

struct Pass<'a> {
    proc: &'a Procfs,
    question: Question<'a>,
    namespaces: &'a mut Namespaces,
    deadline: Instant,
    findings: Findings,
    /// Processes that were not looked at to their end.
    unanswered: HashSet<u32>,
}

/// Processes that have to be looked at again.
#[derive(Default)]
struct Later {
    /// They take long.
    long: Vec<u32>,
    /// They have something on a mount that was not read.
    blind: Vec<u32>,
}

impl Pass<'_> {
    fn over_all(&mut self, pids: &[u32]) {
        // Where each descriptor is asked which mount it is on, all mounts are needed.
        if self.question.wanted.has_nodes() && !self.question.file_systems.all_are_local() {
            self.read_mounts();
        }
        let Later { mut long, blind } = self.over(pids, true);
        if !long.is_empty() || !blind.is_empty() {
            self.read_mounts();
        }
        long.extend(self.over(&blind, true).long);
        self.over(&long, false);
    }

    /// Reads the mounts of all namespaces, if that was not done.
    fn read_mounts(&mut self) {
        let file_systems = &mut self.question.file_systems;
        let mut note = |_: u32, line: &str| Mount::parse(line).iter().for_each(|mount| file_systems.note(mount));
        self.namespaces.read_mounts(self.proc, self.deadline, &mut note);
        self.question.is_partial = false;
    }

    /// Looks at these; returns those that need more than a quick look, or more mounts.
    fn over(&mut self, pids: &[u32], quick: bool) -> Later {
        let mut later = Later::default();
        if pids.is_empty() {
            return later;
        }
        let (proc, question) = (self.proc, &self.question);
        let look = |pid: &u32, sender: &mut Sender| {
            let found = match answer(proc, question, *pid, quick, sender) {
                Ok(found) => found,
                Err(error) => {
                    let Denied { for_rights, why, .. } = Denied::new(*pid, &error);
                    Some(Answer::Denied(for_rights, why))
                }
            };
            found.iter().for_each(|answer| sender.send(answer));
        };
        let worth = if quick { pids.len() / WORTH_A_CHILD + 1 } else { pids.len() };
        let children = at_once(MOST_CHILDREN.min(worth));
        let (findings, unanswered) = (&mut self.findings, &mut self.unanswered);
        let take = |number: usize, answer: Answer| match answer {
            Answer::Holder(process, uses) => findings.holders.push((process, uses)),
            Answer::Denied(for_rights, why) => {
                unanswered.insert(pids[number]);
                findings.denied.push(Denied { for_rights, why, pid: pids[number] });
            }
            Answer::Long => later.long.push(pids[number]),
            Answer::NeedsMounts => later.blind.push(pids[number]),
        };
        let unseen = look_at_each(pids, children, &[proc.descriptor()], self.deadline, &look, take);
        self.unanswered.extend(unseen.iter().map(|(number, _)| pids[*number]));
        self.tell(pids, unseen);
        later
    }

    /// Says which processes were not looked at to the end, and why.
    fn tell(&mut self, pids: &[u32], unseen: Vec<(usize, Unseen)>) {
        let (mut late, mut childless) = (Vec::new(), Vec::new());
        for (number, why) in unseen {
            let pid = pids[number];
            let text = match why {
                Unseen::Hangs => {
                    format!("{} hangs in the kernel: what it has open and mapped cannot be read", self.name(pid))
                }
                Unseen::Slow => {
                    format!(
                        "reading what {} has open and mapped took longer than {} s",
                        self.name(pid),
                        PATIENCE.as_secs_f32()
                    )
                }
                Unseen::Died => format!("looking at {} failed: the child that did it ended", self.name(pid)),
                Unseen::OutOfTime => {
                    late.push(pid);
                    continue;
                }
                Unseen::NoChild(error) => {
                    childless.push((pid, error));
                    continue;
                }
            };
            self.findings.unchecked.push(text);
        }
        if let [first, rest @ ..] = late.as_slice() {
            let others = if rest.is_empty() { String::new() } else { format!(" and {} more processes", rest.len()) };
            let by = self.proc.uid(*first).map_or_else(String::new, |uid| format!(" of user {uid}"));
            let name = self.name(*first);
            self.findings.unchecked.push(format!("the time for looking at processes was up at {name}{by}{others}"));
        }
        if let [(first, error), rest @ ..] = childless.as_slice() {
            let others = if rest.is_empty() { String::new() } else { format!(" and {} more processes", rest.len()) };
            let (name, why) = (self.name(*first), plain(error));
            self.findings.unchecked.push(format!("cannot inspect {name}{others}: no process could be started: {why}"));
        }
    }

    fn name(&self, pid: u32) -> String {
        name(self.proc, pid)
    }
}

/// Looks at one process, in a child; nothing if it is gone, or holds nothing.
fn answer(
    proc: &Procfs,
    question: &Question<'_>,
    pid: u32,
    quick: bool,
    sender: &mut Sender,
) -> io::Result<Option<Answer>> {
    let Some(process) = proc.process(pid)? else { return Ok(None) };
    let begun = Instant::now();
    let mut is_long = false;
    let mut go_on = || {
        sender.is_alive();
        is_long |= quick && begun.elapsed() > QUICK;
        if is_long { Next::Stop } else { Next::Go }
    };
    let mut buffer = Vec::new();
    question.file_systems.has_missed();
    let mut look = |table: &str, go_on: &mut dyn FnMut() -> Next| {
        Look { process: &process, table, question, is_foreign: OnceCell::new() }.all(go_on, &mut buffer)
    };
    let Some(mut uses) = look("", &mut go_on)? else { return Ok(None) };
    // When a process's first thread has ended and others go on, only theirs show what it has open.
    if uses.descriptors == 0 && process.has_threads() {
        for thread in process.names("task")?.unwrap_or_default() {
            if thread != pid.to_string() {
                uses = look(&format!("task/{thread}/"), &mut go_on)?.unwrap_or_default();
                if uses.descriptors > 0 {
                    break;
                }
            }
        }
    }
    if is_long {
        return Ok(Some(Answer::Long));
    }
    if question.is_partial && question.file_systems.has_missed() {
        return Ok(Some(Answer::NeedsMounts));
    }
    if uses.holds.is_empty() && !uses.some_vfio && !uses.may_change {
        return Ok(None);
    }
    Ok(Some(Answer::Holder(process.identity(pid, &mut buffer), uses)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_seen_to_its_end_and_cannot_change_is_kept() {
        let process = |pid: u32| ProcessRef { pid, uid: None, command: String::new() };
        let uses = |may_change: bool| FileUses { may_change, some_vfio: true, ..FileUses::default() };
        let holders = vec![(process(7), uses(true)), (process(8), uses(false))];
        let findings = Findings { holders, ..Findings::default() };
        let mut seen = Seen::default();
        seen.remember(&[6, 7, 8, 9], &HashSet::from([9]), &Wanted::default(), &findings);
        assert_eq!(seen.answers, HashMap::from([(6, None), (8, Some((process(8), uses(false))))]));
    }
}
