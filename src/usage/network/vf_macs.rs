//! The MAC addresses that a physical function keeps for its VFs, as the kernel tells them of its interface.

use std::io;
use std::time::Instant;

use nix::libc;

use crate::host::netlink::{Netlink, Question, Told, attributes, number};
use crate::host::sysfs::Sysfs;
use crate::order;
use crate::usage::network::interfaces;
use crate::usage::network::rtnetlink::{GET_LINK, IFLA_EXT_MASK, Indexed, SKIP_STATS, in_child};
use crate::usage::scope::Scope;

/// A MAC by the index of its VF.
type Macs = Vec<(u32, [u8; MAC])>;

const MAC: usize = 6;

/// The MACs of the VFs of the one physical function of this scope, by their index.
///
/// # Errors
/// Why they cannot be told, in words.
pub(crate) fn read(sysfs: &Sysfs, physical: &Scope, deadline: Instant) -> Result<Vec<(u32, String)>, String> {
    let mut owned = interfaces::owned(sysfs, physical);
    // Those of InfiniBand are others.
    owned.retain(|(_, name)| {
        sysfs.value(&format!("class/net/{name}/addr_len")).is_some_and(|length| length == MAC.to_string())
    });
    let interfaces = interfaces::indexed(sysfs, &owned);
    let own: Vec<Indexed> =
        interfaces.into_iter().filter(|(_, name)| owned.iter().any(|(_, own)| own == name)).collect();
    if own.is_empty() {
        return Err("the physical function has no interface".to_owned());
    }
    let macs = in_child(deadline, &|| ask(&own))?;
    let mut named: Vec<(u32, String)> = macs.into_iter().map(|(index, mac)| (index, text(mac))).collect();
    order::sort(&mut named);
    Ok(named)
}

fn text(mac: [u8; MAC]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Asks one interface after the other, until one knows of VFs: in switchdev mode representors of VFs are interfaces of the
/// physical function, too.
fn ask(interfaces: &[Indexed]) -> io::Result<Macs> {
    let mut asker = Netlink::route()?;
    let mut macs = Macs::new();
    for (index, _) in interfaces {
        let mut head = [0; 16];
        head[4..8].copy_from_slice(&index.to_ne_bytes());
        let question = Question::new(&head).with(IFLA_EXT_MASK, &(FILTER_VF | SKIP_STATS).to_ne_bytes());
        let mut take = |told: Told<'_>| {
            if let Told::Answer(body) = told {
                macs.extend(in_answer(body));
            }
        };
        match asker.get(GET_LINK, &question, &mut take) {
            // It went away meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
            result => result?,
        }
        if !macs.is_empty() {
            break;
        }
    }
    Ok(macs)
}

/// RTEXT_FILTER_VF, and attributes of an answer (uapi/linux/rtnetlink.h, uapi/linux/if_link.h).
const FILTER_VF: u32 = 1;
const IFLA_VFINFO_LIST: u16 = 22;
const IFLA_VF_INFO: u16 = 1;
const IFLA_VF_MAC: u16 = 1;

/// The MACs in a message of ifinfomsg (rtnl_fill_vfinfo, net/core/rtnetlink.c).
fn in_answer(body: &[u8]) -> Macs {
    let list = attributes(body, 16).value(IFLA_VFINFO_LIST).unwrap_or_default();
    let infos = attributes(list, 0).filter(|(kind, _)| *kind == IFLA_VF_INFO);
    infos.filter_map(|(_, info)| mac(attributes(info, 0).value(IFLA_VF_MAC)?)).collect()
}

/// One ifla_vf_mac: the VF's index, then its MAC with room for longer ones.
fn mac(value: &[u8]) -> Option<(u32, [u8; MAC])> {
    Some((number(value)?, value.get(4..4 + MAC)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(index: u32, mac: [u8; MAC]) -> Vec<u8> {
        let value = [&index.to_ne_bytes(), mac.as_slice(), &[0; 26]].concat();
        Question::new(&[]).with(IFLA_VF_MAC, &value).with(2, &[0; 12]).bytes().to_vec()
    }

    #[test]
    fn the_mac_of_each_vf_is_read() {
        let list = Question::new(&[])
            .with(IFLA_VF_INFO | 0x8000, &info(0, [2, 0, 0, 0, 0, 1]))
            .with(IFLA_VF_INFO | 0x8000, &info(1, [2, 0, 0, 0, 0, 0xfe]));
        let answer = Question::new(&[0; 16]).with(3, b"eth0\0").with(IFLA_VFINFO_LIST | 0x8000, list.bytes());
        assert_eq!(in_answer(answer.bytes()), [(0, [2, 0, 0, 0, 0, 1]), (1, [2, 0, 0, 0, 0, 0xfe])]);
        assert_eq!(text([2, 0, 0, 0, 0, 0xfe]), "02:00:00:00:00:fe");
    }

    #[test]
    fn what_is_cut_off_is_none() {
        assert_eq!(mac(&[1, 0, 0, 0, 2, 2, 2]), None);
        assert_eq!(mac(&[]), None);
        assert_eq!(in_answer(&[0; 16]), []);
    }
}
