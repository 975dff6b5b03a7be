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

#[cfg(test)]
mod tests {
    use super::*;

    fn undone_by(action: &Action) -> Vec<String> {
        let write = |action: &Action| {
            let (file, value) = action.write("D");
            format!("{value} > {file}")
        };
        action.undo().iter().map(write).collect()
    }

    #[test]
    fn a_driver_that_was_stopped_comes_back_by_its_override_and_leaves_the_next_ones_as_it_was() {
        let address = "0000:01:00.0".parse().unwrap();
        let unbind = |driver_override: Option<&str>| {
            let driver_override = driver_override.map(str::to_owned);
            undone_by(&Action::Unbind { address, driver: "nvme".to_owned(), driver_override })
        };
        let bind = "0000:01:00.0 > bus/pci/drivers/nvme/bind";
        assert_eq!(unbind(None), [bind]);
        assert_eq!(unbind(Some("nvme")), ["nvme > D/driver_override", bind]);
        let next = unbind(Some("vfio-pci"));
        assert_eq!(next, ["nvme > D/driver_override", bind, "vfio-pci > D/driver_override"]);
    }

    #[test]
    fn drivers_are_kept_from_vfs_that_are_put_back_and_only_from_them() {
        let address = "0000:01:00.0".parse().unwrap();
        let set = |count, was, autoprobe| undone_by(&Action::set_vfs(address, count, was, autoprobe));
        let (off, on) = ("0 > D/sriov_drivers_autoprobe", "1 > D/sriov_drivers_autoprobe");
        assert_eq!(set(0, 4, true), [off, "4 > D/sriov_numvfs", on]);
        assert_eq!(set(0, 4, false), ["4 > D/sriov_numvfs"]);
        assert_eq!(set(4, 0, true), ["0 > D/sriov_numvfs"]);
    }
}
