//! May we? Users and the dangers that were forced go in, a verdict comes out; nothing here looks at a machine.

use std::collections::BTreeSet;

use crate::order;
use crate::usage::model::{Danger, UsageReport, User};

/// What follows from the users that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Nobody uses it.
    Allow,
    /// Every danger was forced by name.
    Override(Vec<User>, Vec<String>),
    /// At least one was not.
    Refuse {
        /// The users that stand in the way.
        users: Vec<User>,
        /// What could not be checked and was not forced.
        unchecked: Vec<String>,
        /// The dangers that would have to be forced on top of those that were.
        missing: Vec<Danger>,
    },
}

/// Judges these users under these forced dangers. A danger covers users of its own kind only.
pub(crate) fn decide(users: &UsageReport, forced: &[Danger]) -> Decision {
    let is_forced = |kind: Danger| forced.contains(&kind);
    let refusing: Vec<User> = users.found.iter().filter(|user| !is_forced(user.kind)).cloned().collect();
    let unchecked = if is_forced(Danger::Unchecked) { Vec::new() } else { users.unchecked.clone() };
    if refusing.is_empty() && unchecked.is_empty() {
        if users.found.is_empty() && users.unchecked.is_empty() {
            return Decision::Allow;
        }
        return Decision::Override(users.found.clone(), users.unchecked.clone());
    }
    let mut missing: BTreeSet<Danger> = order::set(refusing.iter().map(|user| user.kind));
    if !unchecked.is_empty() {
        missing.insert(Danger::Unchecked);
    }
    Decision::Refuse { users: refusing, unchecked, missing: missing.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::usage::model::{Danger, UsageReport, User};

    fn user(kind: Danger) -> User {
        User::new(kind, "0000:03:00.0".parse().unwrap(), "thing", "somebody", "somebody has thing")
    }

    fn users(kinds: &[Danger], unchecked: bool) -> UsageReport {
        let unchecked = if unchecked { vec!["pid 1 cannot be seen".to_owned()] } else { Vec::new() };
        UsageReport { found: kinds.iter().copied().map(user).collect(), unchecked, ..UsageReport::default() }
    }

    #[test]
    fn nobody_is_clear_whatever_was_forced() {
        assert_eq!(decide(&UsageReport::default(), &[]), Decision::Allow);
        assert_eq!(decide(&UsageReport::default(), &[Danger::Mounted]), Decision::Allow);
    }

    #[test]
    fn the_danger_of_the_management_link_is_its_own() {
        let verdict = decide(&users(&[Danger::Management], false), &[Danger::Network]);
        assert!(matches!(verdict, Decision::Refuse { missing, .. } if missing == [Danger::Management]));
    }

    #[test]
    fn what_cannot_be_checked_refuses() {
        let verdict = decide(&users(&[], true), &[]);
        assert!(matches!(verdict, Decision::Refuse { missing, .. } if missing == [Danger::Unchecked]));
        assert!(matches!(decide(&users(&[], true), &[Danger::Unchecked]), Decision::Override(..)));
    }

    proptest! {
        #[test]
        fn goes_ahead_exactly_if_each_danger_was_named(found in 0u16..1 << 11, unchecked: bool, forced in 0u16..1 << 12) {
            let pick = |bits: u16| -> Vec<Danger> {
                let all = Danger::ALL.iter().enumerate();
                all.filter(|(index, _)| bits & 1 << index != 0).map(|(_, kind)| *kind).collect()
            };
            let (found, forced) = (pick(found), pick(forced));
            let needed = found.iter().copied().chain(unchecked.then_some(Danger::Unchecked));
            let lacking: Vec<Danger> = needed.filter(|kind| !forced.contains(kind)).collect();
            match decide(&users(&found, unchecked), &forced) {
                Decision::Refuse { missing, .. } => prop_assert_eq!(missing, lacking),
                _ => prop_assert!(lacking.is_empty()),
            }
        }
    }
}
