//! PCI addresses: what they are, how people spell them, how the kernel does.
//!
//! An address names a function by where it answers *now*; bus numbers can change over a rescan, so nothing that must
//! outlive one (a lock, a ledger entry) may be keyed by it: that is what [`Place`](crate::pci::place::Place) is for.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A PCI domain ("segment group"). Firmware stays within 16 bits, Linux does not: VMD and Hyper-V domains are wider
/// (drivers/pci/controller/vmd.c starts at 0x10000).
pub(crate) type Domain = u32;

/// The address of one PCI function, printed as sysfs does (`0000:03:00.0`, `10000:e1:00.0`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PciAddress {
    /// The domain the bus belongs to.
    pub domain: Domain,
    /// The bus number, 0 to 255.
    pub bus: u8,
    /// The device number on the bus, 0 to 31.
    pub device: u8,
    /// The function number of the device, 0 to 7.
    pub function: u8,
}

/// One bus of one domain, printed as the kernel names it in `pci_bus/` (`0000:03`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusNumber {
    /// The domain the bus belongs to.
    pub domain: Domain,
    /// The bus number, 0 to 255.
    pub bus: u8,
}

/// Error for a text that is not a PCI address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(&'static str);

impl AddressError {
    pub(crate) const fn new(why: &'static str) -> Self {
        Self(why)
    }
}

/// The first few of these functions and how many more there are, for messages.
pub(crate) fn listed(addresses: &[PciAddress]) -> String {
    /// More than fit on a line.
    const SHOWN: usize = 6;
    let mut text = addresses.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if addresses.len() > SHOWN {
        text.push_str(&format!(" and {} more", addresses.len() - SHOWN));
    }
    text
}

impl PciAddress {
    /// The bus this function sits on.
    pub(crate) fn bus_number(self) -> BusNumber {
        BusNumber { domain: self.domain, bus: self.bus }
    }

    /// The function's link below `sys`, which exists while the function does.
    pub(crate) fn sysfs_link(self) -> String {
        format!("bus/pci/devices/{self}")
    }

    /// Reads exactly the name sysfs gives a function's directory, and nothing else: a cheap test while walking.
    pub fn from_sysfs_name(name: &str) -> Option<Self> {
        let (domain, rest) = name.as_bytes().split_at_checked(name.len().checked_sub(8)?)?;
        let &[b':', bus_high, bus_low, b':', device_high, device_low, b'.', function] = rest else { return None };
        if !(4..=8).contains(&domain.len()) {
            return None;
        }
        let (device, function) = (digits(&[device_high, device_low])? as u8, digits(&[function])? as u8);
        (device < 0x20 && function < 8).then_some(())?;
        Some(Self { domain: digits(domain)?, bus: digits(&[bus_high, bus_low])? as u8, device, function })
    }

    /// The bytes of its name, and their number.
    fn name(self) -> ([u8; 16], usize) {
        let mut name = [0; 16];
        let domain = (8 - self.domain.leading_zeros() as usize / 4).max(4);
        put_hex(&mut name[..domain], self.domain);
        let rest = &mut name[domain..domain + 8];
        rest[0] = b':';
        put_hex(&mut rest[1..3], self.bus.into());
        rest[3] = b':';
        put_hex(&mut rest[4..6], self.device.into());
        rest[6] = b'.';
        put_hex(&mut rest[7..], self.function.into());
        (name, domain + 8)
    }

    /// Puts an address together from its four hexadecimal fields.
    ///
    /// # Errors
    /// A field that is not hexadecimal or out of its range.
    pub(crate) fn from_parts(domain: &str, bus: &str, device: &str, function: &str) -> Result<Self, AddressError> {
        let address = Self {
            domain: hex(domain, 8, u32::MAX, "the domain must be 1 to 8 hexadecimal digits")?,
            bus: hex(bus, 2, 0xff, "the bus must be 00 to ff")? as u8,
            device: hex(device, 2, 0x1f, "the device must be 00 to 1f")? as u8,
            function: hex(function, 1, 7, "the function must be 0 to 7")? as u8,
        };
        Ok(address)
    }
}

/// A number of at most eight hexadecimal digits.
fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |number, digit| Some(number << 4 | (*digit as char).to_digit(16)?))
}

fn put_hex(text: &mut [u8], number: u32) {
    for (place, digit) in text.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * place) & 0xf) as usize];
    }
}

/// Reads one hexadecimal field of at most `digits` digits and at most `max`; signs and spaces are not digits.
pub(crate) fn hex(text: &str, digits: usize, max: u32, why: &'static str) -> Result<u32, AddressError> {
    if text.is_empty() || text.len() > digits || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(AddressError(why));
    }
    match u32::from_str_radix(text, 16) {
        Ok(value) if value <= max => Ok(value),
        _ => Err(AddressError(why)),
    }
}

/// A full address in any case, with 1 to 8 digits of domain (`0:3:0.0` is understood, as lspci does).
impl FromStr for PciAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        const SHAPE: AddressError = AddressError("an address looks like 0000:03:00.0 (domain:bus:device.function)");
        let (rest, function) = text.rsplit_once('.').ok_or(SHAPE)?;
        let mut fields = rest.split(':');
        match (fields.next(), fields.next(), fields.next(), fields.next()) {
            (Some(domain), Some(bus), Some(device), None) => Self::from_parts(domain, bus, device, function),
            _ => Err(SHAPE),
        }
    }
}

impl FromStr for BusNumber {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        const SHAPE: AddressError = AddressError("a bus looks like 0000:03 (domain:bus)");
        let (domain, bus) = text.split_once(':').ok_or(SHAPE)?;
        Ok(Self {
            domain: hex(domain, 8, u32::MAX, "the domain must be 1 to 8 hexadecimal digits")?,
            bus: hex(bus, 2, 0xff, "the bus must be 00 to ff")? as u8,
        })
    }
}

/// In one piece, which is what most hashing costs.
impl Hash for PciAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let bytes = [0, self.bus, self.device, self.function];
        state.write_u64(u64::from(self.domain) << 32 | u64::from(u32::from_be_bytes(bytes)));
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Printed 65,536 times by a listing, so not through four fields with padding.
        let (name, length) = self.name();
        f.write_str(std::str::from_utf8(&name[..length]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Display for BusNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}", self.domain, self.bus)
    }
}

impl Serialize for PciAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PciAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for BusNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for BusNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_address() -> impl Strategy<Value = PciAddress> {
        (any::<u32>(), any::<u8>(), 0u8..32, 0u8..8).prop_map(|(domain, bus, device, function)| PciAddress {
            domain,
            bus,
            device,
            function,
        })
    }

    #[test]
    fn prints_as_sysfs_does() {
        let plain: PciAddress = "0000:03:00.0".parse().unwrap();
        assert_eq!(plain.to_string(), "0000:03:00.0");
        let vmd: PciAddress = "10000:E1:1F.7".parse().unwrap();
        assert_eq!(vmd.to_string(), "10000:e1:1f.7");
    }

    #[test]
    fn refuses_what_is_not_an_address() {
        for text in ["", "03", "03:00.0", "0000:03:00", "0000:03:20.0", "0000:03:00.8", "0000:100:00.0", "+000:03:00.0"]
        {
            assert!(text.parse::<PciAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn sysfs_names_are_exact() {
        assert!(PciAddress::from_sysfs_name("0000:03:00.0").is_some());
        for text in ["000:03:00.0", "0000:3:00.0", "0000:03:0.0", "0000:03:00.00", "pci0000:00", "0000:00:00.0:pcie001"]
        {
            assert_eq!(PciAddress::from_sysfs_name(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(address in any_address()) {
            prop_assert_eq!(address.to_string().parse::<PciAddress>(), Ok(address));
            prop_assert_eq!(PciAddress::from_sysfs_name(&address.to_string()), Some(address));
        }

        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = text.parse::<PciAddress>();
            let _ = text.parse::<BusNumber>();
            let _ = PciAddress::from_sysfs_name(&text);
        }
    }
}
