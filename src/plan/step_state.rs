//! The state of a step: whether the tree shows it done, and what the kernel's answer to it means.

use nix::errno::Errno;

use crate::host::sysfs::Sysfs;
use crate::host::text::is_number;
use crate::pci::address::PciAddress;
use crate::plan::action::{Action, Step};
use crate::topology::paths::BUSES;

/// How a step went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The kernel did it.
    Done,
    /// There was nothing left to do.
    Already,
}

/// Stands for the answer that all went well where no driver has the device afterwards, or another one.
pub(crate) const NOBODY_BOUND: Errno = Errno::EUNATCH;

/// Stands for a setting that was so already, for which nothing was sent.
pub(crate) const ALREADY_SO: Errno = Errno::EALREADY;

/// Stands for the answer that all went well where the kernel tells another value afterwards.
pub(crate) const NOT_KEPT: Errno = Errno::EREMCHG;

/// Stands for a physical function of whose interfaces none tells of VFs.
pub(crate) const NO_SUCH_VF: Errno = Errno::ENXIO;

/// What the kernel's answer to a step means, now that one can look: an error may say only that it was done before.
pub fn interpret_result(sysfs: &Sysfs, action: &Action, answer: Result<(), Errno>) -> Result<Done, Errno> {
    match answer {
        // bind_store and bus_rescan_devices_helper (drivers/base/bus.c) say that all went well when a probe gave ENODEV or
        // ENXIO, which the kernel takes for a driver that does not want the device (really_probe, drivers/base/dd.c).
        Ok(()) if action.gives_driver() && is_done(sysfs, action) == Some(false) => Err(NOBODY_BOUND),
        Ok(()) => Ok(Done::Done),
        // unbind_store and bind_store (drivers/base/bus.c) answer ENODEV when the driver does not, or no longer, have
        // the device, or when another has it; the driver link tells which.
        Err(errno) => {
            let gone = matches!(errno, Errno::ENODEV | Errno::ENOENT);
            let already = match action {
                Action::Unbind { .. } | Action::Remove { .. } => gone && is_done(sysfs, action) == Some(true),
                Action::Bind { .. } => is_done(sysfs, action) == Some(true),
                Action::SetVf { .. } => errno == ALREADY_SO,
                // pciehp_sysfs_enable_slot and its counterpart (drivers/pci/hotplug/pciehp_ctrl.c) refuse what is so already.
                Action::SlotPower { slot, on, .. } => is_slot_on(sysfs, slot) == Some(*on),
                _ => false,
            };
            if already { Ok(Done::Already) } else { Err(errno) }
        }
    }
}

/// Whether the tree looks as it does after this action; none where the tree cannot tell, as for a scan.
pub fn is_done(sysfs: &Sysfs, action: &Action) -> Option<bool> {
    let driver_of = |address: &PciAddress| sysfs.driver(&address.sysfs_link());
    match action {
        Action::Unbind { address, .. } => Some(driver_of(address).is_none()),
        Action::Bind { address, driver } | Action::Probe { address, driver: Some(driver) } => {
            Some(driver_of(address).as_ref() == Some(driver))
        }
        // It may find none, and all is well.
        Action::Probe { address, driver: None } => driver_of(address).map(|_| true),
        Action::Remove { address } => Some(!sysfs.has_function(*address)),
        Action::SlotPower { on: false, functions, .. } if !functions.is_empty() => {
            Some(!functions.iter().any(|address| sysfs.has_function(*address)))
        }
        // The links are counted, as the attribute may block behind a driver: sriov_numvfs takes the device lock.
        Action::SetVfs { address, count, .. } | Action::CreateVfs { address, count, .. } => {
            let names = sysfs.names(&address.sysfs_link()).ok()??;
            Some(names.iter().filter(|name| is_vf_link(name)).count() == *count)
        }
        _ => None,
    }
}

/// Whether what an action is about is not there: a function, a bus or a slot.
pub(crate) fn is_subject_gone(sysfs: &Sysfs, action: &Action) -> bool {
    match action {
        Action::Rescan { bus } => !sysfs.exists(&format!("{BUSES}/{bus}")),
        Action::SlotPower { slot, .. } | Action::SlotAttention { slot, .. } => !is_slot_there(sysfs, slot),
        _ => action.address().is_some_and(|address| !sysfs.has_function(address)),
    }
}

fn is_slot_there(sysfs: &Sysfs, slot: &str) -> bool {
    sysfs.exists(&format!("bus/pci/slots/{slot}"))
}

/// Whether what a step did to its device can be put back: the device is there, or it is a VF that comes back when the number
/// of VFs is put back, before any driver is. Whoever did something else about them since has that number put back by nobody.
pub(crate) fn can_be_put_back(sysfs: &Sysfs, steps: &[Step], index: usize, is_done: impl Fn(usize) -> bool) -> bool {
    let is_there = |step: &Step| step.action.address().is_some_and(|address| sysfs.has_function(address));
    let brings_it_back = |(other, step): (usize, &Step)| {
        matches!(step.action, Action::SetVfs { .. }) && step.after.contains(&index) && is_done(other) && is_there(step)
    };
    if let Action::SlotAttention { slot, .. } = &steps[index].action {
        return is_slot_there(sysfs, slot);
    }
    is_there(&steps[index]) || steps.iter().enumerate().any(brings_it_back)
}

/// Whether the function of a step was given to a driver after it: then nothing of what led there is put back, for the driver
/// would have to be stopped, and nobody has looked who uses it by now.
pub(crate) fn has_led_to_driver(steps: &[Step], index: usize, is_done: impl Fn(usize) -> bool) -> bool {
    let address = steps[index].action.address();
    let mut later = steps.iter().enumerate().skip(index + 1);
    later.any(|(later, step)| step.action.gives_driver() && step.action.address() == address && is_done(later))
}

/// Whether a slot has power; none if it does not say.
pub(crate) fn is_slot_on(sysfs: &Sysfs, slot: &str) -> Option<bool> {
    match sysfs.value(&format!("bus/pci/slots/{slot}/power"))?.as_str() {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

fn is_vf_link(name: &str) -> bool {
    name.strip_prefix("virtfn").is_some_and(is_number)
}

#[cfg(test)]
mod tests;
