//! Which nodes an operation must hold, in which mode and order: the pure half of the lock protocol.
//!
//! Gray's granular locks with flock's two modes. Whoever changes a subtree holds its top exclusively and every ancestor
//! shared, so an exclusive claim covers all below it, and what a rescan will yet create there. All claims of an
//! operation form one list, ancestors before descendants, and are taken in that order and no other.
//!
//! A shared claim covers only its own node: with two modes, "I read all of this" looks the same as "I change something
//! below", and these two must not meet. So whoever reads a subtree holds every node of it shared. What the kernel adds
//! below while it is read is covered as soon as somebody wants to change it by way of pcictl: bringing it in took the
//! bridge above exclusively.

use serde::Serialize;

use crate::order;
use crate::pci::place::{Place, topmost};

/// How a node is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Work goes on below, or somebody reads; others may share.
    Shared,
    /// Everything at and below the node may change.
    Exclusive,
}

/// One node to hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Claim {
    /// The node.
    pub place: Place,
    /// How.
    pub mode: Mode,
}

/// The claims of one operation in the order in which they are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Claims {
    list: Vec<Claim>,
    tops: Vec<Place>,
}

impl Claims {
    /// What it takes to change everything at and below these places; places below others of the list are dropped.
    pub fn changing(places: Vec<Place>) -> Self {
        Self::with_tops(places, Mode::Exclusive)
    }

    /// What it takes to keep everything at and below these places as it is; `below` are all nodes below them.
    pub fn reading(places: Vec<Place>, below: Vec<Place>) -> Self {
        let mut claims = Self::with_tops(places, Mode::Shared);
        claims.list.extend(below.into_iter().map(|place| Claim { place, mode: Mode::Shared }));
        claims.into_order()
    }

    fn with_tops(places: Vec<Place>, mode: Mode) -> Self {
        let tops = topmost(places);
        let mut list: Vec<Claim> = Vec::new();
        for top in &tops {
            list.extend(top.ancestors().into_iter().map(|place| Claim { place, mode: Mode::Shared }));
            list.push(Claim { place: top.clone(), mode });
        }
        // No place is claimed in both modes: a top is never an ancestor of another top once nested ones are dropped.
        Self { list, tops }.into_order()
    }

    fn into_order(mut self) -> Self {
        order::sort_by(&mut self.list, |a, b| a.place.cmp(&b.place));
        self.list.dedup();
        self
    }

    /// The claims, in lock order.
    pub fn in_order(&self) -> &[Claim] {
        &self.list
    }

    /// The places held for their own sake, not on the way down or for being below.
    pub fn tops(&self) -> &[Place] {
        &self.tops
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pci::place::Place;

    fn at(chain: &str) -> Place {
        Place::from_chain(chain).unwrap()
    }

    fn shown(claims: &Claims) -> Vec<String> {
        claims
            .in_order()
            .iter()
            .map(|c| format!("{}{}", if c.mode == Mode::Exclusive { "X " } else { "S " }, c.place.chain()))
            .collect()
    }

    #[test]
    fn ancestors_are_shared_and_the_top_exclusive() {
        let claims = Claims::changing(vec![at("h/1.0/2.0"), at("h/1.0/2.0/3.0"), at("h/4.0")]);
        assert_eq!(shown(&claims), ["S ", "S h", "S h/1.0", "X h/1.0/2.0", "X h/4.0"]);
        assert_eq!(claims.tops(), [at("h/1.0/2.0"), at("h/4.0")]);
    }

    #[test]
    fn the_root_covers_everything() {
        assert_eq!(shown(&Claims::changing(vec![at("h/1.0"), Place::root()])), ["X "]);
    }

    #[test]
    fn a_reader_holds_every_node_that_it_reads() {
        let claims = Claims::reading(vec![at("h/1.0")], vec![at("h/1.0/3.0"), at("h/1.0/2.0"), at("h/1.0/2.0/vf0")]);
        assert_eq!(shown(&claims), ["S ", "S h", "S h/1.0", "S h/1.0/2.0", "S h/1.0/2.0/vf0", "S h/1.0/3.0"]);
        assert_eq!(claims.tops(), [at("h/1.0")]);
        // So a change anywhere at, above or below what is read has a node with it on which the two cannot agree.
        for changed in ["", "h", "h/1.0", "h/1.0/2.0", "h/1.0/3.0"] {
            let change = Claims::changing(vec![at(changed)]);
            let meet = |a: &Claim, b: &Claim| a.place == b.place && (a.mode, b.mode) != (Mode::Shared, Mode::Shared);
            assert!(claims.in_order().iter().any(|a| change.in_order().iter().any(|b| meet(a, b))), "{changed}");
        }
    }

    proptest! {
        #[test]
        fn order_does_not_depend_on_the_input(mut chains in proptest::collection::vec("h[01](/[0-3][.]0){0,4}", 1..8)) {
            let places = |chains: &[String]| chains.iter().map(|c| at(c)).collect::<Vec<_>>();
            let claims = Claims::changing(places(&chains));
            chains.reverse();
            prop_assert_eq!(&Claims::changing(places(&chains)), &claims);
            let list = claims.in_order();
            for (i, claim) in list.iter().enumerate() {
                for above in claim.place.ancestors() {
                    prop_assert!(list[..i].iter().any(|c| c.place == above && c.mode == Mode::Shared));
                }
            }
            for place in places(&chains) {
                prop_assert!(list.iter().any(|c| c.mode == Mode::Exclusive && place.is_at_or_below(&c.place)));
            }
        }
    }
}
