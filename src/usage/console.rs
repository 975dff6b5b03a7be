//! Uses that leave no mount, address or open file: displays, consoles, watchdogs, crash dumps, VFIO groups, VFs.

use crate::host::procfs::Procfs;
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::usage::block::nodes::real_node;
use crate::usage::block::stack::Storage;
use crate::usage::model::{Danger, User};
use crate::usage::process::descriptors::{Node, Wanted};
use crate::usage::scope::{Inventory, Scope, ScopedFunction};
use crate::usage::virtio::VirtioDevice;

/// Displays, consoles, watchdogs and crash dumps.
pub(crate) fn consoles(
    sysfs: &Sysfs,
    proc: Option<&Procfs>,
    scope: &Scope,
    inventory: &Inventory,
    storage: &Storage,
) -> Vec<User> {
    let mut users = Vec::new();
    // Virtual functions and ports, of which there may be hundreds, drive no display.
    let may_show =
        |subject: &ScopedFunction| subject.physical.is_none() && subject.driver.as_deref() != Some("pcieport");
    for (address, subject) in scope.iter().filter(|(_, subject)| may_show(subject)) {
        if sysfs.read(&format!("{}/boot_vga", subject.path)).ok().flatten().as_deref() == Some("1") {
            let description = format!("{address} is the boot display");
            users.push(User::new(Danger::Console, address, "boot_vga", "boot display", description));
        }
    }
    let active = sysfs.read("class/tty/console/active").ok().flatten().unwrap_or_default();
    for (address, device) in &inventory.characters {
        if active.split_whitespace().any(|name| name == device.name) {
            let description = format!("{} is an active console of the kernel", device.name);
            users.push(User::new(Danger::Console, *address, device.name.clone(), "console", description));
        }
        // state_show (drivers/watchdog/watchdog_dev.c) looks at a flag in memory.
        let state = || sysfs.read(&format!("{}/state", device.path)).ok().flatten();
        if device.path.contains("/watchdog/") && state().as_deref() == Some("active") {
            let description = format!("{} is an armed watchdog", device.name);
            users.push(User::new(Danger::Console, *address, device.name.clone(), "watchdog", description));
        }
    }
    users.extend(framebuffer(sysfs, scope));
    users.extend(netconsole(sysfs, scope));
    users.extend(crash(sysfs, proc, storage));
    users
}

/// The virtual consoles (`hvc0`) of virtio-console functions hang below none of them, and the kernel does not tell which
/// is whose (hvc_alloc in drivers/tty/hvc/hvc_console.c): an active one counts for each that it may be on.
pub(crate) fn hypervisor_consoles(sysfs: &Sysfs, virtio: &[VirtioDevice]) -> Vec<User> {
    let mut own = own_consoles(virtio).peekable();
    if own.peek().is_none() {
        return Vec::new();
    }
    let active = sysfs.read("class/tty/console/active").ok().flatten().unwrap_or_default();
    let names: Vec<&str> = active.split_whitespace().filter(|name| name.starts_with("hvc")).collect();
    let end = which(sysfs, virtio);
    let user = |(address, device): (PciAddress, &VirtioDevice)| {
        let end = end(device);
        let text = |name: &str| format!("{name} is an active console of the kernel{end}");
        names.iter().map(|name| User::new(Danger::Console, address, *name, "console", text(name))).collect::<Vec<_>>()
    };
    own.flat_map(user).collect()
}

/// Adds the nodes of virtual consoles, for whoever has them open: a getty.
pub(crate) fn want_hypervisor_consoles(sysfs: &Sysfs, virtio: &[VirtioDevice], wanted: &mut Wanted) {
    /// Number and count of the nodes (drivers/tty/hvc/hvc_console.c; HVC_ALLOC_TTY_ADAPTERS).
    const MAJOR: u32 = 229;
    const COUNT: u32 = 8;
    let end = which(sysfs, virtio);
    for (address, device) in own_consoles(virtio) {
        for minor in 0..COUNT {
            let path = format!("/dev/hvc{minor}");
            let node = Node { address, path, origin: end(device), danger: Danger::Console };
            wanted.add(false, Some((MAJOR, minor)), node);
        }
    }
}

fn own_consoles(virtio: &[VirtioDevice]) -> impl Iterator<Item = (PciAddress, &VirtioDevice)> {
    let own = virtio.iter().filter(|device| device.driver.as_deref() == Some(VIRTIO_CONSOLE));
    own.filter_map(|device| Some((device.address?, device)))
}

const VIRTIO_CONSOLE: &str = "virtio_console";

/// How sure it is that a virtual console is on a device. Xen and PowerVM have such consoles, too.
fn which(sysfs: &Sysfs, virtio: &[VirtioDevice]) -> impl Fn(&VirtioDevice) -> String {
    let all = virtio.iter().filter(|device| device.driver.as_deref() == Some(VIRTIO_CONSOLE)).count();
    let is_only = all == 1 && !sysfs.exists("hypervisor/type");
    move |device| match is_only {
        true => format!(", on {}", device.name),
        false => format!(", maybe on {}: the kernel does not tell", device.name),
    }
}

/// The text console runs on a frame buffer: fb0 with a console bound to it.
fn framebuffer(sysfs: &Sysfs, scope: &Scope) -> Option<User> {
    let consoles = sysfs.names("class/vtconsole").ok().flatten().unwrap_or_default();
    let is_bound = |name: &String| {
        let read = |file: &str| sysfs.read(&format!("class/vtconsole/{name}/{file}")).ok().flatten();
        read("name").is_some_and(|name| name.contains("frame buffer")) && read("bind").as_deref() == Some("1")
    };
    consoles.iter().any(is_bound).then_some(())?;
    let target = sysfs.link("class/graphics/fb0").ok().flatten()?;
    let address = scope.owner(&crate::host::sysfs::follow("class/graphics", &target)?)?;
    Some(User::new(Danger::Console, address, "fb0", "text console", "fb0 shows the text console"))
}

/// The kernel's log goes out through an interface.
fn netconsole(sysfs: &Sysfs, scope: &Scope) -> Vec<User> {
    let directory = "kernel/config/netconsole";
    let user = |target: &String| {
        let read = |file: &str| sysfs.read(&format!("{directory}/{target}/{file}")).ok().flatten();
        (read("enabled").as_deref() == Some("1")).then_some(())?;
        let name = read("dev_name")?;
        let class = "class/net";
        let link = sysfs.link(&format!("{class}/{name}")).ok().flatten()?;
        let address = scope.owner(&crate::host::sysfs::follow(class, &link)?)?;
        Some(User::new(Danger::Console, address, name.clone(), "netconsole", format!("{name} carries the netconsole")))
    };
    sysfs.names(directory).ok().flatten().unwrap_or_default().iter().filter_map(user).collect()
}

/// No configuration of a crash dump is larger.
const LARGEST: usize = 1 << 20;

/// Where a crash dump would go: kdump's target, if a crash kernel is loaded, and pstore's disk.
fn crash(sysfs: &Sysfs, proc: Option<&Procfs>, storage: &Storage) -> Vec<User> {
    let mut users = Vec::new();
    let mut add = |path: &str, what: &str| {
        if let Some((_, reached)) = storage.named(&real_node(sysfs, proc, path)) {
            let description = format!("{} is where {what} goes", reached.label);
            users.push(User::new(Danger::Console, reached.address, reached.label.clone(), what, description));
        }
    };
    if sysfs.read("kernel/kexec_crash_loaded").ok().flatten().as_deref() == Some("1") {
        let text = sysfs.files().text("etc/kdump.conf", LARGEST).ok().flatten().unwrap_or_default();
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if let Some(device) = line.split_whitespace().nth(1) {
                add(device, "the crash dump");
            }
        }
    }
    if let Some(device) = sysfs.read("module/pstore_blk/parameters/blkdev").ok().flatten() {
        add(device.trim(), "the kernel's last log (pstore)");
    }
    users
}
