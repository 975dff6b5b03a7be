//! Names of vendors, devices and classes from the system's pci.ids.
//!
//! The file is sorted, so it is looked into, not parsed: a lookup reads the few pieces of it that it needs and keeps
//! them. A reader that builds tables of all 40,000 entries costs more than everything else that a listing does. Without
//! the file, classes have the names that are built in, and vendors and devices have numbers. A file whose vendors are not
//! in order loses names, and nothing worse.

mod sorted_text;

use std::collections::HashMap;
use std::sync::Arc;

use crate::host::pci_ids::sorted_text::{HEAD, Section, SortedText};
use crate::host::root::Root;
use crate::pci::classes::class_name;
use crate::pci::ids::Ids;

/// Where distributions keep the file, the freshest first (`update-pciids` writes to the first two).
const PLACES: &[&str] = &["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids", "var/lib/pciutils/pci.ids"];

/// No name is longer.
const LONGEST_LINE: usize = 1024;

/// The text of pci.ids and what was looked up in it already.
#[derive(Debug, Default)]
pub struct PciIds {
    text: SortedText,
    known: HashMap<Key, Option<Arc<str>>>,
    functions: HashMap<(u16, u16), Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Vendor(u16),
    Device(u16, u16),
    Class(u8),
    SubClass(u8, u8),
    /// Vendor and device, and those of the subsystem.
    Subsystem(u16, u16, u16, u16),
}

impl PciIds {
    /// Opens the file below this root; empty where the system has none.
    pub fn load(root: &Root) -> Self {
        let text = PLACES.iter().find_map(|place| SortedText::open(root, place)).unwrap_or_default();
        Self { text, ..Self::default() }
    }

    /// Names from a text in the form of pci.ids.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn from_text(text: Vec<u8>) -> Self {
        Self { text: SortedText::new(text), ..Self::default() }
    }

    /// The vendor's name.
    pub(crate) fn vendor(&mut self, vendor: u16) -> Option<Arc<str>> {
        self.look_up(Key::Vendor(vendor))
    }

    /// The device's name.
    pub fn device(&mut self, vendor: u16, device: u16) -> Option<Arc<str>> {
        self.look_up(Key::Device(vendor, device))
    }

    /// The name that a subsystem has as one of this device.
    pub(crate) fn own_subsystem(&mut self, vendor: u16, device: u16, by: u16, number: u16) -> Option<Arc<str>> {
        self.look_up(Key::Subsystem(vendor, device, by, number))
    }

    /// "Vendor Subsystem", as with [`function`](Self::function); none for a function without.
    pub(crate) fn subsystem(&mut self, ids: Ids) -> Option<String> {
        if ids.subsystem_vendor == 0 {
            return None;
        }
        let own = self.own_subsystem(ids.vendor, ids.device, ids.subsystem_vendor, ids.subsystem_device);
        Some(match (self.vendor(ids.subsystem_vendor), own) {
            (Some(vendor), Some(own)) => format!("{vendor} {own}"),
            (None, Some(own)) => own.to_string(),
            (Some(vendor), None) => format!("{vendor} Device {:04x}", ids.subsystem_device),
            (None, None) => format!("Device {:04x}:{:04x}", ids.subsystem_vendor, ids.subsystem_device),
        })
    }

    /// The name of a base class.
    pub(crate) fn base_class(&mut self, base: u8) -> Option<Arc<str>> {
        self.look_up(Key::Class(base))
    }

    /// The name of a subclass.
    pub(crate) fn sub_class(&mut self, base: u8, sub: u8) -> Option<Arc<str>> {
        self.look_up(Key::SubClass(base, sub))
    }

    /// The name of a 24-bit class code: of its subclass, else of its base class.
    pub(crate) fn class(&mut self, class: u32) -> Option<Arc<str>> {
        let [_, base, sub, _] = class.to_be_bytes();
        let named = self.look_up(Key::SubClass(base, sub)).or_else(|| self.look_up(Key::Class(base)));
        named.or_else(|| class_name(class).map(Into::into))
    }

    /// "Vendor Device", with numbers for what has no name, as lspci does.
    pub(crate) fn function(&mut self, ids: Ids) -> Arc<str> {
        let key = (ids.vendor, ids.device);
        if let Some(known) = self.functions.get(&key) {
            return Arc::clone(known);
        }
        let name: Arc<str> = match (self.vendor(ids.vendor), self.device(ids.vendor, ids.device)) {
            (Some(vendor), Some(device)) => format!("{vendor} {device}").into(),
            (Some(vendor), None) => format!("{vendor} Device {:04x}", ids.device).into(),
            (None, _) => format!("Device {:04x}:{:04x}", ids.vendor, ids.device).into(),
        };
        self.functions.insert(key, Arc::clone(&name));
        name
    }

    fn look_up(&mut self, key: Key) -> Option<Arc<str>> {
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let found = self.search(key);
        self.known.insert(key, found.clone());
        found
    }

    fn search(&mut self, key: Key) -> Option<Arc<str>> {
        let (section, entry) = match key {
            Key::Vendor(vendor) => (Section::Vendor(vendor), None),
            Key::Device(vendor, device) => (Section::Vendor(vendor), Some(format!("\n\t{device:04x}  "))),
            Key::Class(base) => (Section::Class(base), None),
            Key::SubClass(base, sub) => (Section::Class(base), Some(format!("\n\t{sub:02x}  "))),
            Key::Subsystem(vendor, device, ..) => (Section::Vendor(vendor), Some(format!("\n\t{device:04x}  "))),
        };
        let Some(entry) = entry else {
            let start = self.text.start_of(section)?;
            return self.text.slice(start..start + LONGEST_LINE).get(HEAD..).map(line);
        };
        let section = self.text.section(section)?;
        let part = match key {
            Key::Device(_, device) | Key::Subsystem(_, device, ..) => self.text.part(section, device),
            _ => section,
        };
        let text = self.text.slice(part);
        let start = memchr::memmem::find(text, entry.as_bytes())? + entry.len();
        let Key::Subsystem(.., vendor, device) = key else { return Some(line(&text[start..])) };
        // Its subsystems follow a device's line, one step further in.
        let is_its = |text: &&[u8]| text.starts_with(b"\t\t") || text.starts_with(b"#");
        let own = format!("\t\t{vendor:04x} {device:04x}  ");
        let mut lines = text[start..].split(|byte| *byte == b'\n').skip(1).take_while(is_its);
        lines.find_map(|text| text.strip_prefix(own.as_bytes())).map(line)
    }
}

fn line(text: &[u8]) -> Arc<str> {
    let end = memchr::memchr(b'\n', text).unwrap_or(text.len());
    String::from_utf8_lossy(&text[..end]).trim().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci::ids::Ids;

    const TEXT: &str = "# comment\n8086  Intel Corporation\n\t10d3  82574L\n\t\t103c 3250  NC112T\n# more\n\t1533  I210\n\
                        8087  Other\n\t10d4  Wrong\n\nC 01  Mass storage\n\t08  NVM controller\n\t\t02  NVMe\nC 02  Network\n";

    #[test]
    fn finds_names_in_their_own_section_only() {
        let mut names = PciIds::from_text(TEXT.into());
        assert_eq!(names.vendor(0x8086).as_deref(), Some("Intel Corporation"));
        assert_eq!(names.device(0x8086, 0x1533).as_deref(), Some("I210"));
        assert_eq!(names.device(0x8086, 0x10d4), None);
        assert_eq!(names.class(0x010802).as_deref(), Some("NVM controller"));
        assert_eq!(names.class(0x02_0800).as_deref(), Some("Network"));
        assert_eq!(names.vendor(0x103c), None);
        let ids = |device, subsystem_device| Ids {
            vendor: 0x8086,
            device,
            subsystem_vendor: 0x103c,
            subsystem_device,
            class: 0,
        };
        assert_eq!(names.subsystem(ids(0x10d3, 0x3250)).as_deref(), Some("NC112T"));
        assert_eq!(names.subsystem(ids(0x1533, 0x3250)).as_deref(), Some("Device 103c:3250"), "of another device");
        let named = Ids { subsystem_vendor: 0x8087, ..ids(0x10d3, 1) };
        assert_eq!(names.subsystem(named).as_deref(), Some("Other Device 0001"));
    }

    #[test]
    fn numbers_stand_in_for_names() {
        let ids = Ids { vendor: 0x8086, device: 0xffff, subsystem_vendor: 0, subsystem_device: 0, class: 0 };
        assert_eq!(&*PciIds::default().function(ids), "Device 8086:ffff");
        assert_eq!(&*PciIds::from_text(TEXT.into()).function(ids), "Intel Corporation Device ffff");
    }

    #[test]
    fn every_name_of_a_long_file_is_found_and_a_lookup_reads_a_part_of_it() {
        let mut text = String::from("# A file with sections short and long.\n\n");
        let devices = |vendor: u16| if vendor % 64 == 0 { 0..2000 } else { 0..3 };
        for vendor in (0..1000).step_by(2) {
            text.push_str(&format!("{vendor:04x}  Vendor {vendor}\n"));
            for device in devices(vendor) {
                text.push_str(&format!("\t{device:04x}  Device {vendor} {device}\n"));
                text.push_str(&format!("\t\t103c {device:04x}  Subsystem {vendor} {device}\n"));
            }
        }
        text.push_str("ffff  Illegal Vendor ID\n\nC 01  Mass storage\n\t08  NVM\nC ff  Unassigned\n");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(PLACES[0]);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();

        let mut names = PciIds::load(&Root::open(Some(directory.path())).unwrap());
        assert_eq!(names.device(830, 2).as_deref(), Some("Device 830 2"));
        let pieces = names.text.is_read.iter().filter(|is_read| **is_read).count();
        assert!(pieces * 3 < names.text.is_read.len() * 2, "{pieces} of {}", names.text.is_read.len());
        for vendor in (0..1000).step_by(20) {
            assert_eq!(names.vendor(vendor), Some(format!("Vendor {vendor}").into()));
            let last = devices(vendor).end - 1;
            for device in (0..last).step_by(97).chain([last]) {
                assert_eq!(names.device(vendor, device), Some(format!("Device {vendor} {device}").into()));
                let own = names.own_subsystem(vendor, device, 0x103c, device);
                assert_eq!(own, Some(format!("Subsystem {vendor} {device}").into()));
            }
            assert_eq!((names.vendor(vendor + 1), names.device(vendor, last + 1)), (None, None));
        }
        assert_eq!(names.vendor(0xffff).as_deref(), Some("Illegal Vendor ID"));
        assert_eq!(names.class(0x01_0802).as_deref(), Some("NVM"));
        assert_eq!(names.class(0xff_0000).as_deref(), Some("Unassigned"));
        assert_eq!(names.class(0x02_0000).as_deref(), Some("Ethernet controller"));
        assert_eq!(names.class(0x77_0000), None);
    }
}
