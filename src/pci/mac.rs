//! Hardware addresses of network interfaces, as six bytes in hexadecimal.

use std::fmt;
use std::str::FromStr;

/// The address of an Ethernet interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MacAddress(pub [u8; MacAddress::LENGTH]);

impl MacAddress {
    /// Bytes of an address. InfiniBand has longer ones.
    pub(crate) const LENGTH: usize = 6;

    /// Whether it is all zeros, which stands for none.
    pub(crate) fn is_zero(self) -> bool {
        self.0 == [0; Self::LENGTH]
    }

    /// Whether an interface can have it: that of one receiver, and not none (is_valid_ether_addr in
    /// include/linux/etherdevice.h).
    pub(crate) fn is_unicast(self) -> bool {
        !self.is_zero() && self.0[0] & 1 == 0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map(|byte| format!("{byte:02x}")).join(":"))
    }
}

impl FromStr for MacAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let byte = |text: &str| {
            let is_byte = text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_byte.then(|| u8::from_str_radix(text, 16).ok()).flatten()
        };
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| format!("'{text}' is not a MAC address (02:00:00:00:00:01)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_bytes_of_two_digits_are_an_address() {
        let mac: MacAddress = "02:00:5E:10:00:fe".parse().unwrap();
        assert_eq!(mac.to_string(), "02:00:5e:10:00:fe");
        for text in [
            "",
            "02",
            "02:00:00:00:00",
            "02:00:00:00:00:01:02",
            "2:0:0:0:0:1",
            "02-00-00-00-00-01",
            "+2:00:00:00:00:01",
        ] {
            assert!(text.parse::<MacAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn groups_and_none_are_no_interface() {
        let is_unicast = |text: &str| text.parse::<MacAddress>().unwrap().is_unicast();
        assert!(is_unicast("02:00:00:00:00:01"));
        for text in ["00:00:00:00:00:00", "01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff"] {
            assert!(!is_unicast(text), "{text}");
        }
    }
}
