//! What interfaces carry, as data, however it was found out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

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

/// What one interface carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// Its addresses, those of the link alone left out.
    pub(crate) addresses: Vec<IpAddr>,
    /// XDP programs on it, by number.
    pub(crate) programs: BTreeSet<u32>,
    /// Tables with a default route through it.
    defaults: BTreeSet<u32>,
    /// The first few other routes through it.
    routes: Vec<String>,
    /// How many others there are.
    others: usize,
}

/// The table that is meant where none is named (RT_TABLE_MAIN).
pub(crate) const MAIN_TABLE: u32 = 254;

impl Carried {
    /// Adds a route to a network.
    pub(crate) fn add_route(&mut self, network: IpAddr, length: u8, table: u32) {
        /// More than this says nothing more.
        const SHOWN: usize = 3;
        if length == 0 {
            self.defaults.insert(table);
            return;
        }
        if self.routes.len() >= SHOWN {
            self.others += 1;
            return;
        }
        let route = format!("a route to {network}/{length}{}", of_table(table));
        if !self.routes.contains(&route) {
            self.routes.push(route);
        }
    }

    /// Adds the routes of another.
    pub(crate) fn add_routes_of(&mut self, other: Self) {
        self.defaults.extend(other.defaults);
        self.routes.extend(other.routes);
        self.others += other.others;
    }

    /// Whether a default route leaves by it.
    pub(crate) fn is_default(&self) -> bool {
        !self.defaults.is_empty()
    }

    /// It in words: addresses and default routes where there are any, else networks that it leads to.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = self.addresses.iter().map(|address| format!("address {address}")).collect();
        words.extend(self.defaults.iter().map(|table| format!("the default route{}", of_table(*table))));
        if words.is_empty() {
            words.extend(self.routes.iter().cloned());
            if self.others > 0 {
                words.push(format!("{} more routes", self.others));
            }
        }
        words
    }
}

fn of_table(table: u32) -> String {
    if table == MAIN_TABLE { String::new() } else { format!(" of table {table}") }
}

/// What the interfaces of a namespace carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    by_name: BTreeMap<String, Carried>,
    /// The interfaces that the operator's session goes through.
    pub(crate) in_session: BTreeSet<String>,
}

impl Facts {
    /// What an interface carries, to be added to.
    pub(crate) fn of_mut(&mut self, interface: &str) -> &mut Carried {
        self.by_name.entry(interface.to_owned()).or_default()
    }

    /// What an interface carries.
    pub(crate) fn of(&self, interface: &str) -> Option<&Carried> {
        self.by_name.get(interface)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_routes_are_named_and_the_others_counted() {
        let network = |number: u8| IpAddr::from([10, 0, number, 0]);
        let mut carried = Carried::default();
        for number in [0, 0, 1, 2, 3, 4] {
            carried.add_route(network(number), 24, MAIN_TABLE);
        }
        let routes = ["a route to 10.0.0.0/24", "a route to 10.0.1.0/24", "a route to 10.0.2.0/24"];
        assert_eq!(carried.words(), [&routes[..], &["2 more routes"]].concat());
        let mut both = Carried::default();
        both.add_route(network(9), 24, 7);
        both.add_routes_of(carried);
        assert_eq!(both.words(), [&["a route to 10.0.9.0/24 of table 7"], &routes[..], &["2 more routes"]].concat());
        both.add_route(network(0), 0, MAIN_TABLE);
        assert_eq!(both.words(), ["the default route"]);
    }
}
