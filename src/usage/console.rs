//! Uses that leave no mount, address or open file: displays, consoles, watchdogs, crash dumps, VFIO groups, VFs.

use std::path::Path;

use crate::host::procfs::Proc;
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::usage::block::stack::Storage;
use crate::usage::model::{Danger, User};
use crate::usage::process::descriptors::{Node, Wanted};
use crate::usage::scope::{Inventory, Scope, Subject, number};

/// Whether a driver hands its device to user space.
pub fn is_vfio(driver: Option<&str>) -> bool {
    driver.is_some_and(|driver| driver.contains("vfio"))
}

/// Adds the VFIO group nodes of the functions: a group is opened by number and holds all of its functions.
pub fn want_groups(sysfs: &Sysfs, scope: &Scope, wanted: &mut Wanted) {
    for (address, subject) in scope.iter() {
        if !is_vfio(subject.driver.as_deref()) {
            continue;
        }
        let Some(group) = sysfs.link_name(&format!("{}/iommu_group", subject.path)).ok().flatten() else { continue };
        for name in [group.clone(), format!("noiommu-{group}")] {
            let number = sysfs.read(&format!("class/vfio/{name}/dev")).ok().flatten();
            let node = Node { address, path: format!("/dev/vfio/{name}"), origin: String::new(), danger: Danger::Vfio };
            wanted.add(false, number.as_deref().and_then(number_of), node);
        }
    }
}

fn number_of(text: &str) -> Option<(u32, u32)> {
    number(text)
}

/// Whether vfio-pci has the device open: it enables the device then, and only then.
pub fn is_enabled(sysfs: &Sysfs, path: &str) -> bool {
    sysfs.read(&format!("{path}/enable")).ok().flatten().is_some_and(|count| count.trim() != "0")
}

/// Adds the nodes that NVIDIA's own driver makes without telling /sys; which is whose is told below /proc/driver.
///
/// # Errors
/// It is not told for a function that the driver has.
pub fn want_nvidia(proc: &Proc, scope: &Scope, wanted: &mut Wanted) -> Result<(), String> {
    for (address, subject) in scope.iter().filter(|(_, subject)| subject.driver.as_deref() == Some("nvidia")) {
        let file = format!("driver/nvidia/gpus/{address}/information");
        let text = proc.text(&file).ok().flatten().unwrap_or_default();
        let minor = text.lines().find_map(|line| line.strip_prefix("Device Minor:")).map(str::trim);
        let Some(minor) = minor.and_then(|minor| minor.parse::<u32>().ok()) else {
            return Err(format!(
                "{address}: /proc/{file} does not tell which /dev/nvidia node it is ({})",
                subject.path
            ));
        };
        /// The major number of /dev/nvidiaN (Documentation/admin-guide/devices.txt leaves it to NVIDIA).
        const MAJOR: u32 = 195;
        let node = Node { address, path: format!("/dev/nvidia{minor}"), origin: String::new(), danger: Danger::Open };
        wanted.add(false, Some((MAJOR, minor)), node);
    }
    Ok(())
}

/// What nobody outside of NVIDIA's driver can see.
pub fn notes(scope: &Scope) -> Vec<String> {
    let nvidia = scope.iter().filter(|(_, subject)| subject.driver.as_deref() == Some("nvidia"));
    nvidia
        .map(|(address, _)| format!("{address}: whether nvidia persistence mode keeps it busy cannot be seen"))
        .collect()
}

/// Displays, consoles, watchdogs and crash dumps.
pub fn consoles(
    sysfs: &Sysfs,
    proc: Option<&Proc>,
    scope: &Scope,
    inventory: &Inventory,
    storage: &Storage,
) -> Vec<User> {
    let mut users = Vec::new();
    // Virtual functions and ports, of which there may be hundreds, drive no display.
    let may_show = |subject: &Subject| subject.physical.is_none() && subject.driver.as_deref() != Some("pcieport");
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

/// Where a crash dump would go: kdump's target, if a crash kernel is loaded, and pstore's disk.
fn crash(sysfs: &Sysfs, proc: Option<&Proc>, storage: &Storage) -> Vec<User> {
    let mut users = Vec::new();
    let mut add = |path: &str, what: &str| {
        if let Some((_, reached)) = storage.named(&real_node(sysfs, proc, path)) {
            let description = format!("{} is where {what} goes", reached.label);
            users.push(User::new(Danger::Console, reached.address, reached.label.clone(), what, description));
        }
    };
    if sysfs.read("kernel/kexec_crash_loaded").ok().flatten().as_deref() == Some("1") {
        let text = std::fs::read_to_string(sysfs.root().join("etc/kdump.conf")).unwrap_or_default();
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

/// The node behind the names that udev gives (`/dev/disk/by-uuid/...`, `UUID=...`), by the text of its link.
pub fn real_node(sysfs: &Sysfs, proc: Option<&Proc>, name: &str) -> String {
    let by = |kind: &str, value: &str| format!("/dev/disk/by-{kind}/{}", value.trim_matches('"'));
    let path = match name.split_once('=') {
        Some((kind @ ("UUID" | "LABEL" | "PARTUUID" | "PARTLABEL"), value)) => by(&kind.to_ascii_lowercase(), value),
        _ => name.to_owned(),
    };
    // /dev is the kernel's own file system: a link in it can be read without waiting for anybody.
    let is_ours = proc.is_none_or(|proc| !proc.is_dump()) || path.starts_with("/dev/disk/");
    let link = sysfs.root().join(path.trim_start_matches('/'));
    match std::fs::read_link(&link).ok().filter(|_| is_ours && path.starts_with("/dev/")) {
        Some(target) => format!("/dev/{}", last(&target)),
        None => path,
    }
}

fn last(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// For every physical function one user for all of its virtual functions that are used.
pub fn virtual_functions(scope: &Scope, users: &[User]) -> Vec<User> {
    let mut found: Vec<User> = Vec::new();
    for user in users {
        let Some(physical) = scope.get(user.address).and_then(|subject| subject.physical) else { continue };
        // Asked about the virtual function alone, its physical one is not at stake.
        if scope.get(physical).is_some() && !found.iter().any(|known| known.device == user.address.to_string()) {
            found.push(in_use(physical, user.address));
        }
    }
    found
}

fn in_use(physical: PciAddress, virtual_function: PciAddress) -> User {
    let description = format!("{virtual_function}, a virtual function of {physical}, is in use");
    User::new(Danger::Vfs, physical, virtual_function.to_string(), virtual_function.to_string(), description)
}
