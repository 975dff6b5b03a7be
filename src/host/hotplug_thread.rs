//! The thread in which a hotplug port looks after its slot.
//!
//! A port that gets its driver while a card is plugged of which the kernel knows nothing, has its thread switch the slot on
//! (pciehp_check_presence in drivers/pci/hotplug/pciehp_core.c). The write that bound the driver is over by then, and the
//! thread still adds devices, and takes the kernel's mutex for it.

use std::thread::sleep;
use std::time::Duration;

use crate::host::procfs::Procfs;
use crate::host::stillness;
use crate::host::sysfs::Sysfs;

/// How often it is looked at: a look reads three files.
const PAUSE: Duration = Duration::from_millis(5);

/// How a hotplug service of a port is named: its bit of portdrv (PCIE_PORT_SERVICE_HP), after the kind of port.
const SERVICE: &str = "04";

/// Waits until the thread of the port that was just bound has nothing more to do: however long that takes, as with any write.
/// `value` is what was written to the file at `path`. Returns at once if that bound no hotplug port, or where nobody tells.
pub(crate) fn wait_until_idle(path: &str, value: &str) {
    let binds = path.ends_with("/bind") || path.ends_with("/drivers_probe");
    let Some(sysfs) = binds.then(|| Sysfs::open(None).ok()).flatten() else { return };
    let port = format!("bus/pci/devices/{value}");
    if !has_hotplug(&sysfs, &port) {
        return;
    }
    let Ok(procfs) = Procfs::live() else { return };
    let threads = threads(&sysfs, &procfs, &port);
    let look = || threads.iter().map(|thread| at_rest(&procfs, *thread)).collect::<Vec<_>>();
    let mut last = look();
    loop {
        sleep(PAUSE);
        // One look is not enough: a thread that begins to run while it is looked at, has no stack to show.
        let now = look();
        if now == last && now.iter().all(Option::is_some) {
            return;
        }
        last = now;
    }
}

fn has_hotplug(sysfs: &Sysfs, port: &str) -> bool {
    let is_service = |name: &String| name.rsplit_once(":pcie").is_some_and(|(_, kind)| kind.ends_with(SERVICE));
    sysfs.listed(port).iter().any(is_service)
}

/// The interrupt threads of the port's hotplug. Their names are cut to 15 bytes, which leaves the number whole.
fn threads(sysfs: &Sysfs, procfs: &Procfs, port: &str) -> Vec<u32> {
    let mut interrupts = sysfs.listed(&format!("{port}/msi_irqs"));
    interrupts.extend(sysfs.value(&format!("{port}/irq")));
    let names: Vec<String> = interrupts.iter().map(|number| format!("irq/{number}-pciehp")).collect();
    let is_thread = |pid: &u32| procfs.comm(&pid.to_string()).is_some_and(|comm| names.contains(&comm));
    procfs.pids().unwrap_or_default().into_iter().filter(is_thread).collect()
}

/// How often a thread has run that has nothing to do, or is gone; none of one that runs, or waits for something inside pciehp_ist.
/// Between two interrupts it sleeps in irq_thread (kernel/irq/manage.c).
fn at_rest(procfs: &Procfs, thread: u32) -> Option<u64> {
    let task = thread.to_string();
    let runs = stillness::switches(procfs, &task).unwrap_or_default();
    let Some(stat) = procfs.stat(&task) else { return Some(runs) };
    let stack = || procfs.text(&format!("{task}/stack")).ok().flatten().unwrap_or_default();
    (stat.state != 'R' && !stack().contains("pciehp_")).then_some(runs)
}
