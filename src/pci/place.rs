//! Where a function sits in the device tree, in a spelling that survives bus renumbering.
//!
//! A place is the chain of `device.function` steps from the host bridge down (`pci0000:00/03.0/00.0`). Bus numbers are
//! left out on purpose: a rescan may assign others, while the chain of plugs stays what it is. A virtual function is
//! below its physical function as `vfN` (N as in the kernel's `virtfnN` link): by device.function alone it could be
//! taken for a neighbor, and what covers a PF must cover its VFs. Places name the nodes of the lock protocol.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::order;
use crate::pci::address::PciAddress;

/// A node of the device tree: the root above all host bridges, a host bridge, or a function below one.
///
/// Ordered so that every place comes after all its ancestors; that order is the lock order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place(String);

/// Step by step, so that all that lies below a place follows it without a gap.
impl Ord for Place {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.split('/').cmp(other.0.split('/'))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Place {
    /// The node above all host bridges: what `rescan --all` covers.
    pub fn root() -> Self {
        Self(String::new())
    }

    /// A host bridge below the root or, as with VMD, below a function.
    pub(crate) fn host_bridge(&self, name: &str) -> Self {
        self.child(name)
    }

    /// A function on the bus that this place leads to.
    pub(crate) fn function(&self, address: PciAddress) -> Self {
        self.child(&format!("{:02x}.{:x}", address.device, address.function))
    }

    /// The virtual function that the kernel links as `virtfn{index}` of this physical function.
    ///
    /// Without the index (the VF is just coming or going) the address has to do: still below the PF, which covers it.
    pub(crate) fn virtual_function(&self, index: Option<u32>, address: PciAddress) -> Self {
        match index {
            Some(index) => self.child(&format!("vf{index}")),
            None => self.child(&format!("vf:{:02x}.{:x}", address.device, address.function)),
        }
    }

    fn child(&self, step: &str) -> Self {
        if self.0.is_empty() { Self(step.to_owned()) } else { Self(format!("{}/{step}", self.0)) }
    }

    /// The next place up; `None` for the root.
    pub(crate) fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        Some(self.0.rsplit_once('/').map_or_else(Self::root, |(above, _)| Self(above.to_owned())))
    }

    /// All places above this one, the root first.
    pub fn ancestors(&self) -> Vec<Self> {
        let mut above: Vec<Self> = std::iter::successors(self.parent(), Self::parent).collect();
        above.reverse();
        above
    }

    /// Whether this place is `other` or lies below it.
    pub(crate) fn is_at_or_below(&self, other: &Self) -> bool {
        other.0.is_empty()
            || self.0.strip_prefix(other.0.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The chain as text; empty for the root. Made of hexadecimal digits, lower-case letters, `.`, `:` and `/` only.
    pub fn chain(&self) -> &str {
        &self.0
    }

    /// Reads a chain back, as [`chain`](Self::chain) gave it; `None` for a text that is not one.
    pub fn from_chain(text: &str) -> Option<Self> {
        let step_ok = |step: &str| {
            step.bytes().any(|b| b.is_ascii_alphanumeric())
                && step.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase() || b == b'.' || b == b':')
        };
        (text.is_empty() || text.split('/').all(step_ok)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "all host bridges" } else { &self.0 })
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "root" } else { &self.0 })
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let chain = if text == "root" { "" } else { text.as_str() };
        Self::from_chain(chain).ok_or_else(|| serde::de::Error::custom(format!("invalid place {text:?}")))
    }
}

/// Drops every place that lies below another of the same list, and repeats; the rest is sorted.
pub(crate) fn topmost(mut places: Vec<Place>) -> Vec<Place> {
    order::sort(&mut places);
    let mut kept: Vec<Place> = Vec::new();
    for place in places {
        if !kept.last().is_some_and(|above| place.is_at_or_below(above)) {
            kept.push(place);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(chain: &str) -> Place {
        Place::from_chain(chain).unwrap()
    }

    #[test]
    fn ancestors_run_from_the_root_down() {
        let place = at("pci0000:00/03.0/00.0");
        assert_eq!(place.ancestors(), [Place::root(), at("pci0000:00"), at("pci0000:00/03.0")]);
        assert!(Place::root().ancestors().is_empty());
    }

    #[test]
    fn a_prefix_of_the_name_is_not_yet_an_ancestor() {
        assert!(at("pci0000:00/03.0/00.0").is_at_or_below(&at("pci0000:00/03.0")));
        assert!(!at("pci0000:00/03.00").is_at_or_below(&at("pci0000:00/03.0")));
        assert!(at("pci0000:00").is_at_or_below(&Place::root()));
    }

    #[test]
    fn nested_targets_merge() {
        let merged = topmost(vec![at("p/1.0/2.0"), at("p/1.0"), at("p/1.0:x"), at("p/1.0"), at("q")]);
        assert_eq!(merged, [at("p/1.0"), at("p/1.0:x"), at("q")]);
    }

    #[test]
    fn foreign_text_is_not_a_place() {
        for text in ["/", "a//b", "a/../b", "A", "a b", "a/"] {
            assert_eq!(Place::from_chain(text), None, "{text}");
        }
    }
}
