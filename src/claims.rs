//! Which nodes an operation must hold, in which mode and order: the pure half of the lock protocol.
//!
//! Gray's granular locks with flock's two modes. Whoever changes a subtree holds its top exclusively and every ancestor
//! shared, so an exclusive claim covers all below it, and what a rescan will yet create there. All claims of an
//! operation form one list, ancestors before descendants, and are taken in that order and no other.

use serde::Serialize;

use crate::place::{Place, topmost};

/// How a node is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Work goes on below, or somebody reads; others may share.
    Shared,
    /// Everything at and below the node may change.
    Exclusive,
}

/// One node to hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Claim {
    /// The node.
    pub place: Place,
    /// How.
    pub mode: Mode,
}

/// The claims of one operation in the order in which they are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Claims(Vec<Claim>);

impl Claims {
    /// What it takes to change everything at and below these places; places below others of the list are dropped.
    pub fn changing(places: Vec<Place>) -> Self {
        Self::with_tops(places, Mode::Exclusive)
    }

    /// What it takes to keep everything at and below these places as it is.
    pub fn reading(places: Vec<Place>) -> Self {
        Self::with_tops(places, Mode::Shared)
    }

    fn with_tops(places: Vec<Place>, mode: Mode) -> Self {
        let mut claims: Vec<Claim> = Vec::new();
        for top in topmost(places) {
            claims.extend(top.ancestors().into_iter().map(|place| Claim { place, mode: Mode::Shared }));
            claims.push(Claim { place: top, mode });
        }
        // No place is claimed in both modes: a top is never an ancestor of another top once nested ones are dropped.
        claims.sort_by(|a, b| a.place.cmp(&b.place));
        claims.dedup();
        Self(claims)
    }

    /// The claims, in lock order.
    pub fn in_order(&self) -> &[Claim] {
        &self.0
    }

    /// The places held for their own sake, not on the way down.
    pub fn tops(&self) -> Vec<&Place> {
        let all = &self.0;
        let is_top = |claim: &Claim| {
            !all.iter().any(|other| other.place != claim.place && other.place.is_at_or_below(&claim.place))
        };
        all.iter().filter(|claim| is_top(claim)).map(|claim| &claim.place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        assert_eq!(claims.tops(), [&at("h/1.0/2.0"), &at("h/4.0")]);
    }

    #[test]
    fn the_root_covers_everything() {
        assert_eq!(shown(&Claims::changing(vec![at("h/1.0"), Place::root()])), ["X "]);
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
