//! The list of what is copied of /sys, by name. What is not here is never opened.
//!
//! Left out on purpose: what waits for a driver and is not needed (`sriov_numvfs`, `uevent` of a function,
//! `waiting_for_supplier`), what reaches the device and is not needed (`vpd`, `rom`, `resourceN`, bus numbers), and what is
//! there to be written.

use crate::host::text::is_number;

/// What to do with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Its content is copied.
    Read,
    /// Its content is copied, as far as it is told in time: its reader may have to wait.
    Ask,
    /// Only that it is there is copied.
    Name,
    /// It is a link, and copied as one.
    Link,
}

/// What stands at fixed places. `*` stands for one step, and a step may end in it.
const FIXED: &[(&str, Rule)] = &[
    ("bus/pci/drivers_autoprobe", Rule::Read),
    ("bus/pci/drivers_probe", Rule::Name),
    ("bus/pci/rescan", Rule::Name),
    ("bus/pci/devices/*", Rule::Link),
    ("bus/pci/drivers/*/bind", Rule::Name),
    ("bus/pci/drivers/*/unbind", Rule::Name),
    ("bus/pci/drivers/*/module", Rule::Link),
    ("bus/pci/drivers/*/*:*", Rule::Link),
    ("bus/pci/slots/*/address", Rule::Read),
    ("bus/pci/slots/*/adapter", Rule::Name),
    ("bus/pci/slots/*/attention", Rule::Name),
    ("bus/pci/slots/*/latch", Rule::Name),
    ("bus/pci/slots/*/module", Rule::Link),
    ("bus/pci/slots/*/power", Rule::Name),
    ("bus/mdev/devices/*", Rule::Link),
    ("bus/virtio/devices/*", Rule::Link),
    ("bus/virtio/drivers/*/virtio*", Rule::Link),
    ("bus/xen-backend/devices/*", Rule::Link),
    ("class/*/*", Rule::Link),
    // No kernel has it there, but trees that were written by hand.
    ("class/tty/console/active", Rule::Read),
    ("dev/block/*", Rule::Link),
    ("dev/char/*", Rule::Link),
    ("fs/btrfs/*/devices/*", Rule::Link),
    ("fs/virtiofs/*/device", Rule::Link),
    ("fs/virtiofs/*/tag", Rule::Read),
    ("hypervisor/type", Rule::Read),
    ("fs/bcachefs/*/*/block", Rule::Link),
    ("fs/ext4/*/journal_task", Rule::Read),
    ("kernel/config/netconsole/*/dev_name", Rule::Read),
    ("kernel/config/netconsole/*/enabled", Rule::Read),
    ("kernel/config/nvmet/ports/*/addr_traddr", Rule::Read),
    ("kernel/config/nvmet/ports/*/subsystems/*", Rule::Link),
    ("kernel/config/nvmet/subsystems/*/namespaces/*/device_path", Rule::Read),
    ("kernel/config/target/*/*/tpgt_*/enable", Rule::Read),
    ("kernel/config/target/core/*/*/udev_path", Rule::Read),
    ("kernel/config/target/core/*/*/info", Rule::Read),
    ("kernel/kexec_crash_loaded", Rule::Read),
    ("kernel/scst_tgt/devices/*/filename", Rule::Ask),
    ("kernel/scst_tgt/devices/*/scsi_device", Rule::Link),
    ("kernel/scst_tgt/targets/*/*/enabled", Rule::Read),
    ("kernel/scst_tgt/targets/*/*/host", Rule::Link),
    ("module/*/drivers/*", Rule::Link),
    ("module/*/holders/*", Rule::Link),
    ("module/*/refcnt", Rule::Read),
    ("module/pstore_blk/parameters/blkdev", Rule::Read),
];

/// Directories that are copied even if nothing in them is: that they are there says something.
const KEPT: &[&str] = &["bus/pci/devices", "bus/pci/drivers/*", "bus/pci/slots/*", "class/*"];

/// Classes of devices without a parent that PCI devices stand below, or that tell of them.
const VIRTUAL: [&str; 8] = ["block", "devlink", "infiniband", "net", "nvme-subsystem", "tty", "vfio", "vtconsole"];

/// What to do with the entry at a fixed place; `None` if it is left out.
pub(crate) fn fixed(path: &str) -> Option<Rule> {
    FIXED.iter().find(|(pattern, _)| fits(pattern, path)).map(|(_, rule)| *rule)
}

/// Whether something below a directory may be copied.
pub(crate) fn leads_to_fixed(path: &str) -> bool {
    let steps = path.split('/').count();
    let begins = |pattern: &str| {
        let end = pattern.match_indices('/').nth(steps - 1).map(|(end, _)| end);
        end.is_some_and(|end| fits(&pattern[..end], path))
    };
    FIXED.iter().any(|(pattern, _)| begins(pattern))
}

/// Whether a directory is copied for its own sake.
pub(crate) fn is_kept(path: &str) -> bool {
    KEPT.iter().any(|pattern| fits(pattern, path))
}

fn fits(pattern: &str, path: &str) -> bool {
    let (mut steps, mut names) = (pattern.split('/'), path.split('/'));
    loop {
        match (steps.next(), names.next()) {
            (None, None) => return true,
            (Some(step), Some(name)) if fits_step(step, name) => {}
            _ => return false,
        }
    }
}

fn fits_step(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, "")) => name.starts_with(start),
        Some((_, rest)) => name.contains(rest.trim_end_matches('*')),
    }
}

/// What to do with an entry of a function. `is_open` says that its hardware may be asked: it is awake, and no VF.
pub(crate) fn of_function(name: &str, is_open: bool) -> Option<Rule> {
    Some(match name {
        // The kernel answers these from memory.
        "vendor"
        | "device"
        | "class"
        | "revision"
        | "subsystem_vendor"
        | "subsystem_device"
        | "modalias"
        | "irq"
        | "numa_node"
        | "enable"
        | "power_state"
        | "d3cold_allowed"
        | "ari_enabled"
        | "boot_vga"
        | "sriov_totalvfs"
        | "sriov_drivers_autoprobe"
        | "reset_method"
        | "resource"
        | "local_cpulist"
        | "aer_dev_correctable"
        | "aer_dev_nonfatal"
        | "aer_dev_fatal" => Rule::Read,
        // The device answers these.
        "config" | "current_link_speed" | "current_link_width" | "max_link_speed" | "max_link_width" => {
            if is_open {
                Rule::Read
            } else {
                Rule::Name
            }
        }
        "driver_override" => Rule::Ask,
        "remove" | "rescan" | "reset" | "reset_subordinate" => Rule::Name,
        "driver" | "physfn" | "iommu_group" | "subsystem" | "firmware_node" => Rule::Link,
        _ if name.strip_prefix("virtfn").is_some_and(is_number) => Rule::Link,
        _ => return None,
    })
}

/// What to do with an entry of a function's `power` directory.
pub(crate) fn of_power(name: &str) -> Option<Rule> {
    matches!(name, "control" | "runtime_status" | "autosuspend_delay_ms" | "wakeup").then_some(Rule::Read)
}

/// What to do with an entry of a bus below `pci_bus`.
pub(crate) fn of_bus(name: &str) -> Option<Rule> {
    match name {
        "rescan" => Some(Rule::Name),
        "device" | "subsystem" => Some(Rule::Link),
        _ => None,
    }
}

/// What to do with an entry of a device of this class, or of one of no class.
pub(crate) fn of_device(class: &str, name: &str) -> Option<Rule> {
    Some(match (class, name) {
        (_, "dev") => Rule::Read,
        // A driver may answer it, and may take its time.
        (_, "uevent") => Rule::Name,
        (_, "subsystem" | "device" | "driver") => Rule::Link,
        ("net", "address" | "addr_assign_type" | "flags" | "ifindex" | "operstate") => Rule::Read,
        ("net", "master") => Rule::Link,
        ("net", _) if name.starts_with("upper_") || name.starts_with("lower_") => Rule::Link,
        ("bonding", "ad_aggregator") => Rule::Read,
        ("bonding_slave", "ad_aggregator_id" | "mii_status" | "perm_hwaddr") => Rule::Read,
        ("infiniband", "parent") => Rule::Read,
        ("block", "partition" | "removable" | "ro" | "size") => Rule::Read,
        ("holders" | "slaves", _) => Rule::Link,
        ("dm", "name" | "uuid") => Rule::Read,
        ("loop", "backing_file") => Rule::Read,
        ("bcache", "set") => Rule::Link,
        ("block", "ana_state") => Rule::Read,
        ("block", "backing_dev") => Rule::Ask,
        ("md", "layout" | "level" | "raid_disks") => Rule::Read,
        ("md-member" | "scsi" | "iscsi_session", "state") => Rule::Read,
        ("fc_host", "port_name" | "port_state") | ("fc_remote_ports", "port_state") => Rule::Read,
        ("infiniband", "node_guid") | ("gids", "0") => Rule::Read,
        ("nvme", "model" | "serial" | "state" | "transport") => Rule::Read,
        ("nvme-subsystem", _) if name.starts_with("nvme") => Rule::Link,
        ("watchdog", "state") => Rule::Read,
        ("devlink", "status") => Rule::Read,
        ("devlink", "consumer" | "supplier") => Rule::Link,
        ("rtc", "hctosys") | ("dma", "in_use") => Rule::Read,
        (_, "mount_tag") => Rule::Read,
        (_, "iommu_group") => Rule::Link,
        ("xgmi_hive_info", _) if name.starts_with("node") => Rule::Link,
        ("vtconsole", "bind" | "name") => Rule::Read,
        ("tty", "active") => Rule::Read,
        _ => return None,
    })
}

/// Directories that hold what a reader asks for by name, and have no mark of a device themselves.
pub(crate) fn is_known_part(name: &str) -> bool {
    const PARTS: [&str; 10] =
        ["bcache", "bonding", "bonding_slave", "dm", "gids", "holders", "loop", "md", "slaves", "xgmi_hive_info"];
    // Children of virtio functions; of real ones the mark is there.
    PARTS.contains(&name) || name.strip_prefix("virtio").is_some_and(is_number)
}

/// Classes whose devices somebody asks for, in a tree that may lack `sys/class`.
pub(crate) fn is_known_class(name: &str) -> bool {
    matches!(name, "block" | "fc_host" | "net" | "nvme" | "tty" | "watchdog")
}

/// Directories that most devices have, and that hold no device that anybody asks for. Of a port's services the one for hotplug
/// is asked: its driver drives the slot (`0000:00:1c.0:pcie004`, drivers/pci/pcie/portdrv.h).
pub(crate) fn is_without_devices(name: &str) -> bool {
    matches!(name, "integrity" | "link" | "mq" | "msi_irqs" | "power" | "queue" | "queues" | "statistics" | "trace")
        || name.contains(":pcie") && !name.ends_with("04")
}

/// Whether devices of no parent are copied, by the step after `devices/virtual`.
pub(crate) fn is_virtual_class(name: &str) -> bool {
    VIRTUAL.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_and_led_to() {
        assert_eq!(fixed("bus/pci/drivers/nvme/0000:01:00.0"), Some(Rule::Link));
        assert_eq!(fixed("bus/pci/drivers/nvme/new_id"), None);
        assert_eq!(fixed("class/net/eth0"), Some(Rule::Link));
        assert_eq!(fixed("class/net"), None);
        assert_eq!(fixed("module/nvme/drivers/pci:nvme"), Some(Rule::Link));
        assert!(leads_to_fixed("bus") && leads_to_fixed("kernel/config/target/core/iblock_0"));
        assert!(!leads_to_fixed("kernel/debug") && !leads_to_fixed("kernel/config/usb_gadget"));
        assert!(!leads_to_fixed("class/net/eth0") && leads_to_fixed("class/tty/console"));
        assert!(is_kept("class/net") && !is_kept("class"));
    }

    #[test]
    fn what_waits_or_wakes_is_not_on_the_list() {
        for name in ["vpd", "rom", "resource0", "sriov_numvfs", "uevent", "waiting_for_supplier", "label", "acpi_index"]
        {
            assert_eq!(of_function(name, true), None, "{name}");
        }
        assert_eq!(of_function("driver_override", true), Some(Rule::Ask));
        for name in ["remove", "rescan", "reset"] {
            assert_eq!(of_function(name, true), Some(Rule::Name), "{name}");
        }
        for name in ["config", "current_link_speed", "max_link_width"] {
            assert_eq!((of_function(name, true), of_function(name, false)), (Some(Rule::Read), Some(Rule::Name)));
        }
    }
}
