//! Names of vendors, devices and classes from the system's pci.ids.
//!
//! The file is looked into, not parsed: a lookup searches the text for the one line it wants. A reader that builds
//! tables of all 40,000 entries costs more than everything else that a listing does. Without the file names are simply
//! absent; the numbers are always printed.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::topology::Ids;

/// Where distributions keep the file, the freshest first (`update-pciids` writes to the first two).
const PLACES: &[&str] = &["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids", "var/lib/pciutils/pci.ids"];

/// The text of pci.ids and what was looked up in it already.
#[derive(Debug, Default)]
pub struct Names {
    text: Vec<u8>,
    known: HashMap<Key, Option<Arc<str>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Vendor(u16),
    Device(u16, u16),
    Class(u8),
    SubClass(u8, u8),
}

impl Names {
    /// Reads the file below this root; empty if there is none.
    pub fn load(root: &Path) -> Self {
        let text = PLACES.iter().find_map(|place| fs::read(root.join(place)).ok()).unwrap_or_default();
        Self::from_text(text)
    }

    /// Names from a text in the form of pci.ids.
    pub fn from_text(text: Vec<u8>) -> Self {
        // Every section is found by the newline before it.
        let text = if text.is_empty() { text } else { [b"\n".as_slice(), &text].concat() };
        Self { text, known: HashMap::new() }
    }

    /// The vendor's name.
    pub fn vendor(&mut self, vendor: u16) -> Option<Arc<str>> {
        self.look_up(Key::Vendor(vendor))
    }

    /// The device's name.
    pub fn device(&mut self, vendor: u16, device: u16) -> Option<Arc<str>> {
        self.look_up(Key::Device(vendor, device))
    }

    /// The name of a 24-bit class code: of its subclass, else of its base class.
    pub fn class(&mut self, class: u32) -> Option<Arc<str>> {
        let [_, base, sub, _] = class.to_be_bytes();
        self.look_up(Key::SubClass(base, sub)).or_else(|| self.look_up(Key::Class(base)))
    }

    /// "Vendor Device", with numbers for what has no name.
    pub fn function(&mut self, ids: Ids) -> String {
        let device = match self.device(ids.vendor, ids.device) {
            Some(name) => name.to_string(),
            None => format!("[{:04x}]", ids.device),
        };
        match self.vendor(ids.vendor) {
            Some(vendor) => format!("{vendor} {device}"),
            None => format!("[{:04x}] {device}", ids.vendor),
        }
    }

    fn look_up(&mut self, key: Key) -> Option<Arc<str>> {
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let found = self.search(key);
        self.known.insert(key, found.clone());
        found
    }

    fn search(&self, key: Key) -> Option<Arc<str>> {
        let (section, entry) = match key {
            Key::Vendor(vendor) => (format!("\n{vendor:04x}  "), None),
            Key::Device(vendor, device) => (format!("\n{vendor:04x}  "), Some(format!("\n\t{device:04x}  "))),
            Key::Class(base) => (format!("\nC {base:02x}  "), None),
            Key::SubClass(base, sub) => (format!("\nC {base:02x}  "), Some(format!("\n\t{sub:02x}  "))),
        };
        let start = find(&self.text, section.as_bytes())? + section.len();
        let rest = &self.text[start..];
        let Some(entry) = entry else { return Some(line(rest)) };
        let within = &rest[..section_end(rest)];
        let start = find(within, entry.as_bytes())? + entry.len();
        Some(line(&within[start..]))
    }
}

/// Where the next line begins that is neither an entry of this section, a comment, nor empty.
fn section_end(text: &[u8]) -> usize {
    let starts = memchr::memchr_iter(b'\n', text);
    for newline in starts {
        match text.get(newline + 1) {
            Some(b'\t' | b'#' | b'\n') => {}
            _ => return newline,
        }
    }
    text.len()
}

fn line(text: &[u8]) -> Arc<str> {
    let end = memchr::memchr(b'\n', text).unwrap_or(text.len());
    String::from_utf8_lossy(&text[..end]).trim().into()
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# comment\n8086  Intel Corporation\n\t10d3  82574L\n\t\t103c 3250  NC112T\n# more\n\t1533  I210\n\
                        8087  Other\n\t10d4  Wrong\n\nC 01  Mass storage\n\t08  NVM controller\n\t\t02  NVMe\nC 02  Network\n";

    #[test]
    fn finds_names_in_their_own_section_only() {
        let mut names = Names::from_text(TEXT.into());
        assert_eq!(names.vendor(0x8086).as_deref(), Some("Intel Corporation"));
        assert_eq!(names.device(0x8086, 0x1533).as_deref(), Some("I210"));
        assert_eq!(names.device(0x8086, 0x10d4), None);
        assert_eq!(names.class(0x010802).as_deref(), Some("NVM controller"));
        assert_eq!(names.class(0x02_0800).as_deref(), Some("Network"));
        assert_eq!(names.vendor(0x103c), None);
    }

    #[test]
    fn numbers_stand_in_for_names() {
        let ids = Ids { vendor: 0x8086, device: 0xffff, subsystem_vendor: 0, subsystem_device: 0, class: 0 };
        assert_eq!(Names::default().function(ids), "[8086] [ffff]");
        assert_eq!(Names::from_text(TEXT.into()).function(ids), "Intel Corporation [ffff]");
    }
}
