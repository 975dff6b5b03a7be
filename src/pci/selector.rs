//! What an operator types to name a function: every spelling people paste, read without touching the machine.
//!
//! Which functions a selector matches on this machine is decided in [`resolve`](crate::resolve::functions).

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::pci::address::{AddressError, Domain, PciAddress, hex};

/// A selector as it was typed and what it can mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    /// The text as typed, for messages.
    pub(crate) text: String,
    /// How it reads.
    pub(crate) kind: SelectorKind,
}

/// The ways to name functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SelectorKind {
    /// `0000:03:00.0`, or without the domain, which the machine then decides.
    Address(AddressParts),
    /// lspci's wildcards: `03:`, `*:00.0`, `03:00`. Only for commands that look.
    Pattern(AddressPattern),
    /// `pci0000:00`: the bus that a host bridge leads to. Only for looking and rescanning.
    HostBridge(String),
    /// `slot:NAME`, as under /sys/bus/pci/slots.
    Slot(String),
    /// `driver:NAME`.
    Driver(String),
    /// `class:0108`, `class:NVME`.
    Class(ClassPattern),
    /// `id:8086:10d3`, `id:8086:`.
    Id {
        /// The vendor id.
        vendor: u16,
        /// The device id; `None` matches all devices of that vendor.
        device: Option<u16>,
    },
    /// A path below /dev.
    DeviceNode(String),
    /// A path below /sys; its last address counts.
    SysfsPath(String),
    /// A device's name in sysfs, of whatever class: `eth0`, `mlx5_0`, `nvme0n1`.
    Name(String),
    /// The same with its class, as `show` prints it: `net/eth0`.
    ClassDevice {
        /// The class.
        class: String,
        /// The name.
        name: String,
    },
    /// `serial:S4EVNF0M`: the serial number of a disk or its controller.
    Serial(String),
    /// `wwn:0x5000c500a1b2c3d4`: the worldwide name of a disk or a port.
    Wwn(String),
    /// `mount:/srv`: what is mounted there.
    Mount(String),
}

/// An address whose domain may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressParts {
    /// The domain, if one was given.
    pub(crate) domain: Option<Domain>,
    /// The rest; its own domain field is 0 when none was given.
    pub(crate) address: PciAddress,
}

/// lspci's `-s` pattern; a field that is `None` matches anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressPattern {
    /// The domain.
    pub(crate) domain: Option<Domain>,
    /// The bus.
    pub(crate) bus: Option<u8>,
    /// The device.
    pub(crate) device: Option<u8>,
    /// The function.
    pub(crate) function: Option<u8>,
}

/// The leading digits of a class code: `01`, `0108`, `010802`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClassPattern {
    /// The digits as a number.
    pub(crate) code: u32,
    /// How many digits were given: 2, 4 or 6.
    pub(crate) digits: u8,
}

/// Class names that administrators use, and their codes (PCI Code and ID Assignment Specification).
pub(crate) const CLASS_NAMES: &[(&str, &str)] = &[
    ("storage", "01"),
    ("scsi", "0100"),
    ("raid", "0104"),
    ("sata", "0106"),
    ("sas", "0107"),
    ("nvme", "0108"),
    ("network", "02"),
    ("ethernet", "0200"),
    ("infiniband", "0207"),
    ("display", "03"),
    ("vga", "0300"),
    ("3d", "0302"),
    ("gpu", "03"),
    ("audio", "0403"),
    ("bridge", "06"),
    ("usb", "0c03"),
    ("accelerator", "12"),
];

/// Error for a text that is not a valid selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid selector: {}", problem.why)]
pub(crate) struct SelectorError {
    /// The text as typed.
    text: String,
    problem: Problem,
}

/// What is wrong with a selector, and what to type instead.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    why: String,
    hint: Option<String>,
}

impl From<SelectorError> for Error {
    fn from(error: SelectorError) -> Self {
        let usage = Self::usage(error.to_string()).fact("selector", error.text);
        match error.problem.hint {
            Some(hint) => usage.hint(hint),
            None => usage,
        }
    }
}

impl Problem {
    fn with_hint(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { why: why.into(), hint: Some(hint.into()) }
    }
}

impl From<&str> for Problem {
    fn from(why: &str) -> Self {
        Self { why: why.to_owned(), hint: None }
    }
}

impl From<AddressError> for Problem {
    fn from(error: AddressError) -> Self {
        Self { why: error.to_string(), hint: None }
    }
}

impl Selector {
    /// Whether it stands for a group of functions, however many that are now.
    pub(crate) fn is_group(&self) -> bool {
        match self.kind {
            SelectorKind::Pattern(_)
            | SelectorKind::Slot(_)
            | SelectorKind::Driver(_)
            | SelectorKind::Class(_)
            | SelectorKind::Id { .. } => true,
            SelectorKind::Address(_)
            | SelectorKind::HostBridge(_)
            | SelectorKind::DeviceNode(_)
            | SelectorKind::SysfsPath(_)
            | SelectorKind::Name(_)
            | SelectorKind::ClassDevice { .. }
            | SelectorKind::Serial(_)
            | SelectorKind::Wwn(_)
            | SelectorKind::Mount(_) => false,
        }
    }
}

impl AddressPattern {
    /// Whether an address has all the fields that the pattern names.
    pub(crate) fn matches(&self, address: PciAddress) -> bool {
        self.domain.is_none_or(|domain| domain == address.domain)
            && self.bus.is_none_or(|bus| bus == address.bus)
            && self.device.is_none_or(|device| device == address.device)
            && self.function.is_none_or(|function| function == address.function)
    }
}

impl ClassPattern {
    /// Whether a 24-bit class code begins with these digits.
    pub(crate) fn matches(&self, class: u32) -> bool {
        class >> (4 * (6 - u32::from(self.digits))) == self.code
    }
}

/// The text as typed, quoted where it could be misread.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A colon would run into the one that follows.
        let is_plain = !self.text.is_empty() && !self.text.ends_with(':') && !self.text.contains([' ', '*']);
        if is_plain { f.write_str(&self.text) } else { write!(f, "'{}'", self.text) }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let error = |problem: Problem| SelectorError { text: text.to_owned(), problem };
        if text.chars().any(|c| c.is_control()) {
            return Err(error("it has control characters".into()));
        }
        let kind = parse_kind(text).map_err(error)?;
        Ok(Self { text: text.to_owned(), kind })
    }
}

/// Tries the spellings from the most to the least explicit.
fn parse_kind(text: &str) -> Result<SelectorKind, Problem> {
    if let Some((prefix, rest)) = text.split_once(':') {
        match prefix {
            "slot" | "driver" if rest.is_empty() || rest.contains('/') => {
                let example = if prefix == "slot" { "7" } else { "nvme" };
                return Err(Problem::with_hint("it needs a name", format!("a {prefix} is written {prefix}:{example}")));
            }
            "slot" => return Ok(SelectorKind::Slot(rest.to_owned())),
            "driver" => return Ok(SelectorKind::Driver(rest.to_owned())),
            "class" => return parse_class(rest).map(SelectorKind::Class),
            "id" => return parse_id(rest),
            "serial" | "wwn" if rest.is_empty() => {
                let what = if prefix == "serial" { "serial number" } else { "worldwide name" };
                return Err(format!("it needs a {what}").as_str().into());
            }
            "serial" => return Ok(SelectorKind::Serial(rest.to_owned())),
            "wwn" => return Ok(SelectorKind::Wwn(rest.to_owned())),
            "mount" if !rest.starts_with('/') => {
                return Err(Problem::with_hint("it needs a mount point", "a mount point is written mount:/srv"));
            }
            "mount" => return Ok(SelectorKind::Mount(rest.to_owned())),
            _ => {}
        }
    }
    if text.starts_with("/dev/") {
        return Ok(SelectorKind::DeviceNode(text.to_owned()));
    }
    if let Some((class, name)) = text.split_once('/').filter(|(class, name)| is_name(class) && is_name(name)) {
        return Ok(SelectorKind::ClassDevice { class: class.to_owned(), name: name.to_owned() });
    }
    if text.contains('/') {
        return parse_sysfs_path(text);
    }
    if let Some(rest) = text.strip_prefix("pci@") {
        return Ok(parse_address(rest)?);
    }
    if let Some(rest) = text.strip_prefix("pci_") {
        return parse_node_device(rest);
    }
    if is_host_bridge_name(text) {
        return Ok(SelectorKind::HostBridge(text.to_owned()));
    }
    if text.contains([':', '.', '*']) && text.bytes().all(|b| b.is_ascii_hexdigit() || b":.*".contains(&b)) {
        return Ok(parse_address(text)?);
    }
    parse_bare_name(text)
}

/// `DDDD:BB:DD.F` in full or with fields left out or starred, as `lspci -s` takes them.
fn parse_address(text: &str) -> Result<SelectorKind, AddressError> {
    const SHAPE: AddressError = AddressError::new("an address looks like 0000:03:00.0 (domain:bus:device.function)");
    let (front, function) = match text.rsplit_once('.') {
        Some((front, function)) => (front, Some(function)),
        None => (text, None),
    };
    let fields: Vec<&str> = front.split(':').collect();
    let (domain, bus, device) = match fields[..] {
        [device] => (None, None, Some(device)),
        [bus, device] => (None, Some(bus), Some(device)),
        [domain, bus, device] => (Some(domain), Some(bus), Some(device)),
        _ => return Err(SHAPE),
    };
    if let (Some(bus), Some(device), Some(function)) = (bus, device, function) {
        let all = [domain.unwrap_or("0"), bus, device, function];
        if all.iter().all(|field| !field.is_empty() && *field != "*") {
            let address = PciAddress::from_parts(all[0], all[1], all[2], all[3])?;
            return Ok(SelectorKind::Address(AddressParts { domain: domain.map(|_| address.domain), address }));
        }
    }
    Ok(SelectorKind::Pattern(AddressPattern {
        domain: field(domain, 8, u32::MAX, "the domain must be 1 to 8 hexadecimal digits")?,
        bus: field(bus, 2, 0xff, "the bus must be 00 to ff")?.map(|v| v as u8),
        device: field(device, 2, 0x1f, "the device must be 00 to 1f")?.map(|v| v as u8),
        function: field(function, 1, 7, "the function must be 0 to 7")?.map(|v| v as u8),
    }))
}

/// One field of a pattern: absent, empty and `*` all mean "any".
fn field(text: Option<&str>, digits: usize, max: u32, why: &'static str) -> Result<Option<u32>, AddressError> {
    match text {
        None | Some("" | "*") => Ok(None),
        Some(text) => hex(text, digits, max, why).map(Some),
    }
}

/// libvirt's `pci_0000_03_00_0`.
fn parse_node_device(rest: &str) -> Result<SelectorKind, Problem> {
    let fields: Vec<&str> = rest.split('_').collect();
    let [domain, bus, device, function] = fields[..] else {
        return Err("a node device name looks like pci_0000_03_00_0".into());
    };
    let address = PciAddress::from_parts(domain, bus, device, function)?;
    Ok(SelectorKind::Address(AddressParts { domain: Some(address.domain), address }))
}

/// A path into /sys: kept whole, because a class device's path must be followed to its PCI function.
fn parse_sysfs_path(text: &str) -> Result<SelectorKind, Problem> {
    if text.starts_with("/sys/") {
        Ok(SelectorKind::SysfsPath(text.to_owned()))
    } else {
        Err("a path must begin with /sys/ or /dev/".into())
    }
}

/// `pciDDDD:BB`, as host bridges are called below /sys/devices.
pub(crate) fn is_host_bridge_name(text: &str) -> bool {
    text.strip_prefix("pci").and_then(|rest| rest.split_once(':')).is_some_and(|(domain, bus)| {
        (4..=8).contains(&domain.len())
            && bus.len() == 2
            && text[3..].bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
    })
}

fn parse_class(rest: &str) -> Result<ClassPattern, Problem> {
    let lower = rest.to_ascii_lowercase();
    let digits = CLASS_NAMES.iter().find(|(name, _)| *name == lower).map_or(lower.as_str(), |(_, code)| code);
    if !matches!(digits.len(), 2 | 4 | 6) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        let names: Vec<&str> = CLASS_NAMES.iter().map(|(name, _)| *name).collect();
        return Err(Problem::with_hint(
            "not a class",
            format!("a class is 2, 4 or 6 hexadecimal digits (class:0108), or one of {}", names.join(", ")),
        ));
    }
    let code = u32::from_str_radix(digits, 16).map_err(|_| "not a class")?;
    Ok(ClassPattern { code, digits: digits.len() as u8 })
}

fn parse_id(rest: &str) -> Result<SelectorKind, Problem> {
    let problem = || {
        Problem::with_hint(
            "not VENDOR:DEVICE, in four hexadecimal digits each",
            "an id is written id:8086:10d3, or id:8086: for every device of a vendor",
        )
    };
    let (vendor, device) = rest.split_once(':').ok_or_else(problem)?;
    let id = |text: &str| (text.len() == 4).then(|| u16::from_str_radix(text, 16).ok()).flatten();
    let vendor = id(vendor).ok_or_else(problem)?;
    let device = match device {
        "" | "*" => None,
        text => Some(id(text).ok_or_else(problem)?),
    };
    Ok(SelectorKind::Id { vendor, device })
}

/// Whether a device of sysfs can have that name.
fn is_name(text: &str) -> bool {
    text.len() <= 255 && !matches!(text, "" | "." | "..") && !text.contains(['/', ' ', '*'])
}

/// What is left is a device's name, unless it looks like half an address.
fn parse_bare_name(text: &str) -> Result<SelectorKind, Problem> {
    const WANTED: &str = "give an address (0000:03:00.0), a device's node or name (/dev/nvme0n1, eth0, mlx5_0), slot:NAME, driver:NAME, class:CODE or id:VENDOR:DEVICE";
    if text.is_empty() {
        return Err(Problem::with_hint("it is empty", WANTED));
    }
    if text.len() <= 2 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Problem::with_hint(
            format!("{text} alone is never an address"),
            format!("for a device write {text:0>2}:00.0, for a whole bus {text:0>2}:"),
        ));
    }
    // Names with colons are those of buses; whoever means one writes its class before it.
    if !is_name(text) || text.contains(':') {
        return Err(Problem::with_hint("neither an address nor a name", WANTED));
    }
    Ok(SelectorKind::Name(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pci::address::PciAddress;

    fn kind(text: &str) -> SelectorKind {
        text.parse::<Selector>().unwrap().kind
    }

    #[test]
    fn every_pasted_spelling_of_one_address() {
        let wanted: PciAddress = "0000:03:00.0".parse().unwrap();
        for text in ["0000:03:00.0", "00000000:03:00.0", "pci@0000:03:00.0", "pci_0000_03_00_0", "0:3:0.0"] {
            let SelectorKind::Address(parts) = kind(text) else { panic!("{text}") };
            assert_eq!((parts.domain, parts.address), (Some(0), wanted), "{text}");
        }
        let SelectorKind::Address(parts) = kind("03:00.0") else { panic!() };
        assert_eq!((parts.domain, parts.address), (None, wanted));
    }

    #[test]
    fn wildcards_are_patterns() {
        let SelectorKind::Pattern(bus) = kind("03:") else { panic!() };
        assert!(bus.matches("0000:03:1f.7".parse().unwrap()) && !bus.matches("0000:04:00.0".parse().unwrap()));
        let SelectorKind::Pattern(functions) = kind("03:00") else { panic!() };
        assert_eq!((functions.device, functions.function), (Some(0), None));
        assert!(matches!(kind("*"), SelectorKind::Pattern(_)));
        assert!(matches!(kind(".0"), SelectorKind::Pattern(_)));
    }

    #[test]
    fn groups() {
        assert_eq!(kind("driver:nvme"), SelectorKind::Driver("nvme".into()));
        assert_eq!(kind("slot:7-1"), SelectorKind::Slot("7-1".into()));
        assert_eq!(kind("id:8086:10d3"), SelectorKind::Id { vendor: 0x8086, device: Some(0x10d3) });
        let SelectorKind::Class(nvme) = kind("class:NVME") else { panic!() };
        assert!(nvme.matches(0x010802) && !nvme.matches(0x010601));
        assert_eq!(kind("pci10000:e0"), SelectorKind::HostBridge("pci10000:e0".into()));
        assert_eq!(kind("eth0.100"), SelectorKind::Name("eth0.100".into()));
    }

    #[test]
    fn devices_by_what_people_know_of_them() {
        assert_eq!(kind("mlx5_0"), SelectorKind::Name("mlx5_0".into()));
        let bus_like = SelectorKind::ClassDevice { class: "scsi_device".into(), name: "0:0:0:0".into() };
        assert_eq!(kind("scsi_device/0:0:0:0"), bus_like);
        assert_eq!(kind("serial:S4:EV"), SelectorKind::Serial("S4:EV".into()));
        assert_eq!(kind("wwn:0x5000c500"), SelectorKind::Wwn("0x5000c500".into()));
        assert_eq!(kind("mount:/srv/a b"), SelectorKind::Mount("/srv/a b".into()));
        for text in ["serial:", "wwn:", "mount:", "mount:srv", "../x", "x/..", "a/b/c", "net/", "net/a b"] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }

    #[test]
    fn half_an_address_is_refused_with_the_whole_one() {
        let error = Error::from("03".parse::<Selector>().unwrap_err());
        assert!(error.next().unwrap().contains("03:00.0"), "{error}");
        for text in ["", "03:20.0", "03:00.8", "x:y:z", "slot:", "class:1", "id:8086", "0000:00:00:00.0", "a\nb"] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = text.parse::<Selector>();
        }

        #[test]
        fn address_like_text_never_panics(text in "[0-9a-fA-F:.*_@/p]{0,24}") {
            let _ = text.parse::<Selector>();
        }
    }
}
