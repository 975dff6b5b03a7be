//! What interfaces carry, as the kernel tells it by rtnetlink: addresses, routes of every table with every next hop, XDP.
//!
//! Dumps wait for rtnl_lock on kernels before 6.9, and questions about one interface on all of them. So whoever asks is a
//! child. The kernel is asked for routes through one interface at a time, as the others may be a million; since 5.0 it
//! leaves those out itself.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::host::child::Limits;
use crate::host::netlink::{GET_LINK, IFLA_EXT_MASK, Netlink, Question, SKIP_STATS, Told, attributes, number, short};
use crate::host::patience::in_child;
use crate::usage::network::carried::{Carried, Facts, Session};
use nix::libc;

/// An interface by its index and name.
pub(crate) type Indexed = (u32, String);

/// Up to so many interfaces the kernel is asked for the routes through each; beyond, one walk through all is cheaper.
const FEW: usize = 8;

/// Has a child ask what these interfaces carry.
///
/// # Errors
/// Why it could not be told, in words.
pub(crate) fn ask_in_child(interfaces: &[Indexed], session: Option<Session>, limits: Limits) -> Result<Facts, String> {
    in_child(limits, &|| ask(interfaces, session))
        .map_err(|why| format!("addresses and routes cannot be told to the last one: {why}"))
}

/// Asks what these interfaces of the namespace that this process is in carry. It may wait for ever.
///
/// # Errors
/// The kernel says no.
pub(crate) fn ask(interfaces: &[Indexed], session: Option<Session>) -> io::Result<Facts> {
    let mut survey = Survey { asker: Netlink::route()?, interfaces, facts: Facts::default() };
    survey.addresses(session)?;
    survey.routes()?;
    survey.programs()?;
    if let Some(session) = session {
        survey.way_back(session);
    }
    Ok(survey.facts)
}

/// Kinds of questions (uapi/linux/rtnetlink.h).
const GET_ADDRESS: u16 = 22;
const GET_ROUTE: u16 = 26;
const GET_NEXT_HOP: u16 = 106;

/// Attributes of a route.
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_NH_ID: u16 = 30;

const INET: u8 = libc::AF_INET as u8;
const INET6: u8 = libc::AF_INET6 as u8;

struct Survey<'a> {
    asker: Netlink,
    interfaces: &'a [Indexed],
    facts: Facts,
}

impl Survey<'_> {
    fn addresses(&mut self, session: Option<Session>) -> io::Result<()> {
        let Self { asker, interfaces, facts } = self;
        let mut take = |told: Told<'_>| match told {
            Told::Begin => *facts = Facts::default(),
            Told::Answer(body) => {
                let Some((name, address)) = named_address(body, interfaces) else { return };
                if session.is_some_and(|session| session.ours == address) {
                    facts.in_session.insert(name.to_owned());
                }
                let carried = facts.of_mut(name);
                if counts(address) && !carried.addresses.contains(&address) {
                    carried.addresses.push(address);
                }
            }
        };
        asker.dump(GET_ADDRESS, &Question::new(&[0; 8]), &mut take)?;
        for (_, name) in self.interfaces {
            // As ip(8) lists them: IPv6 last would hide what people know an interface by.
            self.facts.of_mut(name).addresses.sort_by_key(IpAddr::is_ipv4);
        }
        Ok(())
    }

    fn routes(&mut self) -> io::Result<()> {
        let next_hops = NextHops::read(&mut self.asker)?;
        for family in [INET, INET6] {
            if self.interfaces.len() > FEW {
                self.routes_through(family, None, &next_hops)?;
                continue;
            }
            for index in self.interfaces.iter().map(|(index, _)| *index) {
                self.routes_through(family, Some(index), &next_hops)?;
            }
        }
        Ok(())
    }

    /// Routes of a family; of those that go through an interface, if only that is asked for.
    fn routes_through(&mut self, family: u8, index: Option<u32>, next_hops: &NextHops) -> io::Result<()> {
        let mut question = Question::new(&[family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        if let Some(index) = index {
            question = question.with(RTA_OIF, &index.to_ne_bytes());
        }
        let mut found: HashMap<u32, Carried> = HashMap::new();
        let mut take = |told: Told<'_>| match told {
            Told::Begin => found.clear(),
            Told::Answer(body) => {
                let Some(route) = Route::read(body).filter(|route| route.family == family) else { return };
                let through = route.interfaces(next_hops);
                let is_asked = |through: &&u32| index.is_none_or(|index| index == **through);
                for index in through.iter().filter(is_asked) {
                    found.entry(*index).or_default().add_route(route.network, route.length, route.table);
                }
            }
        };
        match self.asker.dump(GET_ROUTE, &question, &mut take) {
            // The interface went away meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(()),
            result => result?,
        }
        for (index, name) in self.interfaces {
            if let Some(carried) = found.remove(index) {
                self.facts.of_mut(name).add_routes_of(carried);
            }
        }
        Ok(())
    }

    /// XDP programs; the kernel keeps their numbers with the interface (rtnl_xdp_fill, net/core/rtnetlink.c).
    fn programs(&mut self) -> io::Result<()> {
        const IFLA_XDP: u16 = 43;
        /// IFLA_XDP_PROG_ID and those by mode: of the driver, generic, of the hardware.
        const PROGRAMS: std::ops::RangeInclusive<u16> = 4..=7;
        for (index, name) in self.interfaces {
            let mut head = [0; 16];
            head[4..8].copy_from_slice(&index.to_ne_bytes());
            let question = Question::new(&head).with(IFLA_EXT_MASK, &SKIP_STATS.to_ne_bytes());
            let carried = self.facts.of_mut(name);
            let mut take = |told: Told<'_>| {
                let Told::Answer(body) = told else { return };
                let Some(xdp) = attributes(body, 16).value(IFLA_XDP) else { return };
                let programs = attributes(xdp, 0).filter(|(kind, _)| PROGRAMS.contains(kind));
                carried.programs.extend(programs.filter_map(|(_, value)| number(value)));
            };
            match self.asker.get(GET_LINK, &question, &mut take) {
                // It went away meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// The interface by which answers to the operator leave. Where there is no way there is no such interface.
    fn way_back(&mut self, Session { ours, theirs }: Session) {
        let (family, length, to, from) = match (theirs, ours) {
            (IpAddr::V4(to), IpAddr::V4(from)) => (INET, 32, to.octets().to_vec(), from.octets().to_vec()),
            (IpAddr::V6(to), IpAddr::V6(from)) => (INET6, 128, to.octets().to_vec(), from.octets().to_vec()),
            _ => return,
        };
        let question = Question::new(&[family, length, length, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let question = question.with(RTA_DST, &to).with(RTA_SRC, &from);
        let Self { asker, interfaces, facts } = self;
        let mut take = |told: Told<'_>| {
            let Told::Answer(body) = told else { return };
            let index = attributes(body, Route::HEAD).value(RTA_OIF).and_then(number);
            let name = interfaces.iter().find(|(known, _)| Some(*known) == index).map(|(_, name)| name.clone());
            facts.in_session.extend(name);
        };
        // Not knowing the way back is no reason to forget the rest: where our address lives is known.
        let _ = asker.get(GET_ROUTE, &question, &mut take);
    }
}

/// Whether an address is more than what each interface that is up has.
fn counts(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    }
}

/// The address in a message of ifaddrmsg, and the interface that it is on, if that is one of these.
pub(crate) fn named_address<'a>(body: &[u8], interfaces: &'a [Indexed]) -> Option<(&'a str, IpAddr)> {
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    let index = number(body.get(4..)?)?;
    let (_, name) = interfaces.iter().find(|(known, _)| *known == index)?;
    let all = attributes(body, 8);
    // On a link of two ends the address is the other end's, and ours is local.
    let bytes = all.value(IFA_LOCAL).or_else(|| all.value(IFA_ADDRESS))?;
    Some((name, address(*body.first()?, bytes)?))
}

/// An address of a family; one that is left out is zero.
fn address(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        INET => Some(IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))),
        INET6 => Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?))),
        _ => None,
    }
}

/// A message of rtmsg: a route to somewhere else.
pub(crate) struct Route<'a> {
    family: u8,
    network: IpAddr,
    length: u8,
    table: u32,
    attributes: crate::host::netlink::Attributes<'a>,
}

impl<'a> Route<'a> {
    const HEAD: usize = 12;

    /// Nothing for what the kernel sets up by itself for each interface that is up, and for its own addresses.
    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        const UNICAST: u8 = 1;
        const CLONED: u32 = 0x200;
        let [family, length, _, _, table, _, _, kind] = *body.first_chunk()?;
        let all = attributes(body, Self::HEAD);
        if kind != UNICAST || number(body.get(8..)?)? & CLONED != 0 {
            return None;
        }
        let network = match all.value(RTA_DST) {
            Some(bytes) => address(family, bytes)?,
            None if family == INET => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        if matches!(network, IpAddr::V6(network) if network.is_unicast_link_local() || network.is_multicast()) {
            return None;
        }
        let table = all.value(RTA_TABLE).and_then(number).unwrap_or(u32::from(table));
        Some(Self { family, network, length, table, attributes: all })
    }

    /// The interfaces that it goes through.
    fn interfaces(&self, next_hops: &NextHops) -> BTreeSet<u32> {
        let mut found: BTreeSet<u32> = self.attributes.value(RTA_OIF).and_then(number).into_iter().collect();
        found.extend(self.attributes.value(RTA_MULTIPATH).into_iter().flat_map(multipath));
        // With net.ipv4.nexthop_compat_mode off, the number of the next-hop object is all that is told.
        let object = self.attributes.value(RTA_NH_ID).and_then(number);
        found.extend(object.into_iter().flat_map(|id| next_hops.interfaces(id)));
        found
    }
}

/// The interfaces of a list of rtnexthop: length, flags and weight, index, attributes.
pub(crate) fn multipath(mut list: &[u8]) -> Vec<u32> {
    let mut found = Vec::new();
    while let (Some(length), Some(index)) = (short(list), list.get(4..).and_then(number)) {
        found.push(index);
        match list.get(usize::from(length.max(8)).next_multiple_of(4)..) {
            Some(rest) => list = rest,
            None => break,
        }
    }
    found
}

/// Next-hop objects by their number (`ip nexthop`).
#[derive(Default)]
struct NextHops(HashMap<u32, NextHop>);

/// The interface of one, or the members of a group.
#[derive(Default)]
pub(crate) struct NextHop {
    interface: Option<u32>,
    members: Vec<u32>,
}

impl NextHops {
    fn read(asker: &mut Netlink) -> io::Result<Self> {
        let mut found = Self::default();
        let mut take = |told: Told<'_>| match told {
            Told::Begin => found.0.clear(),
            Told::Answer(body) => found.0.extend(next_hop(body)),
        };
        match asker.dump(GET_NEXT_HOP, &Question::new(&[0; 8]), &mut take) {
            // There are none before 5.3.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL)) => Ok(Self::default()),
            result => result.map(|()| found),
        }
    }

    fn interfaces(&self, id: u32) -> Vec<u32> {
        let Some(NextHop { interface, members }) = self.0.get(&id) else { return Vec::new() };
        // A group has no groups.
        let members = members.iter().filter_map(|id| self.0.get(id)?.interface);
        interface.iter().copied().chain(members).collect()
    }
}

/// A message of nhmsg.
pub(crate) fn next_hop(body: &[u8]) -> Option<(u32, NextHop)> {
    const NHA_ID: u16 = 1;
    const NHA_GROUP: u16 = 2;
    const NHA_OIF: u16 = 5;
    let all = attributes(body, 8);
    let group = all.value(NHA_GROUP).unwrap_or_default();
    // A member is 8 bytes: number, weight.
    let members = group.chunks_exact(8).filter_map(number).collect();
    Some((number(all.value(NHA_ID)?)?, NextHop { interface: all.value(NHA_OIF).and_then(number), members }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// An IPv4 or IPv6 route of a table and kind.
    fn route(family: u8, length: u8, table: u8, kind: u8) -> Question {
        Question::new(&[family, length, 0, 0, table, 0, 0, kind, 0, 0, 0, 0])
    }

    fn hop(length: u16, index: u32, rest: &[u8]) -> Vec<u8> {
        [&length.to_ne_bytes(), [0, 0].as_slice(), &index.to_ne_bytes(), rest].concat()
    }

    #[test]
    fn a_route_goes_through_each_of_its_next_hops() {
        // The first one has a gateway, of IPv6: RTA_VIA.
        let via = Question::new(&[]).with(18, &[[10, 0].as_slice(), &[0xfe; 16]].concat());
        let hops = [hop(8 + 24, 3, via.bytes()), hop(8, 4, &[])].concat();
        let message = route(INET, 0, 254, 1).with(RTA_MULTIPATH, &hops);
        let route = Route::read(message.bytes()).unwrap();
        assert_eq!((route.network.to_string().as_str(), route.length, route.table), ("0.0.0.0", 0, 254));
        assert_eq!(route.interfaces(&NextHops::default()), BTreeSet::from([3, 4]));
    }

    #[test]
    fn next_hop_objects_and_their_groups_lead_to_interfaces() {
        let object = |id: u32, index: u32| {
            let message = Question::new(&[0; 8]).with(1, &id.to_ne_bytes()).with(5, &index.to_ne_bytes());
            next_hop(message.bytes()).unwrap()
        };
        let member = |id: u32| [id.to_ne_bytes(), [0; 4]].concat();
        let group = Question::new(&[0; 8]).with(1, &9u32.to_ne_bytes()).with(2, &[member(1), member(2)].concat());
        let hops = NextHops([object(1, 3), object(2, 5), next_hop(group.bytes()).unwrap()].into());
        let message = route(INET6, 64, 254, 1).with(RTA_DST, &[0x20; 16]).with(RTA_NH_ID, &9u32.to_ne_bytes());
        assert_eq!(Route::read(message.bytes()).unwrap().interfaces(&hops), BTreeSet::from([3, 5]));
        assert!(hops.interfaces(77).is_empty());
    }

    #[test]
    fn what_leads_nowhere_else_is_no_route() {
        // Local, broadcast, unreachable; the link's own network; multicast.
        for kind in [2, 3, 7] {
            assert!(Route::read(route(INET, 24, 254, kind).bytes()).is_none());
        }
        let link = [[0xfe, 0x80].as_slice(), &[0; 14]].concat();
        assert!(Route::read(route(INET6, 64, 254, 1).with(RTA_DST, &link).bytes()).is_none());
        assert!(Route::read(route(INET6, 8, 255, 1).with(RTA_DST, &[0xff; 16]).bytes()).is_none());
        assert!(Route::read(&[2, 24]).is_none());
        let table = route(INET, 24, 252, 1).with(RTA_TABLE, &1001u32.to_ne_bytes());
        assert_eq!(Route::read(table.bytes()).unwrap().table, 1001);
    }

    #[test]
    fn a_list_of_next_hops_that_is_cut_off_ends_there() {
        let hops = [hop(0, 3, &[]), hop(200, 4, &[]), hop(8, 5, &[])].concat();
        assert_eq!(multipath(&hops), [3, 4]);
        assert!(multipath(&hops[..7]).is_empty());
    }

    #[test]
    fn the_kernel_of_this_machine_answers() {
        let facts = ask_in_child(&[(1, "lo".to_owned())], None, Limits::of_answer(Duration::from_secs(60))).unwrap();
        // Its own addresses do not count, whoever has added which.
        let words = facts.of("lo").map(Carried::words).unwrap_or_default();
        assert!(!words.iter().any(|word| word.contains("127.0.0.1") || word.contains("::1")), "{words:?}");
        let gone = ask(&[(0x7fff_fff0, "gone".to_owned())], None).unwrap();
        assert!(gone.of("gone").is_none_or(|carried| carried.words().is_empty()));
    }
}
