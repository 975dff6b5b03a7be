//! Interfaces of the functions: what they carry themselves, and what stands on them, in one network namespace.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::host::sysfs::{Sysfs, follow};
use crate::order;
use crate::pci::address::PciAddress;
use crate::usage::model::{Danger, User};
use crate::usage::network::routes::Routes;
use crate::usage::scope::Scope;

/// The session that the operator types in: our address and theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    /// The address on this machine.
    pub(crate) ours: IpAddr,
    /// Where the operator sits.
    pub(crate) theirs: IpAddr,
}

impl Session {
    /// Reads `SSH_CONNECTION`: their address and port, ours and its port.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [theirs, _, ours, _] = words[..] else { return None };
        // A link-local address has its interface behind a `%`.
        let address = |text: &str| text.split('%').next()?.parse().ok();
        Some(Self { ours: address(ours)?, theirs: address(theirs)? })
    }
}

/// One network namespace as it can be seen.
pub(crate) struct View<'a> {
    /// Its interfaces. A sysfs shows those of the namespace that it was mounted in, and no others.
    pub(crate) sysfs: &'a Sysfs,
    /// Its addresses and routes.
    pub(crate) routes: &'a Routes,
    /// A process in it; none for pcictl's own.
    pub(crate) of: Option<&'a str>,
    /// The operator's session, in pcictl's own.
    pub(crate) session: Option<Session>,
}

const CLASS: &str = "class/net";

/// Who uses the interfaces of the functions in this namespace.
pub(crate) fn users(view: &View, scope: &Scope) -> Vec<User> {
    owned(view.sysfs, scope).iter().filter_map(|(address, name)| view.user(*address, name)).collect()
}

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

impl View<'_> {
    /// The one user that stands for all that hangs on an interface; the session and the default route weigh most.
    fn user(&self, address: PciAddress, name: &str) -> Option<User> {
        let mut parts: Vec<String> = Vec::new();
        let mut by = Vec::new();
        let mut management = self.is_management(name);
        let carried = self.routes.carried(name);
        if !carried.is_empty() {
            by.extend(carried.first().cloned());
            parts.push(format!("carries {}", carried.join(", ")));
        }
        if self.is_up(name) {
            let mut uppers = Vec::new();
            for upper in self.above(name) {
                management |= self.is_management(&upper);
                let carried = self.routes.carried(&upper);
                let carries = if carried.is_empty() { String::new() } else { format!(" ({})", carried.join(", ")) };
                uppers.push(format!("{} {upper}{carries}", self.kind(&upper)));
                by.push(upper);
            }
            if !uppers.is_empty() {
                parts.push(format!("is part of {}", uppers.join(", ")));
            }
        }
        if parts.is_empty() && !management {
            return None;
        }
        if self.in_session(name) || self.above(name).iter().any(|upper| self.in_session(upper)) {
            parts.push("carries the session you are typing in".to_owned());
        }
        let kind = if management { Danger::Management } else { Danger::Network };
        let of = self.of.map_or_else(String::new, |of| format!(" in the network namespace of {of}"));
        let description = format!("{name} {}{of}", parts.join(" and "));
        Some(User::new(kind, address, name, by.first().cloned().unwrap_or_else(|| name.to_owned()), description))
    }

    /// Whether the way to this machine goes through it. In other namespaces a default route is only that one's own.
    fn is_management(&self, name: &str) -> bool {
        self.of.is_none() && (self.routes.is_default(name) || self.in_session(name))
    }

    fn in_session(&self, name: &str) -> bool {
        self.session.is_some_and(|session| self.routes.of_session(session.ours, session.theirs).contains(&name))
    }

    fn is_up(&self, name: &str) -> bool {
        const IFF_UP: u32 = 1;
        let flags = self.sysfs.read(&format!("{CLASS}/{name}/flags")).ok().flatten();
        // What cannot be told counts as up: an interface that is used is worse to miss than to name.
        flags.is_none_or(|flags| u32::from_str_radix(flags.trim_start_matches("0x"), 16).is_ok_and(|f| f & IFF_UP != 0))
    }

    /// Everything that stands on an interface: its master (bond, team, bridge, OVS, VRF) and its uppers (VLAN, macvlan
    /// and the like), and all above them.
    fn above(&self, name: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut queue = vec![name.to_owned()];
        while let Some(name) = queue.pop() {
            for upper in self.right_above(&name) {
                if found.insert(upper.clone()) {
                    queue.push(upper);
                }
            }
        }
        found
    }

    fn right_above(&self, name: &str) -> Vec<String> {
        let directory = format!("{CLASS}/{name}");
        let mut found: Vec<String> =
            self.sysfs.link_name(&format!("{directory}/master")).ok().flatten().into_iter().collect();
        let names = self.sysfs.names(&directory).ok().flatten().unwrap_or_default();
        found.extend(names.iter().filter_map(|name| name.strip_prefix("upper_")).map(str::to_owned));
        found
    }

    /// What an upper interface is. The uevent of a virtual interface waits for nobody: no driver is ever bound to it.
    fn kind(&self, name: &str) -> String {
        let text = self.sysfs.read(&format!("{CLASS}/{name}/uevent")).ok().flatten().unwrap_or_default();
        let kind = text.lines().find_map(|line| line.strip_prefix("DEVTYPE=")).map(str::to_owned);
        kind.unwrap_or_else(|| if name == "ovs-system" { "Open vSwitch".to_owned() } else { "interface".to_owned() })
    }
}
