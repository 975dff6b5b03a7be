//! One pass over all processes, however many devices are asked about.
//!
//! Reading a process's map of memory waits for a lock of that process, and a process that hangs in the kernel may never
//! give it back. So the pass is made by children that are watched, see [`child`](crate::host::child): a process at which
//! one makes no progress is named as one that could not be looked at. How much a process has mapped and open is up to
//! whoever runs it, so those that take long are left for the end, and all together have until a deadline: nobody can keep
//! pcictl longer than that, and who takes the time is named.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::plain;
use crate::host::child::{PATIENCE, Sender, Unseen, look_at_each};
use crate::host::procfs::{Next, ProcessRef, Procfs};
use crate::order;
use crate::usage::block::file_systems::FileSystems;
use crate::usage::block::mounts::MountSurvey;
use crate::usage::namespaces::{Namespace, bind_mounted};
use crate::usage::process::descriptors::{FileUses, Finders, Look, Question, Wanted};

/// A process that takes longer is left for the end; thousands take less.
const QUICK: Duration = Duration::from_millis(250);

/// More children than this only fight over the kernel's locks.
const MOST_CHILDREN: usize = 4;

/// So many processes are worth a child of their own.
const WORTH_A_CHILD: usize = 64;

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

/// A process that may not be looked at, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Denied {
    /// Whether it is for want of rights.
    pub(crate) for_rights: bool,
    /// What the system says.
    pub(crate) why: String,
    /// The process.
    pub(crate) pid: u32,
}

impl Denied {
    pub(crate) fn new(pid: u32, error: &io::Error) -> Self {
        Self { for_rights: error.kind() == io::ErrorKind::PermissionDenied, why: plain(error), pid }
    }
}

/// What a child says of a process.
#[derive(Serialize, Deserialize)]
enum Answer {
    Holder(ProcessRef, FileUses),
    Denied(bool, String),
    /// It takes longer than [`QUICK`].
    Long,
}

/// Looks at all these processes.
pub(crate) fn run(
    proc: &Procfs,
    mut pids: Vec<u32>,
    wanted: &Wanted,
    file_systems: &FileSystems,
    deadline: Instant,
) -> Findings {
    let own = std::process::id();
    pids.retain(|pid| proc.is_dump() || *pid != own);
    let user_namespace = proc.link("self/ns/user").ok().flatten();
    let question = Question { wanted, file_systems, user_namespace, finders: Finders::default() };
    let mut pass = Pass { proc, question: &question, deadline, findings: Findings::default() };
    let long = pass.over(&pids, true);
    pass.over(&long, false);
    let mut findings = pass.findings;
    order::sort_by(&mut findings.holders, |(a, _), (b, _)| a.pid.cmp(&b.pid));
    findings
}

struct Pass<'a> {
    proc: &'a Procfs,
    question: &'a Question<'a>,
    deadline: Instant,
    findings: Findings,
}

impl Pass<'_> {
    /// Looks at these; returns those that take long, if only a quick look was wanted.
    fn over(&mut self, pids: &[u32], quick: bool) -> Vec<u32> {
        if pids.is_empty() {
            return Vec::new();
        }
        let (proc, question) = (self.proc, self.question);
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
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let worth = if quick { pids.len() / WORTH_A_CHILD + 1 } else { pids.len() };
        let children = processors.min(MOST_CHILDREN).min(worth);
        let mut long = Vec::new();
        let findings = &mut self.findings;
        let take = |number: usize, answer: Answer| match answer {
            Answer::Holder(process, uses) => findings.holders.push((process, uses)),
            Answer::Denied(for_rights, why) => findings.denied.push(Denied { for_rights, why, pid: pids[number] }),
            Answer::Long => long.push(pids[number]),
        };
        let unseen = look_at_each(pids, children, &[proc.descriptor()], self.deadline, &look, take);
        self.tell(pids, unseen);
        long
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

/// `pid 812 (dd)`. Nothing that is read for it waits for the process.
pub(crate) fn name(proc: &Procfs, pid: u32) -> String {
    proc.comm(&pid.to_string()).map_or_else(|| format!("pid {pid}"), |comm| format!("pid {pid} ({comm})"))
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
    if uses.holds.is_empty() && !uses.some_vfio {
        return Ok(None);
    }
    Ok(Some(Answer::Holder(process.identity(pid, &mut buffer), uses)))
}

/// The namespaces of all processes: one process of each.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// The mounts of pcictl's own mount namespace.
    pub(crate) own_mounts: Option<String>,
    /// Every network namespace but pcictl's own.
    pub(crate) networks: Vec<Namespace>,
    /// Mount namespaces that no process is in, and that are kept by a mount.
    pub(crate) unattended: Vec<Namespace>,
    /// Processes whose namespaces may not be asked for.
    pub(crate) denied: Vec<Denied>,
    /// The process whose mounts were being read when the time was up.
    pub(crate) late: Option<u32>,
}

impl Namespaces {
    /// Asks every process for its namespaces, and tells `survey` the mounts of each. Nothing that is read here waits for
    /// a process.
    ///
    /// # Errors
    /// The mounts of pcictl's own namespace cannot be read.
    pub(crate) fn read(
        proc: &Procfs,
        pids: &[u32],
        survey: &mut MountSurvey<'_>,
        deadline: Instant,
    ) -> io::Result<Self> {
        let mut found = Self::default();
        // A dump has no process of pcictl's own; its first one stands for the machine.
        let own = if proc.is_dump() { pids.first().map_or("1".to_owned(), u32::to_string) } else { "self".to_owned() };
        let mut seen: HashSet<String> = HashSet::new();
        seen.extend(proc.link(&format!("{own}/ns/mnt"))?);
        seen.extend(proc.link(&format!("{own}/ns/net"))?);
        found.own_mounts = proc.text(&format!("{own}/mountinfo"))?;
        let own = found.own_mounts.as_deref().unwrap_or_default();
        own.lines().for_each(|line| survey.line(line));
        let (unattended, networks) = (bind_mounted(own, "mnt"), bind_mounted(own, "net"));
        for pid in pids {
            if Instant::now() >= deadline {
                found.late = Some(*pid);
                break;
            }
            if let Err(error) = found.add(proc, *pid, survey, &mut seen, deadline) {
                found.denied.push(Denied::new(*pid, &error));
            }
        }
        let mut is_new = |namespace: &Namespace| seen.insert(namespace.id.clone());
        found.networks.extend(networks.into_iter().filter(&mut is_new));
        found.unattended.extend(unattended.into_iter().filter(is_new));
        Ok(found)
    }

    fn add(
        &mut self,
        proc: &Procfs,
        pid: u32,
        survey: &mut MountSurvey<'_>,
        seen: &mut HashSet<String>,
        deadline: Instant,
    ) -> io::Result<()> {
        if let Some(id) = proc.link(&format!("{pid}/ns/mnt"))?.filter(|id| !seen.contains(id)) {
            survey.enter(Some(name(proc, pid)));
            let (mut lines, mut is_late) = (0_usize, false);
            let mut take = |line: &str| {
                lines += 1;
                is_late |= lines % 256 == 0 && Instant::now() >= deadline;
                if is_late {
                    return Next::Stop;
                }
                survey.line(line);
                Next::Go
            };
            // Remembered only once it was read: this process may end meanwhile, and the next one must do.
            if proc.lines(&format!("{pid}/mountinfo"), &mut take)? {
                seen.insert(id);
            }
            if is_late {
                self.late = Some(pid);
            }
        }
        if let Some(id) = proc.link(&format!("{pid}/ns/net"))?.filter(|id| seen.insert(id.clone())) {
            self.networks.push(Namespace { id, file: format!("/proc/{pid}/ns/net"), of: name(proc, pid) });
        }
        Ok(())
    }
}
