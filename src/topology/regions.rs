//! The address ranges of a function: its BARs, its ROM, and the windows that a bridge leads on.
//!
//! As the kernel has assigned them, told from memory (resource_show in drivers/pci/pci-sysfs.c).

use serde::{Serialize, Serializer};

use crate::host::sysfs::Sysfs;

/// What a range is for, by its line in `resource`: six BARs, the ROM, six for the VFs where the kernel knows SR-IOV, and of a
/// bridge four windows (the enum of PCI_STD_RESOURCES in include/linux/pci.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum RegionKind {
    /// A BAR.
    Bar,
    /// The expansion ROM.
    Rom,
    /// One of the BARs of all VFs together.
    VfBar,
    /// What a bridge passes on to the bus below it.
    Window,
}

/// One range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct Region {
    /// What it is for.
    pub(crate) kind: RegionKind,
    /// Its number among those of its kind.
    pub(crate) number: usize,
    /// Its first address, `0xfa000000`; none if it has none.
    #[serde(serialize_with = "hexadecimal")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub(crate) start: Option<u64>,
    /// Its size in bytes.
    pub(crate) size_bytes: u64,
    /// I/O ports; else memory.
    pub(crate) is_io: bool,
    /// Memory that may be read ahead of its use.
    pub(crate) is_prefetchable: bool,
    /// Memory that may lie above 4 GiB.
    pub(crate) is_64_bit: bool,
}

/// Flags of include/linux/ioport.h.
const IO: u64 = 0x100;
const PREFETCH: u64 = 0x2000;
const MEMORY_64: u64 = 0x10_0000;
const UNSET: u64 = 0x2000_0000;

impl Region {
    /// Those of the function with this directory; none where they cannot be read.
    pub(crate) fn all(sysfs: &Sysfs, path: &str) -> Option<Vec<Self>> {
        let text = sysfs.read(&format!("{path}/resource")).ok().flatten()?;
        // The windows come last, and only of a bridge: without SR-IOV there are 7 or 11 lines, with it 13 or 17.
        let windows = match text.lines().count() {
            count @ (11 | 17) => count - 4,
            _ => usize::MAX,
        };
        Some(text.lines().enumerate().filter_map(|(index, line)| Self::parse(index, line, windows)).collect())
    }

    /// A line of `resource`: start, end, flags.
    fn parse(index: usize, line: &str, windows: usize) -> Option<Self> {
        let number = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
        let mut numbers = line.split_whitespace().map(number);
        let (start, end, flags) = (numbers.next()??, numbers.next()??, numbers.next()??);
        if flags == 0 {
            return None;
        }
        let (kind, number) = match index {
            _ if index >= windows => (RegionKind::Window, index - windows),
            0..=5 => (RegionKind::Bar, index),
            6 => (RegionKind::Rom, 0),
            7..=12 => (RegionKind::VfBar, index - 7),
            _ => return None,
        };
        Some(Self {
            kind,
            number,
            start: (start != 0 && flags & UNSET == 0).then_some(start),
            size_bytes: end.checked_sub(start)?.checked_add(1)?,
            is_io: flags & IO != 0,
            is_prefetchable: flags & PREFETCH != 0,
            is_64_bit: flags & MEMORY_64 != 0,
        })
    }
}

fn hexadecimal<S: Serializer>(address: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match address {
        Some(address) => serializer.collect_str(&format_args!("{address:#x}")),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_told_by_their_line() {
        let parse = |index, line| Region::parse(index, line, usize::MAX);
        let bar = parse(0, "0x00000000fa000000 0x00000000faffffff 0x0000000000140204").unwrap();
        assert_eq!((bar.kind, bar.number, bar.is_64_bit), (RegionKind::Bar, 0, true));
        assert_eq!((bar.start, bar.size_bytes), (Some(0xfa00_0000), 16 << 20));
        assert_eq!(parse(1, "0x0000000000000000 0x0000000000000000 0x0000000000000000"), None);
        let unset = parse(6, "0x0000000000000000 0x000000000007ffff 0x0000000020046200").unwrap();
        assert_eq!((unset.kind, unset.start, unset.size_bytes), (RegionKind::Rom, None, 512 << 10));
        let vfs = parse(7, "0x1000 0x1fff 0x200").unwrap();
        assert_eq!((vfs.kind, vfs.number), (RegionKind::VfBar, 0));
        let window = Region::parse(14, "0x1000 0x1fff 0x200", 13).unwrap();
        assert_eq!((window.kind, window.number), (RegionKind::Window, 1));
    }
}
