//! Names of vendors, devices and classes from the system's pci.ids.
//!
//! The file is sorted, so it is looked into, not parsed: a lookup reads the few pieces of it that it needs and keeps
//! them. A reader that builds tables of all 40,000 entries costs more than everything else that a listing does. Without
//! the file, classes have the names that are built in, and vendors and devices have numbers. A file whose vendors are not
//! in order loses names, and nothing worse.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::host::root::Root;
use crate::pci::classes::class_name;
use crate::pci::ids::Ids;

/// Where distributions keep the file, the freshest first (`update-pciids` writes to the first two).
const PLACES: &[&str] = &["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids", "var/lib/pciutils/pci.ids"];

/// How much is read in one call.
const PIECE: usize = 16 * 1024;

/// No name is longer.
const LONGEST_LINE: usize = 1024;

/// A file larger than this is not the one that we know.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Below this distance it is as well to go from section to section.
const NEAR: usize = 4096;

/// The text of pci.ids and what was looked up in it already.
#[derive(Debug, Default)]
pub struct PciIds {
    text: IdsFile,
    sections: HashMap<Section, Option<Range<usize>>>,
    known: HashMap<Key, Option<Arc<str>>>,
    functions: HashMap<(u16, u16), Arc<str>>,
}

/// A line at the margin and all that belongs to it; the file has vendors first, then classes, each in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Section {
    Vendor(u16),
    Class(u8),
    /// Something else: all there is after the classes.
    Other,
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
        let text = PLACES.iter().find_map(|place| IdsFile::open(root, place)).unwrap_or_default();
        Self { text, ..Self::default() }
    }

    /// Names from a text in the form of pci.ids.
    #[cfg(any(test, feature = "fuzz"))]
    pub(crate) fn from_text(text: Vec<u8>) -> Self {
        Self { text: IdsFile::new(text), ..Self::default() }
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
        let section = self.section(section)?;
        // The number, or the class letter and its number, and two spaces.
        let Some(entry) = entry else {
            let head = section.start..section.end.min(section.start + LONGEST_LINE);
            return self.text.slice(head).get(6..).map(line);
        };
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

    fn section(&mut self, section: Section) -> Option<Range<usize>> {
        if let Some(known) = self.sections.get(&section) {
            return known.clone();
        }
        let found = self.text.find(section);
        self.sections.insert(section, found.clone());
        found
    }
}

/// A text of which only those pieces are in memory that were asked for.
#[derive(Debug, Default)]
struct IdsFile {
    file: Option<File>,
    bytes: Vec<u8>,
    is_read: Vec<bool>,
    /// The next section from places that were asked for: each search begins with the same ones, and the next may be far.
    next_sections: HashMap<usize, Option<usize>>,
}

impl IdsFile {
    #[cfg(any(test, feature = "fuzz"))]
    fn new(bytes: Vec<u8>) -> Self {
        Self { is_read: vec![true; bytes.len().div_ceil(PIECE)], bytes, ..Self::default() }
    }

    fn open(root: &Root, path: &str) -> Option<Self> {
        // Without the file, or with one that is no file, names are absent.
        let file = root.file(path).ok()??;
        let length = file.metadata().ok().filter(|metadata| metadata.len() <= LARGEST)?.len();
        // Memory that was never written to costs nothing: the holes stay holes.
        let bytes = vec![0; length as usize];
        Some(Self { file: Some(file), is_read: vec![false; bytes.len().div_ceil(PIECE)], bytes, ..Self::default() })
    }

    fn slice(&mut self, range: Range<usize>) -> &[u8] {
        let range = range.start..range.end.min(self.bytes.len());
        for piece in range.start / PIECE..range.end.div_ceil(PIECE) {
            self.need(piece);
        }
        &self.bytes[range]
    }

    fn need(&mut self, piece: usize) {
        if std::mem::replace(&mut self.is_read[piece], true) {
            return;
        }
        let start = piece * PIECE;
        let end = (start + PIECE).min(self.bytes.len());
        if let Some(file) = &self.file {
            // A piece that cannot be read has no names in it.
            let _ = file.read_exact_at(&mut self.bytes[start..end], start as u64);
        }
    }

    /// Halves the text until the section must be near.
    fn find(&mut self, wanted: Section) -> Option<Range<usize>> {
        let (mut low, mut high) = (0, self.bytes.len());
        while high - low > NEAR {
            let middle = low.midpoint(high);
            match self.known_next_section(middle) {
                Some(start) if start < high && self.section_at(start) < wanted => low = start,
                _ => high = middle,
            }
        }
        let mut start = self.next_section(low)?;
        while self.section_at(start) < wanted {
            start = self.next_section(start + 1)?;
        }
        let end = self.next_section(start + 1).unwrap_or(self.bytes.len());
        (self.section_at(start) == wanted).then_some(start..end)
    }

    /// The part of a vendor's section in which this device's line and its subsystems must be: devices are in order, too, and
    /// some vendors have thousands. From the end of a line to the end of another, or of the section.
    fn part(&mut self, section: Range<usize>, device: u16) -> Range<usize> {
        let (mut low, mut high) = (section.start, section.end);
        while high - low > NEAR {
            let middle = low.midpoint(high);
            match self.next_device(middle, high) {
                Some((newline, number)) if number <= device => low = newline,
                _ => high = middle,
            }
        }
        // What begins before `high` ends where the next one begins.
        let end = self.next_device(high, section.end).map_or(section.end, |(newline, _)| newline);
        low..end
    }

    /// The first line of a device that begins between these places: the end of the line before, and its number.
    fn next_device(&mut self, from: usize, to: usize) -> Option<(usize, u16)> {
        self.next_line(from, to, |start| {
            let digits = start.get(..5)?.strip_prefix(b"\t")?;
            u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        })
    }

    fn known_next_section(&mut self, from: usize) -> Option<usize> {
        if let Some(known) = self.next_sections.get(&from) {
            return *known;
        }
        let found = self.next_section(from);
        self.next_sections.insert(from, found);
        found
    }

    /// Where the next line begins, here or later, that is neither an entry of a section, a comment, nor empty.
    fn next_section(&mut self, from: usize) -> Option<usize> {
        let is_margin = |byte: &u8| !matches!(byte, b'\t' | b'#' | b'\n' | b'\r');
        if from == 0 && self.slice(0..1).first().is_some_and(is_margin) {
            return Some(0);
        }
        let starts = |start: &[u8]| start.first().filter(|byte| is_margin(byte)).copied();
        let (newline, _) = self.next_line(from.saturating_sub(1), self.bytes.len(), starts)?;
        Some(newline + 1)
    }

    /// The first end of a line between these places after which a line begins that `wanted` wants by its first bytes, and what
    /// it makes of them. The text is read no further than that.
    fn next_line<T>(&mut self, from: usize, to: usize, wanted: impl Fn(&[u8]) -> Option<T>) -> Option<(usize, T)> {
        /// A tab and a number.
        const START: usize = 5;
        let mut at = from;
        while at < to {
            let end = ((at / PIECE + 1) * PIECE).min(to);
            // What follows a newline that ends the piece is seen, too.
            let text = self.slice(at..end + START);
            let newlines = memchr::memchr_iter(b'\n', text).take_while(|newline| at + newline < end);
            let start = |newline: usize| &text[newline + 1..text.len().min(newline + 1 + START)];
            let mut found = newlines.filter_map(|newline| Some((at + newline, wanted(start(newline))?)));
            if let Some(found) = found.next() {
                return Some(found);
            }
            at = end;
        }
        None
    }

    fn section_at(&mut self, start: usize) -> Section {
        let head = self.slice(start..start + 6);
        let number = |digits: &[u8]| u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        match head {
            [b'C', b' ', class @ .., b' ', b' '] => {
                number(class).map_or(Section::Other, |class| Section::Class(class as u8))
            }
            [vendor @ .., b' ', b' '] => number(vendor).map_or(Section::Other, Section::Vendor),
            _ => Section::Other,
        }
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
