//! The settings that a physical function keeps for its VFs, at its network interface: asked of the kernel by rtnetlink.
//!
//! The kernel waits for rtnl_lock there, which a driver that hangs can hold for ever, so whoever only looks has a child ask.
//! An interface in another network namespace is not seen. A dumped tree may have the answer in a file, a setting a line.

use std::io;

use nix::libc;

use crate::host::child::Limits;
use crate::host::netlink::{
    Attributes, GET_LINK, IFLA_EXT_MASK, Netlink, Question, SKIP_STATS, Told, attributes, number,
};
use crate::host::patience::in_child;
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::pci::mac::MacAddress;
use crate::topology::vf_setting::{LinkState, VfSetting, VfValue, VlanProtocol};

/// An interface of a physical function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PhysicalInterface {
    index: u32,
    name: String,
}

/// The interfaces that a function has for itself in the network namespace that this sysfs was mounted in. In switchdev mode
/// representors of VFs are among them. `directory` is the function's own, below `sys`. Those of InfiniBand are left out.
pub(crate) fn interfaces(sysfs: &Sysfs, directory: &str) -> Vec<PhysicalInterface> {
    let interface = |name: String| {
        let index = sysfs.value(&format!("{directory}/net/{name}/ifindex"))?.parse().ok()?;
        Some(PhysicalInterface { index, name })
    };
    ethernet(sysfs, directory).filter_map(interface).collect()
}

/// Whether a function has such an interface.
pub(crate) fn has_interface(sysfs: &Sysfs, directory: &str) -> bool {
    ethernet(sysfs, directory).next().is_some()
}

fn ethernet(sysfs: &Sysfs, directory: &str) -> impl Iterator<Item = String> {
    let net = format!("{directory}/net");
    // Dumped trees may lack the file.
    let is_ethernet = move |name: &String| {
        sysfs.value(&format!("{net}/{name}/addr_len")).is_none_or(|length| length == MacAddress::LENGTH.to_string())
    };
    sysfs.listed(&format!("{directory}/net")).into_iter().filter(is_ethernet)
}

/// The settings of the VFs of a physical function, in the order of these.
///
/// # Errors
/// Why they cannot be told, in words.
pub(crate) fn read(sysfs: &Sysfs, physical: PciAddress, limits: Limits) -> Result<Vec<VfSetting>, String> {
    if sysfs.is_dump() {
        return in_dump(sysfs, physical).ok_or_else(|| "the dumped tree does not tell".to_owned());
    }
    let interfaces = interfaces(sysfs, &physical.sysfs_link());
    if interfaces.is_empty() {
        return Err("the physical function has no network interface here".to_owned());
    }
    let told = in_child(limits, &|| {
        let found = find(&mut Netlink::route()?, &interfaces, physical)?;
        Ok(found.map(|(_, settings)| settings).unwrap_or_default())
    })?;
    Ok(told)
}

/// Where a tree has the answer.
pub(crate) fn file_in_dump(physical: PciAddress) -> String {
    format!("rtnetlink/vfs/{physical}")
}

fn in_dump(sysfs: &Sysfs, physical: PciAddress) -> Option<Vec<VfSetting>> {
    /// So many VFs no function has.
    const MOST: usize = 1 << 20;
    let text = sysfs.files().text(&file_in_dump(physical), MOST).ok()??;
    Some(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Asks one interface after the other until one knows of VFs; gives its index and what it tells. It may wait for ever.
///
/// # Errors
/// The kernel says no.
pub(crate) fn find(
    asker: &mut Netlink,
    interfaces: &[PhysicalInterface],
    physical: PciAddress,
) -> io::Result<Option<(u32, Vec<VfSetting>)>> {
    for interface in interfaces {
        let mut head = [0; 16];
        head[4..8].copy_from_slice(&interface.index.to_ne_bytes());
        let question = Question::new(&head).with(IFLA_EXT_MASK, &(FILTER_VF | SKIP_STATS).to_ne_bytes());
        let mut settings = Vec::new();
        let mut take = |told: Told<'_>| match told {
            Told::Answer(body) if is_about(body, interface, physical) => settings.extend(in_answer(body)),
            _ => {}
        };
        match asker.get(GET_LINK, &question, &mut take) {
            // It went away meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
            result => result?,
        }
        if !settings.is_empty() {
            return Ok(Some((interface.index, settings)));
        }
    }
    Ok(None)
}

/// Whether an answer is about that interface, and not about one of another network namespace with the same index: this
/// process may have left the one that its /sys is of. The kernel names the device since 5.14.
fn is_about(body: &[u8], interface: &PhysicalInterface, physical: PciAddress) -> bool {
    const IFLA_IFNAME: u16 = 3;
    const IFLA_PARENT_DEV_NAME: u16 = 56;
    let all = attributes(body, 16);
    let is =
        |kind: u16, name: &str| all.value(kind).map(|told| told.strip_suffix(&[0]).unwrap_or(told) == name.as_bytes());
    is(IFLA_IFNAME, &interface.name) == Some(true) && is(IFLA_PARENT_DEV_NAME, &physical.to_string()) != Some(false)
}

/// RTEXT_FILTER_VF, and attributes (uapi/linux/rtnetlink.h, uapi/linux/if_link.h).
const FILTER_VF: u32 = 1;
const IFLA_VFINFO_LIST: u16 = 22;
const IFLA_VF_INFO: u16 = 1;
const IFLA_VF_MAC: u16 = 1;
const IFLA_VF_VLAN: u16 = 2;
const IFLA_VF_SPOOFCHK: u16 = 4;
const IFLA_VF_LINK_STATE: u16 = 5;
const IFLA_VF_RATE: u16 = 6;
const IFLA_VF_TRUST: u16 = 9;
const IFLA_VF_VLAN_LIST: u16 = 12;
const IFLA_VF_VLAN_INFO: u16 = 1;

/// ETH_P_8021AD (uapi/linux/if_ether.h), as it is sent.
const SERVICE: [u8; 2] = [0x88, 0xa8];

/// The settings in a message of ifinfomsg (rtnl_fill_vfinfo, net/core/rtnetlink.c).
pub(crate) fn in_answer(body: &[u8]) -> Vec<VfSetting> {
    let list = attributes(body, 16).value(IFLA_VFINFO_LIST).unwrap_or_default();
    let infos = attributes(list, 0).filter(|(kind, _)| *kind == IFLA_VF_INFO);
    infos.flat_map(|(_, info)| of_one(&attributes(info, 0))).collect()
}

/// What is told of one VF; each structure begins with its index.
fn of_one(info: &Attributes<'_>) -> Vec<VfSetting> {
    let Some(vf) = info.value(IFLA_VF_MAC).and_then(number) else { return Vec::new() };
    let word = |kind: u16, at: usize| info.value(kind)?.get(at..).and_then(number);
    let values = [
        info.value(IFLA_VF_MAC).and_then(mac).map(VfValue::Mac),
        vlan(info),
        word(IFLA_VF_SPOOFCHK, 4).and_then(switch).map(VfValue::SpoofCheck),
        word(IFLA_VF_TRUST, 4).and_then(switch).map(VfValue::Trust),
        word(IFLA_VF_LINK_STATE, 4)
            .and_then(|state| LinkState::ALL.get(state as usize).copied())
            .map(VfValue::LinkState),
        word(IFLA_VF_RATE, 4).zip(word(IFLA_VF_RATE, 8)).map(|(min, max)| VfValue::Rate { min, max }),
    ];
    values.into_iter().flatten().map(|value| VfSetting { vf, value }).collect()
}

/// Room for longer ones follows it.
fn mac(value: &[u8]) -> Option<MacAddress> {
    Some(MacAddress(value.get(4..4 + MacAddress::LENGTH)?.try_into().ok()?))
}

/// The first of a list of at most one (MAX_VLAN_LIST_LEN); before it had lists, the kernel knew one kind of tag.
fn vlan(info: &Attributes<'_>) -> Option<VfValue> {
    let listed = info.value(IFLA_VF_VLAN_LIST).and_then(|list| attributes(list, 0).value(IFLA_VF_VLAN_INFO));
    let told = listed.or_else(|| info.value(IFLA_VF_VLAN))?;
    let (id, qos) = (number(told.get(4..)?)?, number(told.get(8..)?)?);
    let protocol = match listed.and_then(|told| told.get(12..14)) {
        Some(tag) if *tag == SERVICE => VlanProtocol::Service,
        _ => VlanProtocol::Customer,
    };
    Some(VfValue::Vlan { id: u16::try_from(id).ok()?, qos: u8::try_from(qos).ok()?, protocol })
}

/// All ones stand for a driver that does not say.
fn switch(word: u32) -> Option<bool> {
    match word {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// The body of a message that has an interface set something of a VF (do_setvfinfo, net/core/rtnetlink.c).
pub(crate) fn to_set(interface: u32, setting: VfSetting) -> Question {
    let mut head = [0; 16];
    head[4..8].copy_from_slice(&interface.to_ne_bytes());
    let words =
        |words: &[u32]| -> Vec<u8> { [setting.vf].iter().chain(words).flat_map(|word| word.to_ne_bytes()).collect() };
    let (kind, value) = match setting.value {
        VfValue::Mac(mac) => (IFLA_VF_MAC, [&setting.vf.to_ne_bytes(), mac.0.as_slice(), &[0; 26]].concat()),
        VfValue::Vlan { id, qos, protocol: VlanProtocol::Customer } => (IFLA_VF_VLAN, words(&[id.into(), qos.into()])),
        VfValue::Vlan { id, qos, protocol: VlanProtocol::Service } => {
            let vlan = [words(&[id.into(), qos.into()]).as_slice(), &SERVICE, &[0; 2]].concat();
            (IFLA_VF_VLAN_LIST, Question::new(&[]).with(IFLA_VF_VLAN_INFO, &vlan).bytes().to_vec())
        }
        VfValue::SpoofCheck(on) => (IFLA_VF_SPOOFCHK, words(&[on.into()])),
        VfValue::Trust(on) => (IFLA_VF_TRUST, words(&[on.into()])),
        VfValue::LinkState(state) => {
            let number = LinkState::ALL.iter().position(|known| *known == state).unwrap_or_default();
            (IFLA_VF_LINK_STATE, words(&[number as u32]))
        }
        VfValue::Rate { min, max } => (IFLA_VF_RATE, words(&[min, max])),
    };
    let info = Question::new(&[]).with(kind, &value);
    let list = Question::new(&[]).with(IFLA_VF_INFO, info.bytes());
    Question::new(&head).with(IFLA_VFINFO_LIST, list.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::netlink::SET_LINK;

    fn setting(text: &str) -> VfSetting {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_sent_is_what_is_told() {
        for text in [
            "vf 3 mac 02:00:00:00:00:fe",
            "vf 0 vlan 4094 qos 7 proto 802.1Q",
            "vf 3 vlan 5 qos 0 proto 802.1ad",
            "vf 3 spoofchk off",
            "vf 3 trust on",
            "vf 3 state disable",
            "vf 3 min_tx_rate 10 max_tx_rate 100",
        ] {
            let setting = setting(text);
            let message = to_set(7, setting);
            assert_eq!(number(&message.bytes()[4..]), Some(7));
            let list = attributes(message.bytes(), 16).value(IFLA_VFINFO_LIST).unwrap();
            let info = attributes(list, 0).value(IFLA_VF_INFO).unwrap();
            // The kernel tells the MAC of every VF.
            let mac = [setting.vf.to_ne_bytes().as_slice(), &[2, 0, 0, 0, 0, 0xfe], &[0; 26]].concat();
            let told = [info, Question::new(&[]).with(IFLA_VF_MAC, &mac).bytes()].concat();
            assert!(of_one(&attributes(&told, 0)).contains(&setting), "{text}");
        }
    }

    /// The loopback interface has no VFs: the kernel takes the message apart, and finds nobody who could do it.
    #[test]
    fn the_kernel_of_this_machine_understands_it() {
        for text in [
            "vf 0 mac 02:00:00:00:00:fe",
            "vf 0 vlan 5 qos 0 proto 802.1Q",
            "vf 0 vlan 5 qos 0 proto 802.1ad",
            "vf 0 spoofchk off",
            "vf 0 trust on",
            "vf 0 state disable",
            "vf 0 min_tx_rate 10 max_tx_rate 100",
        ] {
            let loopback = to_set(1, setting(text));
            let error = Netlink::route().unwrap().change(SET_LINK, &loopback).unwrap_err();
            let answers = [libc::EOPNOTSUPP, libc::EPERM];
            assert!(answers.contains(&error.raw_os_error().unwrap()), "{text}: {error}");
        }
    }

    #[test]
    fn each_vf_is_told_and_what_a_driver_does_not_say_is_left_out() {
        let info = |vf: u32, last: u8| {
            let mac = [vf.to_ne_bytes().as_slice(), &[2, 0, 0, 0, 0, last], &[0; 26]].concat();
            let trust = [vf.to_ne_bytes(), u32::MAX.to_ne_bytes()].concat();
            Question::new(&[]).with(IFLA_VF_MAC, &mac).with(IFLA_VF_TRUST, &trust)
        };
        let list = Question::new(&[])
            .with(IFLA_VF_INFO | 0x8000, info(0, 1).bytes())
            .with(IFLA_VF_INFO | 0x8000, info(1, 0xfe).bytes());
        let answer = Question::new(&[0; 16]).with(3, b"eth0\0").with(IFLA_VFINFO_LIST | 0x8000, list.bytes());
        let told = ["vf 0 mac 02:00:00:00:00:01", "vf 1 mac 02:00:00:00:00:fe"].map(setting);
        assert_eq!(in_answer(answer.bytes()), told);
    }

    #[test]
    fn an_answer_about_another_interface_is_none() {
        let interface = PhysicalInterface { index: 2, name: "eth0".into() };
        let physical = "0000:01:00.0".parse().unwrap();
        let is_about = |name: &[u8], parent: Option<&[u8]>| {
            let answer = Question::new(&[0; 16]).with(3, name);
            let answer = match parent {
                Some(parent) => answer.with(56, parent),
                None => answer,
            };
            super::is_about(answer.bytes(), &interface, physical)
        };
        assert!(is_about(b"eth0\0", None) && is_about(b"eth0\0", Some(b"0000:01:00.0\0")));
        assert!(!is_about(b"eth1\0", None) && !is_about(b"eth0\0", Some(b"0000:02:00.0\0")));
    }

    #[test]
    fn what_is_cut_off_is_none() {
        assert_eq!(mac(&[1, 0, 0, 0, 2, 2, 2]), None);
        assert_eq!(mac(&[]), None);
        assert_eq!(in_answer(&[0; 16]), []);
    }
}
