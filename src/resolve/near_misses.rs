//! What somebody may have meant by a name that nothing has.
//!
//! Only a hint is made of it, never a selector: a wrong guess must not cost a device.

use std::cmp::Ordering;

/// From here on two names are near each other; `eht0` and `eth0` are, `sda` and `nvme0n1` are not.
const NEAR: f64 = 0.75;

/// More than these nobody reads.
const SHOWN: usize = 3;

/// The names that are like one, the likest first.
pub(crate) fn near(wanted: &str, mut names: Vec<String>) -> Vec<String> {
    let likeness = |name: &String| strsim::jaro(wanted, name);
    names.retain(|name| name != wanted && likeness(name) >= NEAR);
    // Few are left, and names that are equally like stay in the order that they came in.
    names.sort_by(|a, b| likeness(b).partial_cmp(&likeness(a)).unwrap_or(Ordering::Equal));
    names
}

/// `did you mean eth0 or eth1?`, each name after what comes before it in a selector; `hint` where nothing is near.
pub(crate) fn hint(before: &str, near: &[String], hint: &str) -> String {
    let near: Vec<String> = near.iter().take(SHOWN).map(|name| format!("{before}{name}")).collect();
    match near.split_last() {
        None => hint.to_owned(),
        Some((last, [])) => format!("did you mean {last}?"),
        Some((last, others)) => format!("did you mean {} or {last}?", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(wanted: &str) -> Vec<String> {
        let names = ["eth0", "eth1", "lo", "nvme0n1", "sda", "sdb"];
        near(wanted, names.map(str::to_owned).to_vec())
    }

    #[test]
    fn a_slip_of_the_fingers_is_near_and_another_name_is_not() {
        assert_eq!(of("eht0")[0], "eth0");
        assert_eq!(of("nvmen1"), ["nvme0n1"]);
        assert_eq!(of("sdx"), ["sda", "sdb"]);
        assert!(of("wlan0").is_empty() && of("").is_empty() && !of("eth0").contains(&"eth0".to_owned()));
    }

    #[test]
    fn a_hint_asks_where_there_is_something_to_ask() {
        assert_eq!(hint("net/", &of("eth2"), "name it"), "did you mean net/eth0 or net/eth1?");
        assert_eq!(hint("", &[], "name it"), "name it");
    }
}
