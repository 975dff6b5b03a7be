//! Bonds and teams: which links remain when those of the functions go.

use std::collections::BTreeSet;

use crate::host::sysfs::{Sysfs, follow};
use crate::pci::address::PciAddress;
use crate::usage::scope::Scope;

const CLASS: &str = "class/net";

/// How an interface stands in a bond or team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// The bond or team.
    bond: String,
    /// How many links it has.
    links: usize,
    /// Those that stay and are up, with their place.
    remaining: Vec<String>,
}

impl Membership {
    /// How `name` stands in `bond`; nothing if that is neither a bond nor a team.
    pub(crate) fn of(sysfs: &Sysfs, scope: &Scope, bond: &str) -> Option<Self> {
        let directory = format!("{CLASS}/{bond}");
        // The uevent of a virtual interface waits for nobody: no driver is ever bound to it.
        let uevent = sysfs.read(&format!("{directory}/uevent")).ok().flatten().unwrap_or_default();
        let is_kind = |line: &str| matches!(line, "DEVTYPE=bond" | "DEVTYPE=team");
        if !uevent.lines().any(is_kind) && !sysfs.exists(&format!("{directory}/bonding")) {
            return None;
        }
        let links = links(sysfs, bond);
        let stays = |name: &&String| !goes(sysfs, scope, name, &mut BTreeSet::new());
        let remaining = links.iter().filter(stays).filter(|name| is_healthy(sysfs, bond, name));
        let remaining = remaining.map(|name| with_place(sysfs, name)).collect();
        Some(Self { bond: bond.to_owned(), links: links.len(), remaining })
    }

    /// Whether it goes on without the links of the functions.
    pub(crate) fn is_redundant(&self) -> bool {
        !self.remaining.is_empty()
    }

    /// In words, as said of a link of it.
    pub(crate) fn words(&self) -> String {
        let Self { bond, links, remaining } = self;
        match remaining.as_slice() {
            [] => format!("leaves {bond} without a link that is up"),
            [only] => format!("is 1 of {links} links of {bond}: {only} stays and is up"),
            [first, rest @ ..] => {
                format!("is 1 of {links} links of {bond}: {first} and {} more stay and are up", rest.len())
            }
        }
    }
}

/// The links of a bond. The file that lists them waits for rtnl_lock (bonding_show_slaves,
/// drivers/net/bonding/bond_sysfs.c), so that it is read in a dump alone.
fn links(sysfs: &Sysfs, bond: &str) -> Vec<String> {
    let mut found = lowers(sysfs, bond);
    let has_master = |name: &String| {
        sysfs.link_name(&format!("{CLASS}/{name}/master")).ok().flatten().is_some_and(|master| master == bond)
    };
    found.extend(sysfs.names(CLASS).ok().flatten().unwrap_or_default().into_iter().filter(has_master));
    if sysfs.is_dump() {
        let list = sysfs.read(&format!("{CLASS}/{bond}/bonding/slaves")).ok().flatten().unwrap_or_default();
        found.extend(list.split_whitespace().map(str::to_owned));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// What an interface stands on.
fn lowers(sysfs: &Sysfs, name: &str) -> Vec<String> {
    let names = sysfs.names(&format!("{CLASS}/{name}")).ok().flatten().unwrap_or_default();
    let mut found: Vec<String> =
        names.iter().filter_map(|name| name.strip_prefix("lower_")).map(str::to_owned).collect();
    found.sort_unstable();
    found
}

fn path(sysfs: &Sysfs, name: &str) -> Option<String> {
    follow(CLASS, &sysfs.link(&format!("{CLASS}/{name}")).ok().flatten()?)
}

/// Whether an interface goes with the functions: it is theirs, or stands on one that is.
fn goes(sysfs: &Sysfs, scope: &Scope, name: &str, seen: &mut BTreeSet<String>) -> bool {
    if !seen.insert(name.to_owned()) {
        return false;
    }
    path(sysfs, name).is_none_or(|path| scope.owner(&path).is_some())
        || lowers(sysfs, name).iter().any(|lower| goes(sysfs, scope, lower, seen))
}

fn with_place(sysfs: &Sysfs, name: &str) -> String {
    let address = path(sysfs, name).and_then(|path| path.rsplit('/').find_map(PciAddress::from_sysfs_name));
    address.map_or_else(|| name.to_owned(), |address| format!("{name} ({address})"))
}

/// Whether a link carries what is sent through its bond. What is not told is not healthy. None of these files is one
/// that waits for rtnl_lock, as `bonding/slaves` does (drivers/net/bonding/bond_sysfs_slave.c, net/core/net-sysfs.c).
fn is_healthy(sysfs: &Sysfs, bond: &str, name: &str) -> bool {
    let text = |path: String| sysfs.read(&path).ok().flatten().map(|text| text.trim().to_owned());
    let of_link = |file: &str| text(format!("{CLASS}/{name}/{file}"));
    let (state, status) = (of_link("operstate"), of_link("bonding_slave/mii_status"));
    let is_up = |said: &String| said == "up";
    if !state.iter().chain(&status).all(is_up) || (state.is_none() && status.is_none()) {
        return false;
    }
    // With LACP, a link in another group than the bond's active one carries nothing.
    match (text(format!("{CLASS}/{bond}/bonding/ad_aggregator")), of_link("bonding_slave/ad_aggregator_id")) {
        (Some(active), Some(id)) => active.is_empty() || id == "N/A" || active == id,
        _ => true,
    }
}
