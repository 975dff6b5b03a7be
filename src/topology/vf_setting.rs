//! What the physical function's driver is told to keep for a VF, in the words of ip-link(8).
//!
//! These settings are the administrator's: the VF's own driver may not be able to change them, and they are lost with the VF.

use std::fmt;
use std::mem::discriminant;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pci::mac::MacAddress;

/// A setting of a VF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VfValue {
    /// Its MAC; all zeros if it has none from here.
    Mac(MacAddress),
    /// The VLAN that its frames are put into; 0 for none.
    Vlan {
        /// The number.
        id: u16,
        /// The priority.
        qos: u8,
        /// The tag.
        protocol: VlanProtocol,
    },
    /// Whether frames with another MAC are dropped.
    SpoofCheck(bool),
    /// Whether it may do what is kept for administrators, as to be promiscuous.
    Trust(bool),
    /// What it is told of the link.
    LinkState(LinkState),
    /// Limits of what it sends, in Mbit/s; 0 for none.
    Rate {
        /// It is granted so much.
        min: u32,
        /// It gets no more.
        max: u32,
    },
}

/// A kind of VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VlanProtocol {
    /// IEEE 802.1Q.
    Customer,
    /// IEEE 802.1ad.
    Service,
}

/// What a VF is told of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// What the physical function sees.
    Auto,
    /// It is up.
    Enable,
    /// It is down.
    Disable,
}

/// One setting of one VF of a physical function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VfSetting {
    /// N of `virtfnN`.
    pub vf: u32,
    /// The setting.
    pub value: VfValue,
}

impl VfValue {
    /// Whether another one says something of the same.
    pub(crate) fn is_of_kind(&self, other: &Self) -> bool {
        discriminant(self) == discriminant(other)
    }

    /// What it is about.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Mac(_) => "MAC",
            Self::Vlan { .. } => "VLAN",
            Self::SpoofCheck(_) => "spoof check",
            Self::Trust(_) => "trust",
            Self::LinkState(_) => "link state",
            Self::Rate { .. } => "transmit rate",
        }
    }

    /// The value without what it is about.
    pub(crate) fn text(&self) -> String {
        let text = self.to_string();
        match self {
            Self::Rate { .. } => text,
            _ => text.split_once(' ').map_or_else(String::new, |(_, value)| value.to_owned()),
        }
    }

    /// Whether every new VF has it, as far as it is the same with every driver: then it need not be put back. The spoof check
    /// is on for some and off for others.
    pub(crate) fn is_initial(&self) -> bool {
        match self {
            Self::Mac(mac) => mac.is_zero(),
            Self::Vlan { id, qos, .. } => (*id, *qos) == (0, 0),
            Self::SpoofCheck(_) => false,
            Self::Trust(is_trusted) => !is_trusted,
            Self::LinkState(state) => *state == LinkState::Auto,
            Self::Rate { min, max } => (*min, *max) == (0, 0),
        }
    }
}

/// Which of these settings are not so now, each with what is told of it; a MAC that nobody has given is none to be kept.
pub(crate) fn to_change(wanted: &[VfValue], now: &[VfValue]) -> Vec<(VfValue, Option<VfValue>)> {
    let current = |wanted: &VfValue| now.iter().find(|value| value.is_of_kind(wanted)).copied();
    let is_kept = |value: &&VfValue| !matches!(value, VfValue::Mac(mac) if mac.is_zero());
    let pairs = wanted.iter().filter(is_kept).map(|value| (*value, current(value)));
    pairs.filter(|(value, now)| *now != Some(*value)).collect()
}

/// The settings of one VF.
pub(crate) fn of_vf(settings: &[VfSetting], vf: u32) -> Vec<VfValue> {
    settings.iter().filter(|setting| setting.vf == vf).map(|setting| setting.value).collect()
}

impl fmt::Display for VfValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let switch = |on: &bool| if *on { "on" } else { "off" };
        match self {
            Self::Mac(mac) => write!(f, "mac {mac}"),
            Self::Vlan { id, qos, protocol } => write!(f, "vlan {id} qos {qos} proto {}", protocol.name()),
            Self::SpoofCheck(on) => write!(f, "spoofchk {}", switch(on)),
            Self::Trust(on) => write!(f, "trust {}", switch(on)),
            Self::LinkState(state) => write!(f, "state {}", state.name()),
            Self::Rate { min, max } => write!(f, "min_tx_rate {min} max_tx_rate {max}"),
        }
    }
}

impl FromStr for VfValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split(' ').collect();
        let value = match words[..] {
            ["mac", mac] => mac.parse().ok().map(Self::Mac),
            ["vlan", id, "qos", qos, "proto", protocol] => vlan(id, qos, protocol),
            ["spoofchk", on] => switch(on).map(Self::SpoofCheck),
            ["trust", on] => switch(on).map(Self::Trust),
            ["state", state] => LinkState::ALL.into_iter().find(|s| s.name() == state).map(Self::LinkState),
            ["min_tx_rate", min, "max_tx_rate", max] => {
                min.parse().ok().zip(max.parse().ok()).map(|(min, max)| Self::Rate { min, max })
            }
            _ => None,
        };
        value.ok_or_else(|| format!("'{text}' is not a setting of a VF"))
    }
}

fn vlan(id: &str, qos: &str, protocol: &str) -> Option<VfValue> {
    let protocol = VlanProtocol::ALL.into_iter().find(|known| known.name() == protocol)?;
    Some(VfValue::Vlan { id: id.parse().ok()?, qos: qos.parse().ok()?, protocol })
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

impl VlanProtocol {
    pub(crate) const ALL: [Self; 2] = [Self::Customer, Self::Service];

    fn name(self) -> &'static str {
        match self {
            Self::Customer => "802.1Q",
            Self::Service => "802.1ad",
        }
    }
}

impl LinkState {
    pub(crate) const ALL: [Self; 3] = [Self::Auto, Self::Enable, Self::Disable];

    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Enable => "enable",
            Self::Disable => "disable",
        }
    }
}

impl fmt::Display for VfSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vf {} {}", self.vf, self.value)
    }
}

impl FromStr for VfSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.strip_prefix("vf ").and_then(|rest| rest.split_once(' '));
        let parsed = parsed.and_then(|(vf, value)| Some(Self { vf: vf.parse().ok()?, value: value.parse().ok()? }));
        parsed.ok_or_else(|| format!("'{text}' is not a setting of a VF"))
    }
}

impl Serialize for VfValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VfValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for VfSetting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VfSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> VfValue {
        text.parse().unwrap()
    }

    #[test]
    fn settings_are_read_as_they_are_written() {
        for text in [
            "vf 0 mac 02:00:00:00:00:01",
            "vf 63 vlan 4094 qos 7 proto 802.1ad",
            "vf 1 vlan 0 qos 0 proto 802.1Q",
            "vf 1 spoofchk off",
            "vf 1 trust on",
            "vf 1 state disable",
            "vf 1 min_tx_rate 10 max_tx_rate 100",
        ] {
            let setting: VfSetting = text.parse().unwrap();
            assert_eq!(setting.to_string(), text);
            let json = serde_json::to_string(&setting).unwrap();
            assert_eq!(serde_json::from_str::<VfSetting>(&json).unwrap(), setting);
        }
        for text in
            ["", "vf 0", "vf 0 ", "vf x trust on", "vf 0 trust yes", "vf 0 mac 02", "vf 0 trust on off", "trust on"]
        {
            assert!(text.parse::<VfSetting>().is_err(), "{text:?}");
        }
        assert_eq!(
            (value("trust on").text(), value("vlan 5 qos 1 proto 802.1Q").text().as_str()),
            ("on".into(), "5 qos 1 proto 802.1Q")
        );
    }

    #[test]
    fn only_what_differs_is_to_be_changed() {
        let wanted = ["mac 02:00:00:00:00:01", "trust off", "spoofchk off"].map(value);
        let now = ["mac 00:00:00:00:00:00", "trust off"].map(value);
        assert_eq!(to_change(&wanted, &now), [(wanted[0], Some(now[0])), (wanted[2], None)]);
        assert_eq!(to_change(&now, &wanted), [], "nobody had given it a MAC");
    }
}
