//! Interfaces of the functions: what they carry themselves, and what stands on them, in one network namespace.

use std::collections::BTreeSet;

use crate::host::sysfs::{Sysfs, follow};
use crate::order;
use crate::pci::address::PciAddress;
use crate::usage::model::{Danger, User};
use crate::usage::network::bonds::Membership;
use crate::usage::network::carried::{Carried, Facts};
use crate::usage::network::packets::{self, Listener};
use crate::usage::network::rtnetlink::Indexed;
use crate::usage::scope::Scope;

/// One network namespace as it can be seen.
pub(crate) struct View<'a> {
    /// Its interfaces. A sysfs shows those of the namespace that it was mounted in, and no others.
    pub(crate) sysfs: &'a Sysfs,
    /// The functions.
    pub(crate) scope: &'a Scope,
    /// What its interfaces carry.
    pub(crate) facts: &'a Facts,
    /// A process in it; none for pcictl's own.
    pub(crate) of: Option<&'a str>,
}

const CLASS: &str = "class/net";

/// The interfaces of the functions in the namespace of this sysfs, in order.
pub(crate) fn owned(sysfs: &Sysfs, scope: &Scope) -> Vec<(PciAddress, String)> {
    let names = sysfs.names(CLASS).ok().flatten().unwrap_or_default();
    let owner = |name: &String| {
        let target = sysfs.link(&format!("{CLASS}/{name}")).ok().flatten()?;
        Some((scope.owner(&follow(CLASS, &target)?)?, name.clone()))
    };
    let mut owned: Vec<(PciAddress, String)> = names.iter().filter_map(owner).collect();
    order::sort(&mut owned);
    owned
}

/// These interfaces and all that stands on them, with their indices. One without an index went away meanwhile.
pub(crate) fn indexed(sysfs: &Sysfs, owned: &[(PciAddress, String)]) -> Vec<Indexed> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for (_, name) in owned {
        names.extend(above(sysfs, name));
        names.insert(name.clone());
    }
    names.into_iter().filter_map(|name| Some((index(sysfs, &name)?, name))).collect()
}

fn index(sysfs: &Sysfs, name: &str) -> Option<u32> {
    sysfs.read(&format!("{CLASS}/{name}/ifindex")).ok().flatten()?.trim().parse().ok()
}

/// The packet sockets of a table that are bound to one of these interfaces, and how many are bound to all of them.
pub(crate) fn listeners(
    sysfs: &Sysfs,
    owned: &[(PciAddress, String)],
    table: &str,
    of: Option<&str>,
) -> (Vec<Listener>, usize) {
    let sockets = packets::sockets(table);
    let everywhere = sockets.iter().filter(|(index, _)| *index == 0).count();
    let of = in_namespace(of);
    let mut found = Vec::new();
    // Nobody's index is asked for that nobody listens on.
    if sockets.len() > everywhere {
        for (address, interface) in owned {
            let Some(own) = index(sysfs, interface) else { continue };
            let listener = |inode| Listener { address: *address, interface: interface.clone(), inode, of: of.clone() };
            found.extend(sockets.iter().filter(|(index, _)| *index == own).map(|(_, inode)| listener(*inode)));
        }
    }
    (found, everywhere)
}

fn in_namespace(of: Option<&str>) -> String {
    of.map_or_else(String::new, |of| format!(" in the network namespace of {of}"))
}

impl View<'_> {
    /// Who uses these interfaces, apart from processes.
    pub(crate) fn users(&self, owned: &[(PciAddress, String)]) -> Vec<User> {
        owned.iter().filter_map(|(address, name)| self.user(*address, name)).collect()
    }

    /// The one user that stands for all that hangs on an interface; the session and the default route weigh most.
    fn user(&self, address: PciAddress, name: &str) -> Option<User> {
        let mut parts: Vec<String> = Vec::new();
        let mut by = Vec::new();
        let carried = self.carried(name);
        if !carried.is_empty() {
            by.extend(carried.first().cloned());
            parts.push(format!("carries {}", carried.join(", ")));
        }
        let flags = self.flags(name);
        let uppers = if flags & UP != 0 { above(self.sysfs, name) } else { BTreeSet::new() };
        if flags & (UP | PROMISCUOUS) == UP | PROMISCUOUS && uppers.is_empty() {
            parts.push("is promiscuous: something listens".to_owned());
            by.push("promiscuous".to_owned());
        }
        for program in self.facts.of(name).into_iter().flat_map(|carried| &carried.programs) {
            parts.push(format!("runs XDP program {program}"));
            by.push(format!("XDP program {program}"));
        }
        let has_own = !parts.is_empty() || self.is_management(name);
        let mut redundant = false;
        if !uppers.is_empty() {
            parts.push(format!("is part of {}", self.in_words(&uppers)));
            by.extend(uppers.iter().cloned());
            if let [bond] = right_above(self.sysfs, name).as_slice() {
                let membership = Membership::of(self.sysfs, self.scope, bond);
                redundant = !has_own && membership.as_ref().is_some_and(Membership::is_redundant);
                parts.extend(membership.map(|membership| membership.words()));
            }
        }
        let management = self.is_management(name) || uppers.iter().any(|upper| self.is_management(upper));
        if parts.is_empty() && !management {
            return None;
        }
        if self.in_session(name) || uppers.iter().any(|upper| self.in_session(upper)) {
            parts.push("carries the session you are typing in".to_owned());
        }
        let kind = match (redundant, management) {
            (true, _) => Danger::Redundant,
            (false, true) => Danger::Management,
            (false, false) => Danger::Network,
        };
        let description = format!("{name} {}{}", parts.join(" and "), in_namespace(self.of));
        Some(User::new(kind, address, name, by.first().cloned().unwrap_or_else(|| name.to_owned()), description))
    }

    fn carried(&self, name: &str) -> Vec<String> {
        self.facts.of(name).map(Carried::words).unwrap_or_default()
    }

    /// Interfaces, each with its kind and what it carries.
    fn in_words(&self, uppers: &BTreeSet<String>) -> String {
        let word = |upper: &String| {
            let carried = self.carried(upper);
            let carries = if carried.is_empty() { String::new() } else { format!(" ({})", carried.join(", ")) };
            format!("{} {upper}{carries}", self.kind(upper))
        };
        uppers.iter().map(word).collect::<Vec<String>>().join(", ")
    }

    /// Whether the way to this machine goes through it. In other namespaces a default route is only that one's own.
    fn is_management(&self, name: &str) -> bool {
        self.of.is_none() && (self.facts.of(name).is_some_and(Carried::is_default) || self.in_session(name))
    }

    fn in_session(&self, name: &str) -> bool {
        self.facts.in_session.contains(name)
    }

    /// Whether an interface is up.
    pub(crate) fn is_up(&self, name: &str) -> bool {
        self.flags(name) & UP != 0
    }

    /// The flags of the interface itself. What cannot be told counts as up: an interface that is used is worse to miss
    /// than to name. Unlike what ip(8) shows, IFF_PROMISC is here whoever has set it (format_flags, net/core/net-sysfs.c).
    fn flags(&self, name: &str) -> u32 {
        let flags = self.sysfs.read(&format!("{CLASS}/{name}/flags")).ok().flatten();
        flags.map_or(UP, |flags| u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap_or(0))
    }

    /// What an upper interface is. The uevent of a virtual interface waits for nobody: no driver is ever bound to it.
    fn kind(&self, name: &str) -> String {
        let text = self.sysfs.read(&format!("{CLASS}/{name}/uevent")).ok().flatten().unwrap_or_default();
        let kind = text.lines().find_map(|line| line.strip_prefix("DEVTYPE=")).map(str::to_owned);
        kind.unwrap_or_else(|| if name == "ovs-system" { "Open vSwitch".to_owned() } else { "interface".to_owned() })
    }
}

/// IFF_UP and IFF_PROMISC (uapi/linux/if.h).
const UP: u32 = 0x1;

const PROMISCUOUS: u32 = 0x100;

/// Everything that stands on an interface: its master (bond, team, bridge, OVS, VRF) and its uppers (VLAN, macvlan and
/// the like), and all above them.
fn above(sysfs: &Sysfs, name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut queue = vec![name.to_owned()];
    while let Some(name) = queue.pop() {
        for upper in right_above(sysfs, &name) {
            if found.insert(upper.clone()) {
                queue.push(upper);
            }
        }
    }
    found
}

fn right_above(sysfs: &Sysfs, name: &str) -> Vec<String> {
    let directory = format!("{CLASS}/{name}");
    let mut found: Vec<String> = sysfs.link_name(&format!("{directory}/master")).ok().flatten().into_iter().collect();
    let names = sysfs.names(&directory).ok().flatten().unwrap_or_default();
    found.extend(names.iter().filter_map(|name| name.strip_prefix("upper_")).map(str::to_owned));
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether the functions have or can have interfaces, in whatever namespace: a device with interfaces has a directory
/// `net` even where they are in another (get_device_parent, drivers/base/core.c). USB and Thunderbolt controllers and the
/// like can get some at any time, so that only a function without a driver has none for sure.
pub(crate) fn may_exist(sysfs: &Sysfs, scope: &Scope) -> bool {
    let has = |path: &str| sysfs.exists(&format!("{path}/net"));
    let is_bus = |name: &str| ["usb", "domain", "fw", "mhi", "wwan"].iter().any(|bus| is_numbered(name, bus));
    let may_have = |path: &str| {
        let names = sysfs.names(path).ok().flatten().unwrap_or_default();
        names.iter().any(|name| name == "net" || is_bus(name))
            // Devices in between: those of virtio, and the auxiliary ones of drivers in several parts.
            || names.iter().any(|name| (is_numbered(name, "virtio") || is_auxiliary(name)) && has(&format!("{path}/{name}")))
    };
    scope.iter().any(|(_, function)| function.driver.is_some() && may_have(&function.path))
}

fn is_numbered(name: &str, start: &str) -> bool {
    name.strip_prefix(start).is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// `mlx5_core.sf.4`, and no function.
fn is_auxiliary(name: &str) -> bool {
    name.contains('.') && PciAddress::from_sysfs_name(name).is_none()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::topology::fields::Fields;
    use crate::topology::model::Topology;

    #[test]
    fn what_has_no_interface_in_any_namespace_is_told_by_its_directories() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str| fs::create_dir_all(root.path().join(path)).unwrap();
        make("sys/bus/pci/devices");
        make("sys/bus/pci/drivers/some");
        // A balloon, a card, a virtio card, one with a function of several parts, a USB controller, one without driver.
        let all = [
            ("0000:00:01.0", "virtio0", false),
            ("0000:00:02.0", "net", true),
            ("0000:00:03.0", "virtio1/net", true),
            ("0000:00:04.0", "mlx5_core.sf.4/net", true),
            ("0000:00:05.0", "usb1", true),
            ("0000:00:06.0", "net", false),
        ];
        for (address, part, _) in all {
            make(&format!("sys/devices/pci0000:00/{address}/{part}"));
            let device = root.path().join(format!("sys/devices/pci0000:00/{address}"));
            let link = root.path().join(format!("sys/bus/pci/devices/{address}"));
            symlink(format!("../../../devices/pci0000:00/{address}"), link).unwrap();
            if address != "0000:00:06.0" {
                symlink("../../../bus/pci/drivers/some", device.join("driver")).unwrap();
            }
        }
        let sysfs = Sysfs::open(Some(root.path())).unwrap();
        let topology = Topology::load_all(&sysfs, Fields::ALL).unwrap();
        for (address, part, expected) in all {
            let scope = Scope::of(&topology, topology.find(address.parse().unwrap()));
            assert_eq!(may_exist(&sysfs, &scope), expected, "{address} {part}");
        }
    }
}
