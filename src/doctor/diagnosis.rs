//! Tells stuck tasks from slow ones and says what helps, from a snapshot of tasks alone.
//!
//! A deadlock is reported only if its members stood still together (see [`crate::doctor::snapshot`]) and their files
//! tie them to the same device: healthy operations under load stand in the same functions, but never like that. Tasks
//! whose deadlock is not proven are listed as busy, with what they wait for.

use serde::Serialize;

use crate::doctor::stack::{FREES_ACPI_BRIDGE, Position, Waits, Work};
use crate::doctor::task::{Frame, Snapshot, Task, VfioUser};
use crate::doctor::writes::{self, is_writer};
use crate::pci::address::PciAddress;

/// One task and its position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Finding {
    /// The task.
    #[serde(flatten)]
    pub(crate) task: Task,
    /// Its position.
    #[serde(flatten)]
    pub(crate) position: Position,
    /// The device it works on, if its files or its arguments show it.
    pub(crate) device: Option<PciAddress>,
    /// Whether it writes to the kernel without pcictl's locks.
    pub(crate) raw: bool,
}

/// The kinds of deadlock and endless wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Trouble {
    /// A removal waits for a write below it to end, and that write waits for the removal.
    RemoveAgainstFile,
    /// A removal waits for a hotplug interrupt thread, which waits for the removal.
    RemoveAgainstHotplug,
    /// A removal waits for a device's lock, whose holder changes VFs and waits for the removal.
    RemoveAgainstVfs,
    /// A task waits for a mutex it holds.
    AgainstItself,
    /// vfio waits until user space closes the device.
    Vfio,
    /// The nvidia driver waits until its users are gone.
    Nvidia,
}

/// Something that is stuck.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Stuck {
    /// The kind.
    pub(crate) trouble: Trouble,
    /// The threads involved.
    pub(crate) members: Vec<u32>,
    /// The evidence, a line each.
    pub(crate) evidence: Vec<String>,
    /// The way out.
    pub(crate) helps: String,
    /// Whether it holds the PCI core's mutex, so that every PCI removal, rescan and hotplug event waits.
    pub(crate) blocks_all: bool,
}

/// The diagnosis of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Diagnosis {
    /// What is stuck.
    pub(crate) stuck: Vec<Stuck>,
    /// Every task in PCI code.
    pub(crate) tasks: Vec<Finding>,
}

const REBOOT: &str = "nothing but a reboot ends this. An ordinary reboot may hang as well: save what you can, sync, and if it \
    hangs: echo 1 > /proc/sys/kernel/sysrq; echo b > /proc/sysrq-trigger";

impl Diagnosis {
    /// Diagnoses a snapshot.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let tasks: Vec<Finding> = snapshot.tasks.iter().map(Finding::of).collect();
        let mut stuck = Vec::new();
        for finding in tasks.iter().filter(|finding| finding.task.still) {
            stuck.extend(against_itself(finding));
            stuck.extend(against_files(finding, &tasks));
            stuck.extend(against_hotplug(finding, &tasks));
            stuck.extend(against_vfs(finding, &tasks));
            stuck.extend(users(finding, &snapshot.vfio_users));
        }
        Self { stuck, tasks }
    }

    /// The deadlock that blocks the whole PCI core, if there is one.
    pub(crate) fn blocking(&self) -> Option<&Stuck> {
        self.stuck.iter().find(|stuck| stuck.blocks_all)
    }

    /// The number of tasks that wait behind a stuck one.
    pub(crate) fn behind(&self) -> usize {
        if self.blocking().is_none() {
            return 0;
        }
        let member = |tid: u32| self.stuck.iter().any(|stuck| stuck.members.contains(&tid));
        self.tasks.iter().filter(|f| f.position.waits == Waits::Mutex && !member(f.task.tid)).count()
    }
}

impl Finding {
    fn of(task: &Task) -> Self {
        let position = Position::of(task);
        let by_hand = !matches!(position.work, Work::Hotplug | Work::Other) && !task.is_kernel_thread();
        let raw = by_hand && !task.under_pcictl && task.files.iter().any(|file| is_written(file));
        Self { device: device(task), raw, position, task: task.clone() }
    }

    /// "pid 212 (sh), removing 0000:03:00.0, waits for ...", for messages.
    pub(crate) fn in_words(&self) -> String {
        let device = self.device.map_or_else(|| "a PCI device".to_owned(), |device| device.to_string());
        let has = match (self.position.has_mutex, self.position.has_device_lock) {
            (true, _) => ", has the PCI core's mutex",
            (false, true) => ", has a device's lock",
            (false, false) => "",
        };
        let Self { task, position, .. } = self;
        format!("{}, {} {device}{has}, waits for {}", task.in_words(), position.work, position.waits)
    }

    /// The directory of the device it removes, if it writes to that device's own file.
    fn removes(&self) -> Option<&str> {
        self.task.files.iter().find_map(|file| file.strip_suffix("/remove"))
    }

    fn is_inside(&self, directory: &str) -> Option<&str> {
        let below = |file: &&String| file.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
        self.task.files.iter().find(below).map(String::as_str)
    }

    fn calls(&self, function: &str) -> bool {
        self.task.stack.iter().any(|frame| frame.function == function)
    }
}

/// Whether a file of sysfs changes a device when written.
fn is_written(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or_default();
    matches!(name, "remove" | "rescan" | "unbind" | "bind" | "drivers_probe" | "sriov_numvfs" | "reset" | "power")
}

fn device(task: &Task) -> Option<PciAddress> {
    let last = |text: &str| text.split(['/', ' ']).filter_map(PciAddress::from_sysfs_name).next_back();
    // The driver's `unbind` does not name the device; pcictl's own writer does, in its command line.
    let is_one = is_writer(&task.command) && writes::of_command(&task.command).is_empty();
    let own = is_one.then(|| last(&task.command)).flatten();
    own.or_else(|| task.files.iter().filter(|file| is_written(file)).find_map(|file| last(file)))
}

/// Of ACPI's lock: whoever told of a card while the two bridges above it were removed is the last to let go of both, and the next
/// one who removes a bridge or adds one waits for that lock with the PCI core's mutex.
fn against_itself(finding: &Finding) -> Option<Stuck> {
    let frees = |frame: &&Frame| frame.function == FREES_ACPI_BRIDGE;
    let why = match finding.position.waits {
        Waits::Mutex if finding.position.has_mutex => "it waits for the mutex that it has itself",
        Waits::AcpiSlots if finding.task.stack.iter().filter(frees).count() > 1 => {
            "it waits for the lock that it has itself: a card came or went while the bridges above it were removed"
        }
        _ => return None,
    };
    Some(Stuck {
        trouble: Trouble::AgainstItself,
        members: vec![finding.task.tid],
        evidence: vec![finding.in_words(), why.to_owned()],
        helps: REBOOT.to_owned(),
        blocks_all: true,
    })
}

fn cycle(trouble: Trouble, one: &Finding, other: &Finding, tie: String) -> Stuck {
    Stuck {
        trouble,
        members: vec![one.task.tid, other.task.tid],
        evidence: vec![one.in_words(), other.in_words(), tie],
        helps: REBOOT.to_owned(),
        blocks_all: true,
    }
}

/// D1: a remover has the mutex and drains the files below a device; in one of these sits a writer who wants the mutex.
fn against_files(remover: &Finding, all: &[Finding]) -> Option<Stuck> {
    if !remover.position.has_mutex || remover.position.waits != Waits::Files {
        return None;
    }
    let directory = remover.removes()?;
    let mut inside =
        all.iter().filter(|other| other.task.still && other.position.in_file && other.position.waits == Waits::Mutex);
    let (writer, file) = inside.find_map(|other| Some((other, other.is_inside(directory)?)))?;
    let tie = format!("the removal of /sys/{directory} waits until /sys/{file}, which lies below it, is left");
    Some(cycle(Trouble::RemoveAgainstFile, remover, writer, tie))
}

/// D3: a remover has the mutex and waits for a port's interrupt thread, which wants the mutex to unplug a card.
fn against_hotplug(remover: &Finding, all: &[Finding]) -> Option<Stuck> {
    let waits = remover.position.has_mutex
        && remover.position.waits == Waits::IrqThread
        && (remover.calls("pciehp_remove")
            || remover.calls("pcie_port_device_remove")
            || remover.calls("pciehp_release_ctrl"));
    let thread = |other: &&Finding| {
        other.task.still
            && other.position.waits == Waits::Mutex
            && other.position.work == Work::Hotplug
            && other.task.comm.starts_with("irq/")
    };
    let other = all.iter().filter(|_| waits).find(thread)?;
    let tie = format!("the removal waits until {} ends, and that waits for the removal", other.task.comm);
    Some(cycle(Trouble::RemoveAgainstHotplug, remover, other, tie))
}

/// D4: a remover has the mutex and wants a device's lock; who changes that device's VFs has the lock and wants the
/// mutex.
fn against_vfs(remover: &Finding, all: &[Finding]) -> Option<Stuck> {
    if !remover.position.has_mutex || remover.position.waits != Waits::DeviceLock {
        return None;
    }
    let directory = remover.removes()?;
    let mut changing = all
        .iter()
        .filter(|other| other.task.still && other.position.work == Work::Vfs && other.position.waits == Waits::Mutex);
    let (other, file) = changing.find_map(|other| Some((other, other.is_inside(directory)?)))?;
    let tie =
        format!("the writer of /sys/{file} has the lock of that device, and the removal of it waits for that lock");
    Some(cycle(Trouble::RemoveAgainstVfs, remover, other, tie))
}

/// A driver that waits for its users to close the device.
fn users(finding: &Finding, vfio_users: &[VfioUser]) -> Option<Stuck> {
    let (trouble, helps, evidence) = match finding.position.waits {
        Waits::Vfio => {
            let users: Vec<String> = vfio_users
                .iter()
                .filter(|user| user.process.pid != finding.task.pid)
                .map(|user| format!("{} has {} open", user.process.name(), user.nodes.join(", ")))
                .collect();
            let helps = match users.len() {
                0 => "end the process that has the vfio device open; it cannot be seen from here",
                1 => "end that process, or let it close the device; then this goes on by itself",
                _ => {
                    "end the one of these processes that has the device, or let it close it; then this goes on by itself"
                }
            };
            (Trouble::Vfio, helps, users)
        }
        Waits::Nvidia => {
            let helps = "end what uses the device (nvidia-smi, lsof /dev/nvidia*, the persistence daemon); with some \
                versions of the driver only a reboot helps";
            (Trouble::Nvidia, helps, Vec::new())
        }
        _ => return None,
    };
    Some(Stuck {
        trouble,
        members: vec![finding.task.tid],
        evidence: [vec![finding.in_words()], evidence].concat(),
        helps: helps.to_owned(),
        blocks_all: finding.position.has_mutex,
    })
}

#[cfg(test)]
mod tests;
