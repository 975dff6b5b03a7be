//! Users of a device, a line each.

use crate::host::text::escaped;
use crate::usage::model::{Danger, UsageReport, User};

/// Users, what could not be checked, and notes. Where several functions are used, each line begins with the one it is about.
pub(crate) fn listed(users: &UsageReport, indent: &str) -> String {
    let mut text = String::new();
    let is_of_many = users.found.windows(2).any(|pair| pair[0].address != pair[1].address);
    for user in &users.found {
        // Some say it in their own words.
        let address = user.address.to_string();
        let is_told = user.description.contains(&address);
        let of = if is_of_many && !is_told { format!("{address}: ") } else { String::new() };
        text.push_str(&format!("{indent}{:<11} {of}{}\n", user.kind.name(), escaped(&user.description)));
    }
    for why in &users.unchecked {
        text.push_str(&format!("{indent}{:<11} {}\n", "unchecked", escaped(why)));
    }
    for note in &users.notes {
        text.push_str(&format!("{indent}{:<11} {}\n", "note", escaped(note)));
    }
    text
}

/// Users in a table's cell: the first few by one word each.
pub(crate) fn short(users: &[User]) -> String {
    const SHOWN: usize = 3;
    let mut words: Vec<String> = Vec::new();
    for word in users.iter().map(word) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    let more = words.len().saturating_sub(SHOWN);
    words.truncate(SHOWN);
    if more > 0 {
        words.push(format!("+{more}"));
    }
    words.join(" ")
}

/// `/boot`, `eth0`, `qemu[812]`: the user by one word.
fn word(user: &User) -> String {
    match (&user.process, user.kind) {
        (Some(process), _) => format!("{}[{}]", user.by, process.pid),
        (None, Danger::Network | Danger::Management) => user.device.clone(),
        (None, Danger::Mounted | Danger::Swap | Danger::Vfs) => user.by.clone(),
        (None, kind) => kind.name().to_owned(),
    }
}

/// What remove needs to proceed.
pub(crate) fn needed(missing: &[Danger]) -> String {
    let names: Vec<&str> = missing.iter().map(|kind| kind.name()).collect();
    format!("it needs --force {}", names.join(","))
}
