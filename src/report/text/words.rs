//! Words that several reports share: actions, locks, counts.

use crate::host::text::escaped;
use crate::lock::claims::{Claim, Mode};
use crate::order;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::plan::action::{Action, Step};
use crate::topology::vf_setting::VfSetting;

/// How much a plan tells of its locks.
#[derive(Clone, Copy)]
pub(crate) enum LocksShown<'a> {
    /// All of them, by their places, in their order.
    All,
    /// Those that matter, in one line, by what people call their places.
    Named(&'a dyn Fn(&Place) -> String),
}

impl LocksShown<'_> {
    /// What a place is called.
    pub(crate) fn name(self, place: &Place) -> String {
        match self {
            Self::All => place.to_string(),
            Self::Named(name) => name(place),
        }
    }
}

/// The locks of a plan.
pub(crate) fn locks(claims: &[Claim], shown: LocksShown<'_>) -> String {
    if let LocksShown::Named(name) = shown {
        return format!("locks  {}\n", locks_in_short(claims, name));
    }
    let mut text = "locks, in this order:\n".to_owned();
    for claim in claims {
        text.push_str(&format!("  {:<11}{}\n", mode(claim.mode), claim.place));
    }
    text
}

/// `0000:00:17.0 exclusive; 2 above it shared`
fn locks_in_short(claims: &[Claim], name: &dyn Fn(&Place) -> String) -> String {
    /// More than these nobody reads.
    const SHOWN: usize = 3;
    let exclusive: Vec<&Claim> = claims.iter().filter(|claim| claim.mode == Mode::Exclusive).collect();
    let shared = claims.len() - exclusive.len();
    if exclusive.is_empty() {
        return format!("{shared} shared");
    }
    let mut names: Vec<String> = exclusive.iter().take(SHOWN).map(|claim| name(&claim.place)).collect();
    if exclusive.len() > SHOWN {
        names.push(format!("{} more", exclusive.len() - SHOWN));
    }
    let above = if exclusive.len() == 1 { "it" } else { "them" };
    let above = if shared == 0 { String::new() } else { format!("; {shared} above {above} shared") };
    format!("{} exclusive{above}", names.join(", "))
}

/// A mode in a word.
pub(crate) fn mode(mode: Mode) -> &'static str {
    if mode == Mode::Shared { "shared" } else { "exclusive" }
}

/// Numbered steps, with the steps that each one comes after.
pub(crate) fn steps(steps: &[Step]) -> String {
    let mut text = String::new();
    for (index, step) in steps.iter().enumerate() {
        text.push_str(&format!("  {:>3}  {}", index + 1, describe_action(&step.action)));
        if !step.after.is_empty() {
            text.push_str(&format!("  (after {})", ranges(&step.after)));
        }
        text.push('\n');
    }
    text
}

/// One action as an administrator would say it.
pub(crate) fn describe_action(action: &Action) -> String {
    match action {
        Action::Unbind { address, driver, .. } => format!("unbind {address} from {}", escaped(driver)),
        Action::Bind { address, driver } => format!("bind {address} to {}", escaped(driver)),
        Action::SetVfs { address, count: 0, was, .. } => format!("disable {} of {address}", count(*was, "VF")),
        Action::SetVfs { address, count: vfs, .. } | Action::CreateVfs { address, count: vfs, .. } => {
            format!("create {} of {address}", count(*vfs, "VF"))
        }
        Action::SetVf { address, setting: VfSetting { vf, value }, .. } => {
            format!("set the {} of VF {vf} of {address} to {}", value.name(), value.text())
        }
        Action::Remove { address } => format!("remove {address}"),
        Action::Rescan { bus } => format!("rescan bus {bus}"),
        Action::RescanAll => "rescan every bus".to_owned(),
        Action::Override { address, driver, .. } if driver.is_empty() => {
            format!("clear the driver override of {address}")
        }
        Action::Override { address, driver, .. } => {
            format!("set the driver override of {address} to {}", escaped(driver))
        }
        Action::Probe { address, driver: None } => format!("probe drivers for {address}"),
        Action::Probe { address, driver: Some(driver) } => format!("probe {address} for {}", escaped(driver)),
        Action::Set { address, file, value, .. } => format!("set {} of {address} to {}", escaped(file), escaped(value)),
        Action::Reset { address, .. } => format!("reset {address}"),
        Action::ResetBelow { address } => format!("reset the bus below {address}"),
        Action::SlotPower { slot, on, .. } => {
            format!("switch the power of slot {} {}", escaped(slot), if *on { "on" } else { "off" })
        }
        Action::SlotAttention { slot, value, .. } => {
            format!("set the attention indicator of slot {} to {}", escaped(slot), value.name())
        }
    }
}

/// What is left to do for VFs that were created.
pub(crate) fn give_drivers(physical: PciAddress) -> String {
    format!("give the VFs of {physical} to drivers")
}

/// `1-3, 5` for the steps counted from 1.
fn ranges(indices: &[usize]) -> String {
    let mut sorted = indices.to_vec();
    order::sort(&mut sorted);
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for index in sorted {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => parts.push((index, index)),
        }
    }
    let part = |(first, last): &(usize, usize)| {
        if first == last { format!("{}", first + 1) } else { format!("{}-{}", first + 1, last + 1) }
    };
    parts.iter().map(part).collect::<Vec<_>>().join(", ")
}

/// "1 function", "3 functions".
pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
