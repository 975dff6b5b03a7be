//! Takes down what a function is, from files that answer without waiting for its driver.
//!
//! Only of few functions at a time: those that go, and those that came. The hardware itself is asked for two things, the
//! link at the port above and the serial number capability, and for the latter only if it is awake.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::host::child::{CHANGE_PATIENCE, Limits};
use crate::host::root::Root;
use crate::host::sysfs::{Sysfs, last_step};
use crate::order;
use crate::pci::address::PciAddress;
use crate::pci::ids::{ids_text, subsystem_text};
use crate::topology::attributes::{Attributes, LinkStatus, is_asleep};
use crate::topology::model::{FunctionId, Topology};
use crate::topology::vf_link;
use crate::topology::vf_setting::{VfSetting, of_vf};
use crate::verify::overrides::Overrides;
use crate::verify::record::{Bar, DeviceRecord, Serials, VirtualRecord};

/// Classes whose names people type or write into configuration files.
const KNOWN_CLASSES: [&str; 8] = ["accel", "block", "drm", "infiniband", "net", "nvme", "sound", "tty"];

/// Power settings that a user may have made, below the function's directory. None of them asks the device.
const POWER_FILES: [&str; 4] = ["power/control", "d3cold_allowed", "power/autosuspend_delay_ms", "power/wakeup"];

/// Where a function's BARs end in its `resource` file: then come the ROM, the VFs' BARs and a bridge's windows.
const BARS: usize = 6;

/// Set in the flags of a resource that has no address (IORESOURCE_UNSET, include/linux/ioport.h).
const UNSET: u64 = 0x2000_0000;

/// Set in the flags of a resource for memory (IORESOURCE_MEM, include/linux/ioport.h).
const MEMORY: u64 = 0x200;

/// Takes down functions of one tree.
pub struct Observer<'a> {
    sysfs: &'a Sysfs,
    attributes: Attributes<'a>,
    by_id: Option<HashMap<String, Vec<String>>>,
}

impl<'a> Observer<'a> {
    /// Looks into this tree.
    pub fn new(sysfs: &'a Sysfs) -> Self {
        Self { sysfs, attributes: Attributes::new(sysfs), by_id: None }
    }

    /// Everything of one function.
    pub fn record(&mut self, topology: &Topology, id: FunctionId, overrides: &Overrides) -> DeviceRecord {
        let function = topology.function(id);
        let path = topology.path(id);
        let names = self.names(&path);
        let of = |name: &str| names.get(name).map_or(&[][..], Vec::as_slice);
        let serials = self.serials(&path, of("nvme"), of("net"));
        let by_id = self.by_id(of("block"));
        DeviceRecord {
            place: topology.place(id),
            address: function.address,
            slot: self.attributes.slot(function.address),
            ids: function.ids.map(ids_text),
            subsystem: function.ids.and_then(subsystem_text),
            class: function.ids.map(|ids| format!("{:06x}", ids.class)),
            serials,
            driver: function.driver.as_deref().map(str::to_owned),
            driver_override: overrides.get(&function.address).cloned(),
            link: self.link(topology, id, &path),
            bars: self.bars(&path),
            numa_node: self.attributes.numa_node(&path),
            iommu_group: self.attributes.iommu_group(&path),
            vfs: virtual_functions(self.sysfs, topology, id, overrides),
            names,
            by_id,
            power: self.power(&path),
        }
    }

    /// What can be told of every function of a machine without asking the hardware: ids, driver, BARs, IOMMU group.
    pub(crate) fn brief(&self, topology: &Topology, id: FunctionId) -> DeviceRecord {
        let function = topology.function(id);
        let path = topology.path(id);
        DeviceRecord {
            ids: function.ids.map(ids_text),
            subsystem: function.ids.and_then(subsystem_text),
            class: function.ids.map(|ids| format!("{:06x}", ids.class)),
            driver: function.driver.as_deref().map(str::to_owned),
            bars: self.bars(&path),
            iommu_group: self.attributes.iommu_group(&path),
            ..DeviceRecord::at(topology.place(id), function.address)
        }
    }

    /// Briefly, and the link.
    pub(crate) fn with_link(&self, topology: &Topology, id: FunctionId) -> DeviceRecord {
        let link = self.link(topology, id, &topology.path(id));
        DeviceRecord { link, ..self.brief(topology, id) }
    }

    /// Names by class.
    fn names(&self, path: &str) -> BTreeMap<String, Vec<String>> {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for device in self.attributes.class_devices(path) {
            let Some((class, name)) = device.split_once('/') else { continue };
            if KNOWN_CLASSES.contains(&class) {
                names.entry(class.to_owned()).or_default().push(name.to_owned());
            }
        }
        names
    }

    fn serials(&self, path: &str, nvme: &[String], net: &[String]) -> Serials {
        let read = |file: String| self.sysfs.read(&file).ok().flatten().map(|text| text.trim().to_owned());
        let mut mac: Vec<String> = net.iter().filter_map(|name| self.own_mac(name)).collect();
        mac.sort_unstable();
        mac.dedup();
        let nvme = nvme.iter().find_map(|name| read(format!("class/nvme/{name}/serial")).filter(|text| is_told(text)));
        Serials { dsn: self.serial_capability(path), nvme, mac }
    }

    /// The MAC that the card was made with; a bond lends its members another, and a user may have set one.
    fn own_mac(&self, interface: &str) -> Option<String> {
        let read = |file: &str| self.sysfs.read(&format!("class/net/{interface}/{file}")).ok().flatten();
        if let Some(permanent) = read("bonding_slave/perm_hwaddr") {
            return Some(permanent);
        }
        // NET_ADDR_PERM, include/uapi/linux/netdevice.h. A dumped tree may not have the file.
        if read("addr_assign_type").is_some_and(|kind| kind != "0") {
            return None;
        }
        read("address").filter(|mac| !mac.is_empty() && mac != "00:00:00:00:00:00")
    }

    /// The Device Serial Number, if the function is awake and has one.
    fn serial_capability(&self, path: &str) -> Option<String> {
        if is_asleep(self.sysfs, path) {
            return None;
        }
        serial_number(&self.sysfs.file(&format!("{path}/config")).ok().flatten()?)
    }

    /// The link that leads to a function, asked at the port above; what the device could do at most it knows itself.
    fn link(&self, topology: &Topology, id: FunctionId, path: &str) -> Option<LinkStatus> {
        let own = self.attributes.link(path);
        let port = topology.function_above(id).filter(|above| leads_down(topology, *above));
        let link = match port {
            Some(port) => {
                self.attributes.link(&topology.path(port)).filter(|link| !link.asleep).or_else(|| own.clone())
            }
            None if topology.function(id).ids.is_some_and(|ids| ids.is_bridge()) => None,
            None => own.clone(),
        }?;
        let most = own.unwrap_or_else(|| link.clone());
        Some(LinkStatus { max_speed: most.max_speed, max_width: most.max_width, ..link })
    }

    fn bars(&self, path: &str) -> Vec<Bar> {
        let text = self.sysfs.read(&format!("{path}/resource")).ok().flatten().unwrap_or_default();
        let lines = text.lines().take(BARS).enumerate();
        lines.filter_map(|(index, line)| bar(index as u8, line)).collect()
    }

    fn power(&self, path: &str) -> BTreeMap<String, String> {
        let setting = |file: &str| {
            let text = self.sysfs.read(&format!("{path}/{file}")).ok().flatten()?;
            (!text.is_empty()).then(|| (file.to_owned(), text))
        };
        order::map(POWER_FILES.into_iter().filter_map(setting))
    }

    /// What leads to these disks from /dev/disk/by-id, partitions left out.
    fn by_id(&mut self, disks: &[String]) -> Vec<String> {
        if disks.is_empty() {
            return Vec::new();
        }
        let root = self.sysfs.files();
        let links = self.by_id.get_or_insert_with(|| disk_links(root, "dev/disk/by-id"));
        let mut found: Vec<String> =
            disks.iter().flat_map(|disk| links.get(disk).cloned().unwrap_or_default()).collect();
        found.sort_unstable();
        found
    }
}

/// Whether a bridge's link is the one below it, as with root ports and a switch's downstream ports. From the root down
/// they take turns with upstream ports, whose link is the one above them.
fn leads_down(topology: &Topology, id: FunctionId) -> bool {
    topology.function_above(id).is_none_or(|above| !leads_down(topology, above))
}

/// Links by the name they lead to.
fn disk_links(root: &Root, directory: &str) -> HashMap<String, Vec<String>> {
    let mut links: HashMap<String, Vec<String>> = HashMap::new();
    for name in root.names(directory).ok().flatten().unwrap_or_default() {
        if let Some(target) = root.link(&format!("{directory}/{name}")).ok().flatten() {
            links.entry(last_step(&target).to_owned()).or_default().push(name);
        }
    }
    links
}

/// The VFs of a physical function. What the kernel does not tell of their settings in time is left out.
fn virtual_functions(sysfs: &Sysfs, topology: &Topology, id: FunctionId, overrides: &Overrides) -> Vec<VirtualRecord> {
    let vfs = topology.virtual_functions(id);
    if vfs.is_empty() {
        return Vec::new();
    }
    let settings = vf_settings(sysfs, topology.function(id).address).unwrap_or_default();
    let function = |id: FunctionId| {
        let function = topology.function(id);
        let index = function.virtual_of.and_then(|of| of.index);
        VirtualRecord {
            address: function.address,
            driver: function.driver.as_deref().map(str::to_owned),
            driver_override: overrides.get(&function.address).cloned(),
            settings: index.map(|index| of_vf(&settings, index)).unwrap_or_default(),
        }
    };
    vfs.into_iter().map(function).collect()
}

/// What a physical function keeps for its VFs. It waits for it as one may before a change: what is not told is lost with the VFs.
///
/// # Errors
/// Why it cannot be told, in words.
pub(crate) fn vf_settings(sysfs: &Sysfs, physical: PciAddress) -> Result<Vec<VfSetting>, String> {
    vf_link::read(sysfs, physical, Limits::of_answer(CHANGE_PATIENCE))
}

/// A line of `resource`: start, end, flags.
fn bar(index: u8, line: &str) -> Option<Bar> {
    let mut numbers = line.split_whitespace().map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
    let (start, end, flags) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let size = end.checked_sub(start)?.checked_add(1)?;
    (flags != 0).then_some(Bar { index, size, assigned: start != 0 && flags & UNSET == 0 })
}

/// The BARs for memory that a function asks for and that have no address.
pub(crate) fn memory_without_address(sysfs: &Sysfs, path: &str) -> Vec<u8> {
    let text = sysfs.read(&format!("{path}/resource")).ok().flatten().unwrap_or_default();
    let lines = text.lines().take(BARS).enumerate();
    let is_memory = |line: &str| {
        let flags =
            line.split_whitespace().nth(2).and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
        flags.is_some_and(|flags| flags & MEMORY != 0)
    };
    let unassigned = lines.filter(|(_, line)| is_memory(line)).filter_map(|(index, line)| bar(index as u8, line));
    unassigned.filter(|bar| !bar.assigned).map(|bar| bar.index).collect()
}

/// Whether a controller's serial number is known. Before the driver has asked the controller who it is, the kernel prints
/// what its printf has for a pointer into nothing: on 5.10, whose probe goes on after a bind has returned
/// (nvme_sysfs_show_serial in drivers/nvme/host/core.c, check_pointer_msg in lib/vsprintf.c).
fn is_told(serial: &str) -> bool {
    !matches!(serial, "" | "(efault)" | "(null)")
}

/// Walks the extended capabilities to the serial number (PCI Express Base 7.9.3), a few words instead of the 4096 bytes.
fn serial_number(config: &File) -> Option<String> {
    const SERIAL_NUMBER: u32 = 3;
    /// More capabilities than fit into the space: a list that goes round in circles ends here.
    const MOST: usize = 960;
    let word = |offset: u64| {
        let mut bytes = [0; 4];
        config.read_exact_at(&mut bytes, offset).ok().map(|()| u32::from_le_bytes(bytes))
    };
    let mut offset = 0x100;
    for _ in 0..MOST {
        let header = word(offset)?;
        if header == 0 || header == u32::MAX {
            return None;
        }
        if header & 0xffff == SERIAL_NUMBER {
            let (low, high) = (word(offset + 4)?, word(offset + 8)?);
            let number = u64::from(high) << 32 | u64::from(low);
            let text: Vec<String> = number.to_be_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            return (number != 0 && number != u64::MAX).then(|| text.join("-"));
        }
        offset = u64::from(header >> 20) & !3;
        if offset < 0x100 {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;
    use crate::verify::record::Bar;

    #[test]
    fn bars_are_told_by_their_flags() {
        let assigned = "0x0000390012000000 0x0000390013ffffff 0x000000000014220c";
        assert_eq!(bar(0, assigned), Some(Bar { index: 0, size: 0x200_0000, assigned: true }));
        let unset = "0x0000000000000000 0x0000000000003fff 0x0000000020140204";
        assert_eq!(bar(2, unset), Some(Bar { index: 2, size: 0x4000, assigned: false }));
        assert_eq!(bar(1, "0x0000000000000000 0x0000000000000000 0x0000000000000000"), None);
        assert_eq!(bar(1, "0x0 0xffffffffffffffff 0x1"), None);
        assert_eq!(bar(1, "garbage"), None);
    }

    fn config(words: &[(usize, u32)]) -> File {
        let mut bytes = vec![0; 4096];
        for (offset, word) in words {
            bytes[*offset..offset + 4].copy_from_slice(&word.to_le_bytes());
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file
    }

    #[test]
    fn a_controller_that_is_not_asked_yet_has_no_serial_number() {
        for none in ["", "(efault)", "(null)"] {
            assert!(!is_told(none), "{none}");
        }
        assert!(is_told("S4EVNX0R123456"));
    }

    #[test]
    fn the_serial_number_is_found_along_the_list() {
        let found = serial_number(&config(&[
            (0x100, 0x1401_0001),
            (0x140, 0x0001_0003),
            (0x144, 0xff10_0002),
            (0x148, 0x0c42_a1ff),
        ]));
        assert_eq!(found.as_deref(), Some("0c-42-a1-ff-ff-10-00-02"));
    }

    #[test]
    fn a_list_in_circles_and_a_dead_device_have_none() {
        assert_eq!(serial_number(&config(&[(0x100, 0x1001_0001)])), None);
        assert_eq!(serial_number(&config(&[(0x100, u32::MAX)])), None);
        assert_eq!(serial_number(&config(&[])), None);
    }
}
