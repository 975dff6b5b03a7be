//! Who uses what below these functions: the one place that knows.
//!
//! The answer is put together from links and files that the kernel answers from memory. Nothing here asks hardware,
//! waits for a driver, follows a descriptor to a file system that may be gone, or opens a device; but before a change the
//! kernel is asked for the disks themselves, by a child that may be left behind. What it cannot look
//! into it says (`unchecked`), so that whoever decides can refuse, and it takes [`TIME`] at most, whatever others have
//! open, mapped and mounted. It does NOT promise that nobody comes after it has
//! looked: it is called before the locks ([`find_first`]) and again right before anything is stopped ([`find_again`]), and
//! what slips in after that is the kernel's to sort out. pcictl-users(7) says what is seen and what is not.

use std::time::{Duration, Instant};

use crate::error::{Result, plain};
use crate::host::child::{CHANGE_PATIENCE, Limits, PATIENCE};
use crate::host::machine::Machine;
use crate::host::procfs::{ProcessRef, Procfs};
use crate::host::sysfs::Sysfs;
use crate::order;
use crate::pci::address::PciAddress;
use crate::usage::block::file_systems::FileSystems;
use crate::usage::block::mounts::{self, MountSurvey};
use crate::usage::block::stack::Storage;
use crate::usage::block::{claims, fabric, holders, zfs};
use crate::usage::hives::HiveMember;
use crate::usage::kernel_clients::KernelClients;
use crate::usage::model::{Danger, UsageReport, User, describe_users};
use crate::usage::network::carried::Session;
use crate::usage::network::packets::Listener;
use crate::usage::network::{interfaces, own};
use crate::usage::process::descriptors::{FileUse, FileUses, HoldMode};
use crate::usage::process::namespaces::{Namespaces, name};
use crate::usage::process::scan::{self, Asked, Findings, Round, Seen};
use crate::usage::scope::{Inventory, Scope};
use crate::usage::shares::Shares;
use crate::usage::vfio::{Given, Mediated};
use crate::usage::virtio::VirtioDevice;
use crate::usage::{console, hives, namespaces, nvidia, protected, unlisted, vfio, virtio};

/// Finds every user of the functions, from what can be read.
///
/// # Errors
/// The list of protected devices is broken. All else that goes wrong is told in `unchecked`.
pub fn find(machine: &Machine, scope: &Scope) -> Result<UsageReport> {
    with_hives(machine, scope, Round::Only, Purpose::Look)
}

/// Finds every user of the functions, and asks the kernel for their disks as well, which opens them: for a look that
/// decides whether something is changed.
///
/// # Errors
/// As [`find`].
pub(crate) fn find_for_change(machine: &Machine, scope: &Scope) -> Result<UsageReport> {
    with_hives(machine, scope, Round::Only, Purpose::Change)
}

/// The first of two such looks, with what it saw for the second.
///
/// # Errors
/// As [`find`].
pub fn find_first(machine: &Machine, scope: &Scope) -> Result<(UsageReport, Seen)> {
    let mut seen = Seen::default();
    let users = with_hives(machine, scope, Round::First(&mut seen), Purpose::Change)?;
    Ok((users, seen))
}

/// The second look: processes that have not run since the first are not gone through again, and all else is.
///
/// # Errors
/// As [`find`].
pub fn find_again(machine: &Machine, scope: &Scope, seen: &Seen) -> Result<UsageReport> {
    with_hives(machine, scope, Round::Second(seen), Purpose::Change)
}

/// What a look is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To tell somebody, soon.
    Look,
    /// To decide whether something is changed: the disks are asked, and who has a lock of the kernel for some seconds is waited for.
    Change,
}

fn with_hives(machine: &Machine, scope: &Scope, round: Round<'_>, purpose: Purpose) -> Result<UsageReport> {
    let mut users = search(machine, scope, round, purpose)?;
    for (HiveMember { address, of, .. }, UsageReport { found, .. }) in hive_users(machine, scope)? {
        let jobs = if found.is_empty() { String::new() } else { format!("; {}", describe_users(&found)) };
        users.notes.push(format!("{of}: {address} is of the same XGMI hive and may be disturbed{jobs}"));
    }
    Ok(users)
}

/// The members of the functions' hives that are not asked about themselves, each with its users, by one look at all.
///
/// # Errors
/// As [`find`].
pub(crate) fn hive_users(machine: &Machine, scope: &Scope) -> Result<Vec<(HiveMember, UsageReport)>> {
    let members = hives::others(&machine.sysfs, scope);
    if members.is_empty() {
        return Ok(Vec::new());
    }
    let all = search(machine, &hives::scope_of(&machine.sysfs, &members), Round::Only, Purpose::Look)?;
    let with_users = |member: HiveMember| {
        let found = all.of(|address| address == member.address);
        (member, UsageReport { found, ..all.clone() })
    };
    Ok(members.into_iter().map(with_users).collect())
}

fn search(machine: &Machine, scope: &Scope, round: Round<'_>, purpose: Purpose) -> Result<UsageReport> {
    let sysfs = &machine.sysfs;
    let protected = protected::users(sysfs, scope)?;
    let inventory = Inventory::read(sysfs, scope);
    let storage = Storage::read(sysfs, &inventory);
    let (given, virtio) = (Given::read(sysfs, scope), virtio::devices(sysfs, scope));
    let mut survey = Search { sysfs, scope, inventory, storage, given, virtio, purpose, users: UsageReport::default() };
    survey.users.found = protected;
    survey.block_holders(machine.procfs());
    survey.users.notes = nvidia::notes(scope);
    survey.functions(machine.procfs());
    match (machine.procfs(), machine.procfs_error()) {
        (Some(procfs), _) => {
            survey.users.is_complete = true;
            survey.look(procfs, round);
        }
        (None, Some(error)) => survey.users.unchecked.push(format!("/proc: {}", plain(error))),
        (None, None) if sysfs.is_dump() => {
            let note = "the dumped tree has no proc: mounts, addresses and open files cannot be told";
            survey.users.notes.push(note.to_owned());
            survey.consoles(None);
        }
        (None, None) => survey.users.unchecked.push("/proc is not mounted: mount -t proc proc /proc".to_owned()),
    }
    if purpose == Purpose::Change && !sysfs.is_dump() {
        survey.claims();
    }
    let mut users = survey.users;
    users.elsewhere = survey.storage.elsewhere(&users.found);
    let virtual_functions = vfio::virtual_functions(scope, &users.found);
    users.found.extend(virtual_functions);
    users.sort();
    Ok(users)
}

/// What is known so far.
struct Search<'a> {
    sysfs: &'a Sysfs,
    scope: &'a Scope,
    inventory: Inventory,
    storage: Storage,
    given: Given,
    virtio: Vec<VirtioDevice>,
    purpose: Purpose,
    users: UsageReport,
}

impl Search<'_> {
    /// What hangs at no disk, interface or node of the functions.
    fn functions(&mut self, proc: Option<&Procfs>) {
        let (sysfs, scope, inventory, virtio, given) =
            (self.sysfs, self.scope, &self.inventory, &self.virtio, &self.given);
        let clients = KernelClients::read(sysfs, proc, scope, Instant::now() + TIME);
        let mut told = clients.told;
        told.extend(given.told());
        let found = &mut self.users.found;
        found.extend(clients.users);
        found.extend(vfio::xen(sysfs, scope));
        found.extend(unlisted::users(sysfs, scope, inventory, virtio, &told));
        self.users.unchecked.extend(clients.unchecked);
    }

    fn look(&mut self, proc: &Procfs, round: Round<'_>) {
        if let Err(error) = self.try_look(proc, round) {
            self.users.unchecked.push(format!("/proc: {}", plain(&error)));
        }
    }

    fn try_look(&mut self, proc: &Procfs, round: Round<'_>) -> std::io::Result<()> {
        let deadline = Instant::now() + TIME;
        let mut pids = proc.pids()?;
        pids.retain(|pid| *pid == KTHREADD || !proc.is_kernel_thread(*pid));
        let mut namespaces = Namespaces::read(proc, &pids, deadline)?;
        let file_systems = self.mounts(proc, &mut namespaces, deadline);
        self.disks(proc, &namespaces)?;
        self.consoles(Some(proc));
        let listeners = self.networks(proc, &namespaces, deadline);
        let mut wanted = inventory_nodes::want_nodes(self);
        wanted.listeners.clone_from(&listeners);
        if let Err(why) = nvidia::want_nvidia(proc, self.scope, &mut wanted) {
            self.users.unchecked.push(why);
        }
        let asked = Asked { sysfs: self.sysfs, proc, wanted: &wanted };
        let findings = scan::run(&asked, pids, file_systems, &mut namespaces, round, deadline);
        self.processes(&findings);
        self.users.found.extend(unseen_listeners(&listeners, &findings));
        self.blind_spots(proc, findings, &namespaces);
        Ok(())
    }

    /// Mounts on the disks and of the shares, in every namespace; where there are none, those of pcictl's own do for a start.
    fn mounts(&mut self, proc: &Procfs, namespaces: &mut Namespaces, deadline: Instant) -> FileSystems {
        let shares = Shares::of(self.sysfs, self.scope, &self.inventory, &self.virtio);
        let matters = !self.storage.is_empty() || !shares.is_empty();
        let mut survey = MountSurvey::new(self.sysfs, proc, &self.inventory, &self.storage).with_shares(shares);
        namespaces.own_mounts.iter().flat_map(|table| table.lines()).for_each(|line| survey.line(line));
        if matters {
            let mut of = None;
            let mut take = |pid: u32, line: &str| {
                if of.replace(pid) != Some(pid) {
                    survey.enter(Some(name(proc, pid)));
                }
                survey.line(line);
            };
            namespaces.read_mounts(proc, deadline, &mut take);
        }
        if !proc.is_dump() && matters {
            self.users.unchecked.extend(namespaces::mounts(proc, &namespaces.unattended(), &mut survey, deadline));
        }
        let (users, unclear, file_systems) = survey.end();
        self.users.found.extend(users);
        self.users.unchecked.extend(unclear);
        file_systems
    }

    /// What is built on the disks, and what serves them or the functions' own ports to others.
    fn block_holders(&mut self, proc: Option<&Procfs>) {
        self.users.found.append(&mut self.storage.holders);
        self.users.unchecked.append(&mut self.storage.unchecked);
        let (users, unchecked) = holders::users(self.sysfs, proc, &self.inventory, &self.storage);
        self.users.found.extend(users);
        self.users.unchecked.extend(unchecked);
        self.users.found.extend(fabric::users(self.sysfs, self.scope));
    }

    /// What the kernel says when it is asked for the disks.
    fn claims(&mut self) {
        let (users, unchecked) = claims::users(&self.inventory, &self.storage, &self.users.found);
        self.users.found.extend(users);
        self.users.unchecked.extend(unchecked);
    }

    fn disks(&mut self, proc: &Procfs, namespaces: &Namespaces) -> std::io::Result<()> {
        if self.storage.is_empty() {
            return Ok(());
        }
        let own = namespaces.own_mounts.as_deref();
        self.users.found.extend(mounts::swap(proc, &self.inventory, &self.storage, own)?);
        match zfs::members(self.sysfs, proc, &self.storage) {
            Ok(users) => self.users.found.extend(users),
            Err(why) => self.users.unchecked.push(why),
        }
        Ok(())
    }

    fn consoles(&mut self, proc: Option<&Procfs>) {
        let users = console::consoles(self.sysfs, proc, self.scope, &self.inventory, &self.storage);
        self.users.found.extend(users);
        self.users.found.extend(console::hypervisor_consoles(self.sysfs, &self.virtio));
    }

    /// Every network namespace; a dump has the interfaces of one alone. Returns the packet sockets.
    fn networks(&mut self, proc: &Procfs, namespaces: &Namespaces, deadline: Instant) -> Vec<Listener> {
        let silence = if self.purpose == Purpose::Change { CHANGE_PATIENCE } else { PATIENCE };
        let limits = Limits { deadline, silence };
        let mut found = own::network_use(self.sysfs, proc, self.scope, &|| session(proc), limits);
        if !proc.is_dump() && interfaces::may_exist(self.sysfs, self.scope) {
            let others = namespaces::network_use(proc, self.scope, &namespaces.networks, limits);
            found.users.extend(others.users);
            found.listeners.extend(others.listeners);
            found.unchecked.extend(others.unchecked);
        }
        self.users.found.extend(found.users);
        self.users.unchecked.extend(found.unchecked);
        self.users.notes.extend(found.notes);
        found.listeners
    }

    fn processes(&mut self, findings: &Findings) {
        for (process, holds) in &findings.holders {
            for hold in &holds.holds {
                let mut user = held(process, hold);
                // Its checker has every path open.
                if user.by == PATH_CHECKER && self.storage.is_spare_path(&hold.what) && user.kind == Danger::Open {
                    user.kind = Danger::Redundant;
                }
                self.users.found.push(user);
            }
        }
        let is_told =
            |found: &[User], address| found.iter().any(|user| user.address == address && user.kind == Danger::Vfio);
        for (address, subject) in self.scope.iter().filter(|(address, _)| self.given.has(*address)) {
            if !is_told(&self.users.found, address) && vfio::is_enabled(self.sysfs, &subject.path) {
                self.users.found.push(some_vfio(address, &findings.holders));
            }
        }
        let has_vfio = findings.holders.iter().any(|(_, holds)| holds.some_vfio);
        for mediated in &self.given.mediated {
            let Mediated { address, name, .. } = mediated;
            if is_told(&self.users.found, *address) {
                continue;
            }
            if has_vfio {
                self.users.found.push(some_vfio(*address, &findings.holders));
            } else {
                self.users.notes.push(format!("{address}: the mediated device {name} would be gone with it"));
            }
        }
    }

    /// What could not be seen.
    fn blind_spots(&mut self, proc: &Procfs, findings: Findings, namespaces: &Namespaces) {
        let mut denied = findings.denied;
        denied.extend(namespaces.denied.iter().cloned());
        order::sort(&mut denied);
        denied.dedup_by_key(|denied| denied.pid);
        for same in denied.chunk_by(|a, b| a.why == b.why) {
            let [first, rest @ ..] = same else { continue };
            let others = if rest.is_empty() { String::new() } else { format!(" and {} more processes", rest.len()) };
            let why = match first.for_rights {
                true if proc.is_dump() => first.why.clone(),
                true if !nix::unistd::geteuid().is_root() => "permission denied; run it as root".to_owned(),
                true => "permission denied although root; a container or an LSM is in the way".to_owned(),
                false => first.why.clone(),
            };
            self.users.unchecked.push(format!("cannot inspect {}{others}: {why}", name(proc, first.pid)));
        }
        self.users.unchecked.extend(findings.unchecked);
        if let Some(pid) = namespaces.late {
            let name = name(proc, pid);
            self.users.unchecked.push(format!("the time for reading mounts was up at the mount namespace of {name}"));
        }
        if !proc.is_dump() && proc.is_in_first_pid_namespace() == Some(false) {
            let why = "pcictl runs in a container and sees only its processes; run it on the host";
            self.users.unchecked.push(why.to_owned());
        }
    }
}

/// How long looking at mounts, namespaces and processes may take in all. How many of them there are, and how long their
/// tables, is up to whoever runs them; a machine with thousands needs a tenth of it.
const TIME: Duration = Duration::from_secs(10);

/// The daemon that looks whether the paths of dm-multipath work.
const PATH_CHECKER: &str = "multipathd";

/// The first thread of the kernel, and all others' parent: it stays, as the one that shows the namespaces they are in.
const KTHREADD: u32 = 2;

/// The operator's session by ssh: from the environment, or, where sudo has swept that, from the processes above.
fn session(proc: &Procfs) -> Option<Session> {
    const NAME: &str = "SSH_CONNECTION";
    if let Some(session) = std::env::var(NAME).ok().as_deref().and_then(Session::parse) {
        return Some(session);
    }
    if proc.is_dump() {
        return None;
    }
    let mut pid = std::os::unix::process::parent_id();
    // A process tree has no cycles, but it changes while one looks.
    for _ in 0..64 {
        if pid <= 1 {
            break;
        }
        let environ = proc.text(&format!("{pid}/environ")).ok().flatten().unwrap_or_default();
        let value = environ.split('\0').find_map(|word| word.strip_prefix(NAME)?.strip_prefix('='));
        if let Some(session) = value.and_then(Session::parse) {
            return Some(session);
        }
        let status = proc.text(&format!("{pid}/status")).ok().flatten()?;
        pid = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    }
    None
}

/// The packet sockets whose process was not seen, each as a user: the interface is in use all the same.
fn unseen_listeners(listeners: &[Listener], findings: &Findings) -> Vec<User> {
    let is_seen = |listener: &Listener| {
        let mut holds = findings.holders.iter().flat_map(|(_, uses)| &uses.holds);
        holds.any(|hold| {
            hold.how == HoldMode::Listening && hold.address == listener.address && hold.what == listener.interface
        })
    };
    let user = |Listener { address, interface, of, .. }: &Listener| {
        let description = format!("a packet socket listens on {interface}{of}; the process that has it cannot be seen");
        User::new(Danger::Network, *address, interface, "packet socket", description)
    };
    listeners.iter().filter(|listener| !is_seen(listener)).map(user).collect()
}

fn held(process: &ProcessRef, hold: &FileUse) -> User {
    let how = match hold.how {
        HoldMode::Open | HoldMode::Listening => "open",
        HoldMode::Locked => "open and locked",
        HoldMode::Mapped => "mapped",
    };
    // A register file's name says nothing without its function.
    let what =
        if hold.what.starts_with('/') { hold.what.clone() } else { format!("{} of {}", hold.what, hold.address) };
    let description = match hold.how {
        HoldMode::Listening => {
            format!("{} listens on {} with a packet socket{}", process.name(), hold.what, hold.origin)
        }
        _ => format!("{} has {what} {how}{}", process.name(), hold.origin),
    };
    let by = process.command.split(' ').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let mut user = User::new(hold.danger, hold.address, hold.what.clone(), by, description);
    user.process = Some(process.clone());
    user
}

/// vfio-pci has the function open, and nothing tells by whom.
fn some_vfio(address: PciAddress, holders: &[(ProcessRef, FileUses)]) -> User {
    let candidates: Vec<&ProcessRef> =
        holders.iter().filter(|(_, holds)| holds.some_vfio).map(|(process, _)| process).collect();
    let who = match candidates.as_slice() {
        [] => "a process that cannot be seen".to_owned(),
        [only] => only.name(),
        [first, rest @ ..] => format!("{} or one of {} others", first.name(), rest.len()),
    };
    let mut user = User::new(Danger::Vfio, address, "vfio", "vfio", format!("{who} has {address} open through VFIO"));
    user.process = candidates.first().filter(|_| candidates.len() == 1).map(|process| (*process).clone());
    user
}

/// The nodes to look for in processes.
mod inventory_nodes {
    use super::*;
    use crate::usage::model::Danger;
    use crate::usage::process::descriptors::{Node, Wanted};

    pub(crate) fn want_nodes(survey: &Search) -> Wanted {
        let mut wanted = Wanted::new(survey.scope);
        for (address, device) in &survey.inventory.characters {
            let is_given = device.path.contains("/vfio-dev/") || device.name.starts_with("vhost-vdpa-");
            let danger = if is_given { Danger::Vfio } else { Danger::Open };
            let node =
                Node { address: *address, path: format!("/dev/{}", device.node()), origin: String::new(), danger };
            wanted.add(false, Some(device.number), node);
        }
        for (index, reached) in survey.storage.iter() {
            let device = &survey.inventory.blocks[index];
            let path = format!("/dev/{}", device.node());
            let node =
                Node { address: reached.address, path, origin: reached.end(), danger: reached.danger(Danger::Open) };
            wanted.add(true, Some(device.number), node);
        }
        survey.given.want_groups(survey.sysfs, survey.scope, &mut wanted);
        console::want_hypervisor_consoles(survey.sysfs, &survey.virtio, &mut wanted);
        wanted
    }
}
