//! Words for a lock that somebody else has: which device is wanted, what stands in the way, and who holds it.

use crate::lock::claims::{Claim, Claims, Mode};
use crate::lock::holders::{Holder, UNSEEN, age_in_words};
use crate::lock::proc_locks::Role;
use crate::pci::place::Place;

/// What people call a node of the device tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeName {
    /// `bridge`, `host bridge`.
    pub kind: &'static str,
    /// `0000:18:00.0`.
    pub name: String,
}

impl NodeName {
    /// By the place alone.
    pub(crate) fn of_place(place: &Place) -> Self {
        match place.chain() {
            "" => Self { kind: "machine", name: "the whole machine".to_owned() },
            chain => Self { kind: "node", name: chain.to_owned() },
        }
    }
}

/// What was asked for, of all that this claim is needed for.
pub(crate) fn target<'a>(claims: &'a Claims, claim: &'a Place) -> &'a Place {
    let tops = claims.tops();
    let below = tops.iter().find(|top| top.is_at_or_below(claim));
    below.or_else(|| tops.iter().find(|top| claim.is_at_or_below(top))).unwrap_or(claim)
}

/// `the bridge above it (0000:18:00.0) is locked by pid 9523 (root, for 12 s): pcictl lock 18:00.0 -- sleep 12`
pub(crate) fn describe(
    target: &Place,
    claim: &Claim,
    holders: &[Holder],
    name: &mut dyn FnMut(&Place) -> NodeName,
) -> String {
    let Some(first) = holders.first() else {
        return format!("{} is locked by {UNSEEN}", node(target, &claim.place, name));
    };
    let others = match holders.len() - 1 {
        0 => String::new(),
        others => format!(", and {others} more"),
    };
    let by = format!("{}{others}", describe_holder(first));
    let node = node(target, &claim.place, name);
    match first.role {
        Role::Waits => format!("{node} is waited for by {by}"),
        // Others work below it, which keeps out only those who want all of it.
        Role::Holds if first.intention && claim.mode == Mode::Exclusive => {
            format!("a part of {node} is locked by {by}")
        }
        Role::Holds => format!("{node} is locked by {by}"),
    }
}

/// `pid 9523 pcictl lock 18:00.0 -- sleep 12`
pub(crate) fn brief(holders: &[Holder]) -> String {
    match holders.first() {
        Some(first) => format!("pid {} {}", first.process.pid, first.process.command),
        None => UNSEEN.to_owned(),
    }
}

/// The node of a claim, as seen from what was asked for.
fn node(target: &Place, place: &Place, name: &mut dyn FnMut(&Place) -> NodeName) -> String {
    if place == target {
        return "it".to_owned();
    }
    let NodeName { kind, name } = name(place);
    if place.chain().is_empty() {
        return name;
    }
    if target.is_at_or_below(place) {
        format!("the {kind} above it ({name})")
    } else {
        format!("the {kind} below it ({name})")
    }
}

/// `pid 9523 (root, for 12 s): pcictl lock 18:00.0 -- sleep 12`
fn describe_holder(holder: &Holder) -> String {
    /// Long enough to tell one virtual machine from another, short enough for one line.
    const MAX_SHOWN: usize = 120;
    let user = match holder.process.uid {
        Some(0) => Some("root".to_owned()),
        uid => uid.map(|uid| format!("uid {uid}")),
    };
    let age = holder.age_seconds.map(|age| format!("for {}", age_in_words(age)));
    let facts: Vec<String> = [user, age].into_iter().flatten().collect();
    let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
    let command = &holder.process.command;
    let command = match command.char_indices().nth(MAX_SHOWN) {
        _ if command.is_empty() => String::new(),
        Some((cut, _)) => format!(": {}...", &command[..cut]),
        None => format!(": {command}"),
    };
    format!("pid {}{facts}{command}", holder.process.pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::procfs::ProcessRef;

    fn at(chain: &str) -> Place {
        Place::from_chain(chain).unwrap()
    }

    fn words(target: &str, place: &str, mode: Mode, role: Role, intention: bool) -> String {
        let process = ProcessRef { pid: 9523, uid: Some(0), command: "pcictl lock 18:00.0 -- sleep 12".to_owned() };
        let place = at(place);
        let holder =
            Holder { place: place.clone(), process, mode: Mode::Exclusive, role, intention, age_seconds: Some(12.0) };
        describe(&at(target), &Claim { place, mode }, &[holder], &mut NodeName::of_place)
    }

    #[test]
    fn says_what_stands_in_the_way_and_who_holds_it() {
        let by = "by pid 9523 (root, for 12 s): pcictl lock 18:00.0 -- sleep 12";
        let (shared, exclusive) = (Mode::Shared, Mode::Exclusive);
        for (place, mode, role, intention, says) in [
            ("h/1.0", exclusive, Role::Holds, false, "it is locked"),
            ("h/1.0", exclusive, Role::Holds, true, "a part of it is locked"),
            ("h/1.0", exclusive, Role::Waits, true, "it is waited for"),
            ("h", shared, Role::Holds, false, "the node above it (h) is locked"),
            ("", shared, Role::Holds, false, "the whole machine is locked"),
            ("h/1.0/2.0", shared, Role::Holds, false, "the node below it (h/1.0/2.0) is locked"),
        ] {
            assert_eq!(words("h/1.0", place, mode, role, intention), format!("{says} {by}"));
        }
    }

    #[test]
    fn a_holder_without_a_command_line_is_told_by_its_number() {
        let process = ProcessRef { pid: 9523, uid: Some(33), command: String::new() };
        let (place, mode, role) = (at("h"), Mode::Exclusive, Role::Holds);
        let holder = Holder { place, process, mode, role, intention: false, age_seconds: None };
        assert_eq!(describe_holder(&holder), "pid 9523 (uid 33)");
    }

    #[test]
    fn names_what_was_asked_for() {
        let claims = Claims::changing(vec![at("h/1.0"), at("h/2.0")]);
        let found: Vec<&str> = claims.in_order().iter().map(|claim| target(&claims, &claim.place).chain()).collect();
        assert_eq!(found, ["h/1.0", "h/1.0", "h/1.0", "h/2.0"]);
    }
}
