//! Addresses and routes of one network namespace, from the files of /proc/net: in a dump, and where netlink does not answer.
//!
//! These files are read under RCU, so nobody waits for them. They do NOT tell all: of an IPv4 route with several next hops
//! they have the first one, and no IPv4 table but main (fib_route_seq_show, net/ipv4/fib_trie.c).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use procfs_core::FromBufRead;
use procfs_core::net::RouteEntries;

use crate::order;
use crate::usage::network::carried::{Facts, MAIN_TABLE, Session};

/// A route to a network through an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The interface.
    pub(crate) interface: String,
    /// The network.
    pub(crate) network: IpAddr,
    /// How many bits of it count.
    pub(crate) length: u8,
    /// Through a gateway, so the network is not on the wire itself.
    pub(crate) gateway: bool,
}

/// What a namespace knows of addresses and routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Routes {
    routes: Vec<Route>,
    /// IPv6 addresses with their interface, those of the link alone left out.
    addresses6: Vec<(String, Ipv6Addr)>,
    /// This machine's IPv4 addresses. The kernel does not say here on which interface.
    addresses4: Vec<Ipv4Addr>,
}

/// RTF_UP, RTF_GATEWAY, RTF_REJECT and RTF_LOCAL (uapi/linux/route.h, ipv6_route.h).
const UP: u32 = 0x1;

const GATEWAY: u32 = 0x2;

const REJECT: u32 = 0x200;

const LOCAL: u32 = 0x8000_0000;

impl Routes {
    /// Reads the files; `text` gives one by its name below /proc/net.
    ///
    /// # Errors
    /// A file cannot be read or understood.
    pub(crate) fn read(text: &dyn Fn(&str) -> std::io::Result<Option<String>>) -> Result<Self, String> {
        let file = |name: &str| text(name).map_err(|e| format!("/proc/net/{name}: {}", crate::error::plain(&e)));
        let mut routes = Self::default();
        if let Some(table) = file("route")? {
            let entries = RouteEntries::from_buf_read(table.as_bytes());
            let entries = entries.map_err(|_| "/proc/net/route: cannot be understood".to_owned())?;
            routes.routes = entries.0.into_iter().filter_map(route4).collect();
        }
        if let Some(table) = file("ipv6_route")? {
            routes.routes.extend(table.lines().filter_map(route6));
        }
        if let Some(table) = file("if_inet6")? {
            routes.addresses6 = table.lines().filter_map(address6).collect();
        }
        if let Some(trie) = file("fib_trie")? {
            routes.addresses4 = local4(&trie);
        }
        Ok(routes)
    }

    /// What each interface carries, and where the session goes through.
    pub(crate) fn facts(&self, session: Option<Session>) -> Facts {
        let mut facts = Facts::default();
        for (name, address) in &self.addresses6 {
            facts.of_mut(name).addresses.push(IpAddr::V6(*address));
        }
        for address in self.addresses4.iter().map(|address| IpAddr::V4(*address)) {
            if let Some(name) = self.wire(address) {
                facts.of_mut(name).addresses.push(address);
            }
        }
        for Route { interface, network, length, .. } in &self.routes {
            facts.of_mut(interface).add_route(*network, *length, MAIN_TABLE);
        }
        if let Some(Session { ours, theirs }) = session {
            facts.in_session = self.of_session(ours, theirs).into_iter().map(str::to_owned).collect();
        }
        facts
    }

    /// The interface on whose own network an address lies.
    fn wire(&self, address: IpAddr) -> Option<&str> {
        let routes = self.routes.iter().filter(|route| !route.gateway && route.length > 0 && contains(route, address));
        routes.max_by_key(|route| route.length).map(|route| route.interface.as_str())
    }

    /// The interfaces that a session between these addresses goes through: where ours lives, and where answers leave.
    fn of_session(&self, ours: IpAddr, theirs: IpAddr) -> Vec<&str> {
        let mut found: Vec<&str> = self.wire(ours).into_iter().collect();
        if let IpAddr::V6(ours) = ours {
            found.extend(self.addresses6.iter().filter(|(_, address)| *address == ours).map(|(name, _)| name.as_str()));
        }
        let back = self.routes.iter().filter(|route| contains(route, theirs)).max_by_key(|route| route.length);
        found.extend(back.map(|route| route.interface.as_str()));
        order::sort(&mut found);
        found.dedup();
        found
    }
}

fn contains(route: &Route, address: IpAddr) -> bool {
    match (route.network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(route.length.into())).unwrap_or(0);
            u32::from(network) & mask == u32::from(address) & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(route.length.into())).unwrap_or(0);
            u128::from(network) & mask == u128::from(address) & mask
        }
        _ => false,
    }
}

fn route4(entry: procfs_core::net::RouteEntry) -> Option<Route> {
    let flags = u32::from(entry.flags);
    (flags & UP != 0 && flags & REJECT == 0).then(|| Route {
        interface: entry.iface,
        network: IpAddr::V4(entry.destination),
        // The mask is a run of ones from the top, so counting them is its length.
        length: u32::from(entry.mask).count_ones() as u8,
        gateway: flags & GATEWAY != 0,
    })
}

/// A line of ipv6_route: destination, length, source, length, next hop, metric, references, uses, flags, interface.
/// What the kernel sets up by itself for every interface that is up (link-local, multicast) says nothing.
fn route6(line: &str) -> Option<Route> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [network, length, _, _, _, _, _, _, flags, interface] = words[..] else { return None };
    let network = Ipv6Addr::from(u128::from_str_radix(network, 16).ok()?);
    let length = u8::from_str_radix(length, 16).ok()?;
    let flags = u32::from_str_radix(flags, 16).ok()?;
    let by_itself = network.is_unicast_link_local() || network.is_multicast();
    (flags & UP != 0 && flags & (REJECT | LOCAL) == 0 && interface != "lo" && !by_itself).then(|| Route {
        interface: interface.to_owned(),
        network: IpAddr::V6(network),
        length,
        gateway: flags & GATEWAY != 0,
    })
}

/// A line of if_inet6: address, index, length, scope, flags, interface.
fn address6(line: &str) -> Option<(String, Ipv6Addr)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [address, _, _, _, _, interface] = words[..] else { return None };
    let address = Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?);
    (!address.is_unicast_link_local() && !address.is_loopback()).then(|| (interface.to_owned(), address))
}

/// The leaves of fib_trie that are this machine's own addresses: `|-- ADDRESS`, below it `/32 host LOCAL`.
fn local4(trie: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut leaf: Option<Ipv4Addr> = None;
    for line in trie.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("|-- ") {
            leaf = text.parse().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(leaf.filter(|address| !address.is_loopback()));
        }
    }
    order::sort(&mut found);
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn read(files: &[(&str, &str)]) -> Routes {
        let text = |name: &str| Ok(files.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned()));
        Routes::read(&text).unwrap()
    }

    const ROUTE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t0202000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
        eth1\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
    const TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.2.0\n        /24 link UNICAST\n\
        Local:\n     |-- 10.0.2.15\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n";

    #[test]
    fn an_ipv4_address_is_on_the_interface_of_its_network() {
        let routes = read(&[("route", ROUTE), ("fib_trie", TRIE)]);
        let facts = routes.facts(None);
        let carried = |name| facts.of(name).unwrap();
        assert_eq!(carried("eth0").words(), ["address 10.0.2.15", "the default route"]);
        assert_eq!(carried("eth1").words(), ["a route to 192.168.1.0/24"]);
        assert!(facts.of("eth2").is_none() && carried("eth0").is_default() && !carried("eth1").is_default());
    }

    #[test]
    fn a_session_goes_where_its_answers_go() {
        let routes = read(&[("route", ROUTE), ("fib_trie", TRIE)]);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(routes.of_session(address("10.0.2.15"), address("192.168.1.9")), ["eth0", "eth1"]);
        assert_eq!(routes.of_session(address("10.0.2.15"), address("8.8.8.8")), ["eth0"]);
    }

    #[test]
    fn an_ipv4_route_counts_by_its_length_and_its_flags() {
        let line = |interface: &str, network: &str, flags: &str, mask: &str| {
            format!("{interface}\t{network}\t00000000\t{flags}\t0\t0\t0\t{mask}\t0\t0\t0\n")
        };
        let table = ROUTE.lines().next().unwrap().to_owned()
            + "\n"
            + &line("ppp0", "00000000", "0001", "00000000")
            + &line("eth1", "0000000B", "0003", "000000FF")
            + &line("eth2", "0001A8C0", "0001", "00FFFFFF")
            // Refused, and down.
            + &line("eth3", "0003A8C0", "0201", "00FFFFFF")
            + &line("eth4", "0004A8C0", "0000", "00FFFFFF");
        let routes = read(&[("route", &table), ("fib_trie", "")]);
        let wire = |address: &str| routes.wire(address.parse().unwrap());
        assert_eq!(wire("192.168.1.9"), Some("eth2"));
        for address in ["8.8.8.8", "11.0.0.1", "192.168.2.1", "192.168.3.1", "192.168.4.1"] {
            assert_eq!(wire(address), None, "{address}");
        }
        let facts = routes.facts(None);
        assert!(facts.of("eth3").is_none() && facts.of("eth4").is_none());
    }

    #[test]
    fn what_the_kernel_gives_every_interface_that_is_up_is_no_use() {
        let inet6 = "fe80000000000000505400fffe123456 02 40 20 80     eth0\n\
                     20010db8000000000000000000000001 02 40 00 80     eth1\n";
        let zero = "00000000000000000000000000000000";
        let line = |network: &str, length: &str, flags: &str, interface: &str| {
            format!("{network} {length} {zero} 00 {zero} 00000100 00000001 00000000 {flags} {interface}\n")
        };
        let table = line("fe800000000000000000000000000000", "40", "00000001", "eth0")
            + &line("ff000000000000000000000000000000", "08", "00000001", "eth0")
            + &line(zero, "00", "00200200", "lo")
            + &line("fe80000000000000505400fffe123456", "80", "80200001", "eth0")
            + &line(zero, "00", "00000003", "eth1");
        let routes = read(&[("if_inet6", inet6), ("ipv6_route", &table)]);
        let facts = routes.facts(None);
        assert!(facts.of("eth0").is_none());
        assert_eq!(facts.of("eth1").unwrap().words(), ["address 2001:db8::1", "the default route"]);
    }

    #[test]
    fn an_ipv6_route_counts_by_its_length_and_its_flags() {
        let zero = "00000000000000000000000000000000";
        let line = |group: &str, length: &str, flags: &str, interface: &str| {
            format!(
                "20010db8{group}00000000000000000000 {length} {zero} 00 {zero} 00000100 00000001 00000000 {flags} {interface}\n"
            )
        };
        let table = line("0000", "20", "00000001", "eth0")
            + &line("0001", "30", "00000001", "eth1")
            + &line("0002", "30", "00000003", "eth2")
            // Refused, an address of this machine, down, on the loopback interface.
            + &line("0003", "30", "00000201", "eth3")
            + &line("0004", "30", "80000001", "eth4")
            + &line("0005", "30", "00000000", "eth5")
            + &line("0006", "30", "00000001", "lo");
        let inet6 = "20010db8000900000000000000000001 02 30 00 80     eth8\n\
                     20010db8000a00000000000000000001 03 30 00 80     eth9\n";
        let routes = read(&[("if_inet6", inet6), ("ipv6_route", &table)]);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let session = |ours: &str, theirs: &str| routes.of_session(address(ours), address(theirs)).join(" ");
        assert_eq!(session("2001:db8:1::5", "2001:db8:2::9"), "eth1 eth2");
        assert_eq!(session("2001:db8:9::1", "2001:db8:2:1::9"), "eth0 eth2 eth8");
        assert_eq!(session("2001:db8:9::1", "2001:db9::1"), "eth0 eth8");
        assert_eq!(session("2001:db9::2", "10.0.0.1"), "");
        let facts = routes.facts(None);
        for interface in ["eth3", "eth4", "eth5", "lo"] {
            assert!(facts.of(interface).is_none(), "{interface}");
        }
    }
}
