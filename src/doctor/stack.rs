//! Reads from the kernel functions on a task's stack what it does, what it holds and what it waits for.
//!
//! Taken from the sources of 6.1 to 6.18. The stack leaves out the scheduler and the mutex code, so the innermost frame
//! is the function that took a mutex: if that is one which takes the PCI core's, the task waits for it, and if such a
//! function stands further out, the task has it.

use std::fmt;

use serde::Serialize;

use crate::doctor::task::{Frame, Task};
use crate::pci::address::PciAddress;

/// The kinds of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Work {
    /// Removing a device.
    Remove,
    /// Scanning a bus.
    Rescan,
    /// Unbinding a driver.
    Unbind,
    /// Binding a driver.
    Probe,
    /// Changing the number of VFs.
    Vfs,
    /// Hotplug: a slot that was switched, or a card that came or went.
    Hotplug,
    /// Resetting a device.
    Reset,
    /// Anything else with a PCI device.
    Other,
}

/// What a task waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum Waits {
    /// The PCI core's one mutex, pci_rescan_remove_lock.
    Mutex,
    /// A device's own lock.
    DeviceLock,
    /// Until nobody is inside a sysfs file of the device that is being removed.
    Files,
    /// A driver that is stopping or starting a device.
    Driver {
        /// The driver's module, or the function it is in.
        name: String,
        /// Stopping, or starting.
        stopping: bool,
    },
    /// Until user space closes a device that vfio has given out.
    Vfio,
    /// Until the users of an nvidia device are gone, which may never happen.
    Nvidia,
    /// Until a thread that serves an interrupt has ended.
    IrqThread,
    /// ACPI's lock of what it knows of slots, acpi_hp_context_lock.
    AcpiSlots,
    /// Anything else.
    Other {
        /// The function it is in.
        function: String,
    },
}

/// The position of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Position {
    /// What it is doing.
    pub(crate) work: Work,
    /// What it waits for.
    pub(crate) waits: Waits,
    /// Whether it has the PCI core's mutex.
    pub(crate) has_mutex: bool,
    /// Whether it has some device's lock.
    pub(crate) has_device_lock: bool,
    /// Whether it is inside a sysfs file, so that whoever removes that file must wait for it.
    pub(crate) in_file: bool,
}

/// Functions that take the PCI core's mutex themselves and do their work inside it.
const TAKE_MUTEX: &[&str] = &[
    "dev_rescan_store",
    "rescan_store",
    "bus_rescan_store",
    "pci_stop_and_remove_bus_device_locked",
    "pciehp_configure_device",
    "pciehp_unconfigure_device",
    "shpchp_configure_device",
    "shpchp_unconfigure_device",
    "acpi_pci_root_add",
    "acpi_pci_root_remove",
    "hotplug_event",
];

/// More that may wait for it; on some kernels these do their work outside it.
const MAY_WAIT_FOR_MUTEX: &[&str] = &[
    "pci_lock_rescan_remove",
    "sriov_add_vfs",
    "sriov_del_vfs",
    "sriov_enable",
    "sriov_disable",
    "acpiphp_disable_slot",
    "acpiphp_enable_slot",
];

/// Functions that take a device's lock themselves.
const TAKE_DEVICE_LOCK: &[&str] = &[
    "device_release_driver_internal",
    "__device_driver_lock",
    "device_driver_attach",
    "__device_attach",
    "__driver_attach",
    "__driver_attach_async_helper",
    "__device_attach_async_helper",
    "sriov_numvfs_store",
    "sriov_numvfs_show",
    "sriov_vf_total_msix_show",
    "driver_override_store",
    "driver_override_show",
    "waiting_for_supplier_show",
    "uevent_show",
    "reset_store",
    "pci_reset_function",
    "pci_dev_lock",
    "pci_bus_lock",
];

const WAIT_FOR_IRQ_THREAD: &[&str] =
    &["__synchronize_irq", "synchronize_irq", "free_irq", "__free_irq", "kthread_stop"];

/// Takes ACPI's lock of what it knows of slots, and has it while it frees the next bridge above in the same way
/// (drivers/pci/hotplug/acpiphp_glue.c).
pub(crate) const FREES_ACPI_BRIDGE: &str = "free_bridge";

const DRAIN: &[&str] = &["kernfs_drain", "__kernfs_remove"];

/// Whether a function belongs to mutex or scheduler code, which shows with lock debugging.
fn is_plumbing(function: &str) -> bool {
    ["__mutex_lock", "mutex_lock", "schedule", "__schedule", "rt_mutex", "__rt_mutex", "rwsem_", "down_", "__down"]
        .iter()
        .any(|prefix| function.starts_with(prefix))
}

/// Whether a task in interruptible sleep is of interest: it waits in this function for the users of a device.
pub(crate) fn waits_for_users(function: &str) -> bool {
    function.starts_with("vfio_") || function.starts_with("nv_")
}

/// Whether a name in /proc/devices is that of a driver which waits so: drivers/vfio and the nvidia driver.
pub(crate) fn is_device_of_waiting_driver(name: &str) -> bool {
    name.starts_with("vfio") || name.starts_with("nvidia")
}

/// Whether the task is in PCI code at all, as far as its stack or its open files tell.
pub(crate) fn is_of_interest(task: &Task) -> bool {
    let pci = |name: &str| {
        ["pci", "pcie", "__pci", "sriov", "vfio_", "nv_pci", "local_pci", "shpc", "acpiphp", "acpi_pci"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
            || TAKE_MUTEX.contains(&name)
    };
    if task.stack.iter().any(|frame| pci(&frame.function)) || task.wchan.as_deref().is_some_and(pci) {
        return true;
    }
    let in_driver_core =
        |frame: &Frame| TAKE_DEVICE_LOCK.contains(&frame.function.as_str()) || frame.function.starts_with("kernfs_fop");
    task.files.iter().any(|file| is_pci_file(file)) && (task.stack.is_empty() || task.stack.iter().any(in_driver_core))
}

/// Whether a file of sysfs belongs to a PCI device, bus, slot or driver.
fn is_pci_file(file: &str) -> bool {
    file.starts_with("bus/pci/") || file.split('/').any(|step| PciAddress::from_sysfs_name(step).is_some())
}

impl Position {
    /// The position of a task, which means something only while it waits.
    pub(crate) fn of(task: &Task) -> Self {
        let names: Vec<&str> = task.stack.iter().map(|frame| frame.function.as_str()).collect();
        let names: Vec<&str> = match names.iter().position(|name| !is_plumbing(name)) {
            Some(first) => names[first..].to_vec(),
            None => task.wchan.as_deref().into_iter().collect(),
        };
        let (innermost, outer) = names.split_first().map_or(("", &[][..]), |(first, rest)| (*first, rest));
        let outer_has = |list: &[&str]| outer.iter().any(|name| list.contains(name));
        let in_file = names.iter().any(|name| name.starts_with("kernfs_fop_") || name.starts_with("sysfs_kf_"))
            // A writer of `remove` has taken itself out of that file before it goes on.
            && !names.contains(&"remove_store");
        Self {
            work: work(&names),
            waits: waits(task, &names, innermost),
            has_mutex: outer_has(TAKE_MUTEX),
            has_device_lock: outer_has(TAKE_DEVICE_LOCK),
            in_file,
        }
    }
}

fn work(names: &[&str]) -> Work {
    let has = |list: &[&str]| names.iter().any(|name| list.contains(name));
    let begins = |prefix: &str| names.iter().any(|name| name.starts_with(prefix));
    if has(&["sriov_numvfs_store", "sriov_numvfs_show"]) {
        Work::Vfs
    } else if begins("pciehp_") || begins("shpchp_") || begins("acpiphp_") || has(&["power_write_file"]) {
        // A hotplug port that is being removed also has functions of its driver on the stack.
        if has(&["remove_store"]) { Work::Remove } else { Work::Hotplug }
    } else if has(&["remove_store"]) {
        Work::Remove
    } else if has(&["dev_rescan_store", "rescan_store", "bus_rescan_store"]) {
        Work::Rescan
    } else if has(&["unbind_store"]) {
        Work::Unbind
    } else if has(&["reset_store", "pci_reset_function"]) {
        Work::Reset
    } else if begins("pci_stop_and_remove_bus_device") {
        Work::Remove
    } else if has(&["bind_store", "drivers_probe_store", "local_pci_probe", "pci_device_probe"]) {
        Work::Probe
    } else if has(&["pci_device_remove"]) {
        Work::Unbind
    } else {
        Work::Other
    }
}

/// The innermost function of a driver on this part of a stack. Those of the driver core, and what sleeps, are in the
/// kernel itself; a driver that is built in is known by what its functions are called.
fn innermost_of_driver(stack: &[Frame]) -> Option<&Frame> {
    let is_core = |name: &str| ["device_remove", "bus_remove_device"].contains(&name) || name.starts_with("device_");
    let is_remove = |name: &str| name.ends_with("_remove") && !is_core(name);
    let of_driver = |frame: &&Frame| frame.module.is_some() || is_remove(&frame.function);
    stack.iter().find(of_driver)
}

/// After so many seconds a driver that stops is not taken for a slow one any more.
const LONG: u64 = 120;

/// The same for one that sleeps and looks again, which may wait for its users.
const LONG_ASLEEP: u64 = 30;

/// The function of a driver that has been stopping a device for so long that nobody can tell whether it ever ends, as
/// far as the age of the process tells; what a thread of the kernel does may have begun just now.
pub(crate) fn long_stopping(task: &Task) -> Option<&Frame> {
    let at = task.stack.iter().position(|frame| frame.function == "pci_device_remove")?;
    let is_asleep = task.stack.first().is_some_and(|frame| frame.function.starts_with("msleep"));
    let long = if is_asleep { LONG_ASLEEP } else { LONG };
    let is_long = task.seconds.is_some_and(|seconds| seconds >= long) && !task.is_kernel_thread();
    is_long.then(|| innermost_of_driver(&task.stack[..at]).or_else(|| task.stack.get(at.checked_sub(1)?)))?
}

fn waits(task: &Task, names: &[&str], innermost: &str) -> Waits {
    let has = |name: &str| names.contains(&name);
    if TAKE_MUTEX.contains(&innermost) || MAY_WAIT_FOR_MUTEX.contains(&innermost) {
        return Waits::Mutex;
    }
    if TAKE_DEVICE_LOCK.contains(&innermost) {
        return Waits::DeviceLock;
    }
    if DRAIN.contains(&innermost) {
        return Waits::Files;
    }
    if has("vfio_unregister_group_dev") {
        return Waits::Vfio;
    }
    if names.iter().any(|name| name.starts_with("nv_pci_remove")) {
        return Waits::Nvidia;
    }
    if innermost == FREES_ACPI_BRIDGE {
        return Waits::AcpiSlots;
    }
    if WAIT_FOR_IRQ_THREAD.contains(&innermost) {
        return Waits::IrqThread;
    }
    for (entry, stopping) in [("pci_device_remove", true), ("local_pci_probe", false), ("pci_device_probe", false)] {
        let Some(at) = task.stack.iter().position(|frame| frame.function == entry) else { continue };
        // The frame that it called is the driver's own function.
        let Some(called) = at.checked_sub(1).map(|at| &task.stack[at]) else { continue };
        // A driver of a bus below it may be what waits: 9pnet_virtio, not virtio_pci.
        let innermost = innermost_of_driver(&task.stack[..at]).unwrap_or(called);
        let name = match &innermost.module {
            Some(module) if innermost.module == called.module => module.clone(),
            Some(module) => format!("{module} (in {})", innermost.function),
            None => format!("in {}", innermost.function),
        };
        return Waits::Driver { name, stopping };
    }
    Waits::Other { function: innermost.to_owned() }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Remove => "removing",
            Self::Rescan => "rescanning",
            Self::Unbind => "unbinding",
            Self::Probe => "binding",
            Self::Vfs => "changing the VFs of",
            Self::Hotplug => "switching a slot of",
            Self::Reset => "resetting",
            Self::Other => "at work on",
        })
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mutex => f.write_str("the PCI core's mutex"),
            Self::DeviceLock => f.write_str("the lock of a device"),
            Self::Files => f.write_str("others to leave the sysfs files of the device"),
            Self::Driver { name, stopping: true } => write!(f, "driver {name} to stop the device"),
            Self::Driver { name, stopping: false } => write!(f, "driver {name} to start the device"),
            Self::Vfio => f.write_str("user space to close the vfio device"),
            Self::Nvidia => f.write_str("user space to let go of the nvidia device"),
            Self::IrqThread => f.write_str("the thread of an interrupt to end"),
            Self::AcpiSlots => f.write_str("ACPI's lock of slots"),
            Self::Other { function } if function.is_empty() => f.write_str("something that cannot be seen"),
            Self::Other { function } => write!(f, "something in {function}"),
        }
    }
}
