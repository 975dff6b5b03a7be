//! What takes an action back.

use crate::plan::action::Action;

impl Action {
    /// The writes that put this back as it was, in their order; empty if nothing does.
    pub fn undo(&self) -> Vec<Self> {
        match self {
            Self::Unbind { address, driver, driver_override } => {
                let bind = Self::Bind { address: *address, driver: driver.clone() };
                let overriding = |driver: &String| Self::overriding(*address, driver.clone());
                match driver_override {
                    None => vec![bind],
                    Some(name) if name == driver => vec![overriding(name), bind],
                    // It was set for the next driver, and keeps every other one out (driver_match_device).
                    Some(name) => vec![overriding(driver), bind, overriding(name)],
                }
            }
            Self::SetVfs { address, count, was, autoprobe, idle_overrides, settings } => {
                let set = Self::set_vfs(*address, *was, *count, *autoprobe);
                let kept =
                    settings.iter().map(|setting| Self::SetVf { address: *address, setting: *setting, was: None });
                let overrides =
                    idle_overrides.iter().map(|(address, driver)| Self::overriding(*address, driver.clone()));
                // Drivers ask for their VF's MAC when they are bound.
                let overrides = kept.chain(overrides);
                if !*autoprobe || *was == 0 {
                    return [set].into_iter().chain(overrides).collect();
                }
                let (off, on) = (Self::autoprobe(*address, false), Self::autoprobe(*address, true));
                // It must be on again before the VFs are bound: while it is off, no driver may have them (pci_device_probe).
                [off, set].into_iter().chain(overrides).chain([on]).collect()
            }
            Self::CreateVfs { address, count, .. } => vec![Self::set_vfs(*address, 0, *count, false)],
            Self::SetVf { address, setting, was: Some(was) } => {
                vec![Self::SetVf { address: *address, setting: *was, was: Some(*setting) }]
            }
            Self::Set { address, file, value, was } => {
                vec![Self::Set { address: *address, file: file.clone(), value: was.clone(), was: value.clone() }]
            }
            Self::SlotAttention { slot, port, value, was } => {
                vec![Self::SlotAttention { slot: slot.clone(), port: *port, value: *was, was: *value }]
            }
            Self::Override { address, was: Some(was), .. } => vec![Self::overriding(*address, was.clone())],
            Self::Bind { .. }
            | Self::Remove { .. }
            | Self::Rescan { .. }
            | Self::RescanAll
            | Self::Override { was: None, .. }
            | Self::SetVf { was: None, .. }
            | Self::Probe { .. }
            | Self::Reset { .. }
            | Self::ResetBelow { .. }
            | Self::SlotPower { .. } => Vec::new(),
        }
    }
}
