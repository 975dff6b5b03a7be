//! Which functions the question is about, and what of them the rest of the system can hold: disks, interfaces, nodes.
//!
//! Everything is found by the text of links in sys/dev and sys/class, which name each device's directory and with it
//! the PCI functions above it. No device's own directory is walked and no attribute of a driver is read.

use std::collections::{BTreeMap, HashMap};

use crate::host::sysfs::{Sysfs, follow};
use crate::order;
use crate::pci::address::PciAddress;
use crate::resolve::below::namespace;
use crate::topology::model::{FunctionId, Topology};

/// One function that is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopedFunction {
    /// Its directory below `sys`.
    pub(crate) path: String,
    /// The driver that has it.
    pub(crate) driver: Option<String>,
    /// Set on a virtual function.
    pub(crate) physical: Option<PciAddress>,
    /// Its class, if that was read.
    pub(crate) class: Option<u32>,
}

impl ScopedFunction {
    /// Its class, read now if it was not before.
    pub(crate) fn class(&self, sysfs: &Sysfs) -> Option<u32> {
        let read = || sysfs.read(&format!("{}/class", self.path)).ok().flatten();
        self.class.or_else(|| u32::from_str_radix(read()?.trim().strip_prefix("0x")?, 16).ok())
    }

    /// Whether a program such as SPDK can drive it: a driver of the kernel is not in its way.
    pub(crate) fn may_be_claimed(&self) -> bool {
        self.driver.as_deref().is_none_or(|driver| driver.contains("vfio") || driver.contains("uio"))
    }
}

/// The functions that are asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(BTreeMap<PciAddress, ScopedFunction>);

impl Scope {
    /// These functions, and nothing below them that is not among them.
    pub fn of(topology: &Topology, ids: impl IntoIterator<Item = FunctionId>) -> Self {
        let subject = |id: FunctionId| {
            let function = topology.function(id);
            let physical = function.virtual_of.map(|of| topology.function(of.physical).address);
            let driver = function.driver.as_deref().map(str::to_owned);
            let class = function.ids.map(|ids| ids.class);
            (function.address, ScopedFunction { path: topology.path(id), driver, physical, class })
        };
        Self(order::map(ids.into_iter().map(subject)))
    }

    /// These functions.
    pub(crate) fn from_functions(functions: impl Iterator<Item = (PciAddress, ScopedFunction)>) -> Self {
        Self(order::map(functions))
    }

    /// The functions, ordered by address.
    pub fn iter(&self) -> impl Iterator<Item = (PciAddress, &ScopedFunction)> {
        self.0.iter().map(|(address, subject)| (*address, subject))
    }

    /// One function.
    pub(crate) fn get(&self, address: PciAddress) -> Option<&ScopedFunction> {
        self.0.get(&address)
    }

    /// The function that a device's directory hangs below, if it is asked about.
    pub(crate) fn owner(&self, path: &str) -> Option<PciAddress> {
        let address = path.rsplit('/').find_map(PciAddress::from_sysfs_name)?;
        self.0.contains_key(&address).then_some(address)
    }
}

/// A device with a number, which can have a node in /dev.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// The name in sysfs.
    pub(crate) name: String,
    /// Its directory below `sys`.
    pub(crate) path: String,
    /// Major and minor number.
    pub(crate) number: (u32, u32),
}

impl Device {
    /// The class by its directory's name: `drm` of `.../drm/card0`. Not every driver nests that way.
    fn class(&self) -> &str {
        self.path.rsplit('/').nth(1).unwrap_or_default()
    }

    /// The node's name below /dev, where the kernel or udev puts it.
    pub(crate) fn node(&self) -> String {
        let name = self.name.replace('!', "/");
        let class = self.class();
        let prefix = match class {
            "drm" => "dri/",
            "input" | "accel" | "bsg" | "infiniband" => return format!("{class}/{name}"),
            "sound" => "snd/",
            "vfio" => "vfio/",
            "vfio-dev" => "vfio/devices/",
            _ if class.starts_with("infiniband_") => "infiniband/",
            _ if self.number.0 == USB_MAJOR => return usb_node(self.number.1),
            _ if self.path.contains("/input/input") => "input/",
            _ if self.path.contains("/sound/card") => "snd/",
            _ => "",
        };
        format!("{prefix}{name}")
    }
}

/// USB devices are numbered by bus and address (drivers/usb/core/devio.c).
const USB_MAJOR: u32 = 189;

fn usb_node(minor: u32) -> String {
    format!("bus/usb/{:03}/{:03}", minor / 128 + 1, minor % 128 + 1)
}

/// The devices of the machine, and which of them belong to the functions that are asked about.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    /// Every block device, by its place in `sys/dev/block`.
    pub(crate) blocks: Vec<Device>,
    /// Every character device that is of interest, with its owner.
    pub(crate) characters: Vec<(PciAddress, Device)>,
    /// Block devices right on a function, by index, with their owner.
    pub(crate) own_blocks: Vec<(PciAddress, usize)>,
    by_name: HashMap<String, usize>,
    by_number: HashMap<(u32, u32), usize>,
}

impl Inventory {
    /// Reads the numbers of all devices and picks those of the scope.
    pub(crate) fn read(sysfs: &Sysfs, scope: &Scope) -> Self {
        let mut inventory = Self { blocks: devices(sysfs, "dev/block", |_| true), ..Self::default() };
        for (index, device) in inventory.blocks.iter().enumerate() {
            inventory.by_name.insert(device.name.clone(), index);
            inventory.by_number.insert(device.number, index);
            if let Some(address) = scope.owner(&device.path) {
                inventory.own_blocks.push((address, index));
            }
        }
        let mut heads: Vec<(String, PciAddress)> = Vec::new();
        let mut others = Vec::new();
        for device in devices(sysfs, "dev/char", may_be_hardware) {
            let Some(address) = scope.owner(&device.path) else {
                others.push(device);
                continue;
            };
            if device.class() == "nvme" {
                heads.extend(multipath_heads(sysfs, &device.path).into_iter().map(|head| (head, address)));
            }
            inventory.characters.push((address, device));
        }
        inventory.characters.extend(others.into_iter().filter_map(|device| shared_node(&heads, device)));
        for (head, address) in heads {
            if let Some(index) = inventory.by_name.get(&head) {
                inventory.own_blocks.push((address, *index));
            }
        }
        inventory
    }

    /// The block device of this kernel name.
    pub(crate) fn block_named(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The block device of this number.
    pub(crate) fn block_numbered(&self, number: (u32, u32)) -> Option<usize> {
        self.by_number.get(&number).copied()
    }
}

/// The generic node (`ng0n1`) of a disk with several paths, one of which is ours.
fn shared_node(heads: &[(String, PciAddress)], device: Device) -> Option<(PciAddress, Device)> {
    let disk = device.name.strip_prefix("ng").map(|rest| format!("nvme{rest}"))?;
    let (_, address) = heads.iter().find(|(head, _)| *head == disk)?;
    Some((*address, device))
}

/// Every link of `sys/dev/block` or `sys/dev/char` whose number is wanted, numbers ascending.
fn devices(sysfs: &Sysfs, directory: &str, is_wanted: fn((u32, u32)) -> bool) -> Vec<Device> {
    let mut numbers: Vec<(u32, u32)> =
        sysfs.names(directory).ok().flatten().unwrap_or_default().iter().filter_map(|name| number(name)).collect();
    numbers.retain(|number| is_wanted(*number));
    order::sort(&mut numbers);
    let device = |number: (u32, u32)| {
        let target = sysfs.link(&format!("{directory}/{}:{}", number.0, number.1)).ok().flatten()?;
        let path = follow(directory, &target)?;
        let name = path.rsplit('/').next()?.to_owned();
        Some(Device { name, path, number })
    };
    numbers.into_iter().filter_map(device).collect()
}

/// Whether a character device may have hardware below it: memory, virtual consoles and their screens, which are most of
/// the links on many a machine, have fixed numbers that no device's driver can have
/// (Documentation/admin-guide/devices.txt).
fn may_be_hardware(number: (u32, u32)) -> bool {
    !matches!(number, (1 | 7, _) | (4, 0..=63))
}

/// The devices that the links of a directory of `sys` lead to: the link's name, and their directory below `sys`.
pub(crate) fn linked(sysfs: &Sysfs, directory: &str) -> Vec<(String, String)> {
    let device = |name: String| {
        let target = sysfs.link(&format!("{directory}/{name}")).ok().flatten()?;
        Some((name, follow(directory, &target)?))
    };
    sysfs.listed(directory).into_iter().filter_map(device).collect()
}

/// Reads `259:0`.
pub(crate) fn number(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// With native multipath a controller has only hidden paths (`nvme0c1n1`); the disk (`nvme0n1`) hangs below none.
fn multipath_heads(sysfs: &Sysfs, controller: &str) -> Vec<String> {
    let head = |name: &String| {
        let is_own_view = name.strip_prefix("nvme").is_some_and(|rest| rest.contains('c'));
        namespace(name).filter(|_| is_own_view)
    };
    let mut heads: Vec<String> =
        sysfs.names(controller).ok().flatten().unwrap_or_default().iter().filter_map(head).collect();
    heads.sort_unstable();
    heads
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::sysfs::made::MadeTree;

    #[test]
    fn a_node_is_where_the_kernel_or_udev_puts_it() {
        for (path, number, node) in [
            ("pci0000:00/0000:00:02.0/drm/card0", (226, 0), "dri/card0"),
            ("pci0000:00/0000:00:02.0/drm/card0/card0-DP-1/drm_dp_aux0", (243, 0), "drm_dp_aux0"),
            ("virtual/input/mice", (13, 63), "input/mice"),
            ("pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/input/input3/event4", (13, 68), "input/event4"),
            ("pci0000:00/0000:00:0b.0/accel/accel0", (261, 0), "accel/accel0"),
            ("pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/bsg/0:0:0:0", (243, 0), "bsg/0:0:0:0"),
            ("pci0000:00/0000:81:00.0/infiniband/issm0", (231, 64), "infiniband/issm0"),
            ("pci0000:00/0000:81:00.0/infiniband_verbs/uverbs0", (231, 192), "infiniband/uverbs0"),
            ("virtual/sound/timer", (116, 33), "snd/timer"),
            ("pci0000:00/0000:00:1f.3/sound/card0/pcmC0D0p", (116, 2), "snd/pcmC0D0p"),
            ("virtual/vfio/12", (236, 12), "vfio/12"),
            ("pci0000:00/0000:81:00.0/vfio-dev/vfio0", (511, 0), "vfio/devices/vfio0"),
            ("pci0000:00/0000:00:14.0/usb2/2-1", (189, 130), "bus/usb/002/003"),
            ("pci0000:00/0000:05:00.0/cciss0/block/cciss!c0d0", (104, 0), "cciss/c0d0"),
            ("pci0000:00/0000:01:00.0/nvme/nvme0", (240, 0), "nvme0"),
        ] {
            let name = path.rsplit('/').next().unwrap().to_owned();
            let device = Device { name, path: format!("devices/{path}"), number };
            assert_eq!(device.node(), node, "{path}");
        }
    }

    #[test]
    fn what_has_a_fixed_number_is_no_hardware() {
        let fixed = [(1, 3), (7, 128), (4, 0), (4, 63)];
        assert!(fixed.into_iter().all(|number| !may_be_hardware(number)));
        assert!([(4, 64), (0, 0), (6, 0), (240, 7)].into_iter().all(may_be_hardware));
        assert_eq!((number("259:0\n"), number("259"), number("a:b")), (Some((259, 0)), None, None));
    }

    const CARD: &str = "0000:01:00.0";

    fn card() -> ScopedFunction {
        let path = format!("devices/pci0000:00/{CARD}");
        ScopedFunction { path, driver: None, physical: None, class: None }
    }

    #[test]
    fn a_class_that_was_not_read_is_read() {
        let tree = MadeTree::with(&[CARD]);
        assert_eq!(card().class(&tree.sysfs()), None);
        tree.write(&format!("{}/class", card().path), "0x010802\n");
        assert_eq!(card().class(&tree.sysfs()), Some(0x01_0802));
        let known = ScopedFunction { class: Some(0x02_0000), ..card() };
        assert_eq!(known.class(&tree.sysfs()), Some(0x02_0000));
    }

    #[test]
    fn a_disk_of_several_paths_belongs_to_each_controller_that_has_one() {
        let tree = MadeTree::with(&[CARD]);
        let controller = format!("{}/nvme/nvme0", card().path);
        tree.write(&format!("{controller}/nvme0c0n1/uevent"), "");
        tree.write(&format!("{controller}/hwmon3/uevent"), "");
        tree.write("devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1/uevent", "");
        for (link, target) in [
            ("dev/block/259:0", "devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1"),
            ("dev/char/240:0", controller.as_str()),
            ("dev/char/241:0", "devices/virtual/nvme-generic/ng0n1"),
            ("dev/char/241:1", "devices/virtual/nvme-generic/ng1n1"),
        ] {
            tree.link(link, &format!("../../{target}"));
        }
        let scope = Scope::from_functions([(CARD.parse().unwrap(), card())].into_iter());
        let inventory = Inventory::read(&tree.sysfs(), &scope);
        let names = |of: Vec<&Device>| of.into_iter().map(|device| device.name.clone()).collect::<Vec<_>>();
        let characters = names(inventory.characters.iter().map(|(_, device)| device).collect());
        assert_eq!(characters, ["nvme0", "ng0n1"]);
        assert_eq!(names(inventory.own_blocks.iter().map(|(_, at)| &inventory.blocks[*at]).collect()), ["nvme0n1"]);
    }

    #[test]
    fn links_tell_their_names_and_where_they_lead() {
        let tree = MadeTree::with(&[CARD]);
        tree.link("dev/block/8:0", "../../devices/a/sda");
        tree.write("dev/block/no-link", "");
        assert_eq!(linked(&tree.sysfs(), "dev/block"), [("8:0".to_owned(), "devices/a/sda".to_owned())]);
        assert_eq!(linked(&tree.sysfs(), "class/nothing"), []);
    }
}
