//! What to do, as data: steps, what each must wait for, and the claims it takes. Nothing here touches a machine.

use std::collections::BTreeMap;
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::lock::claims::Claims;
use crate::pci::address::{BusNumber, PciAddress};
use crate::topology::attributes::AUTOPROBE;
use crate::topology::vf_setting::VfSetting;
use crate::verify::record::VirtualRecord;

/// Names a step: its index in the whole plan, and whether it is done or undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepRef {
    /// Index into the plan.
    pub step: usize,
    /// Whether what the step did is taken back.
    pub undo: bool,
}

impl fmt::Display for StepRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.undo { "undo-" } else { "do-" }, self.step)
    }
}

impl FromStr for StepRef {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (undo, number) = match text.strip_prefix("undo-") {
            Some(number) => (true, number),
            None => (false, text.strip_prefix("do-").unwrap_or(text)),
        };
        Ok(Self { step: number.parse()?, undo })
    }
}

impl Serialize for StepRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StepRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One write to the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Stop the driver of a function; it may take as long as the driver likes.
    Unbind {
        /// The function.
        address: PciAddress,
        /// The driver that is to let go.
        driver: String,
        /// What `driver_override` says, for a function that may lose it: putting the driver back sets it first.
        /// An empty one is cleared again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        driver_override: Option<String>,
    },
    /// Give a function back to a driver.
    Bind {
        /// The function.
        address: PciAddress,
        /// The driver that is to take it.
        driver: String,
    },
    /// Set the number of virtual functions.
    SetVfs {
        /// The physical function.
        address: PciAddress,
        /// How many there shall be; 0 takes them all away.
        count: usize,
        /// How many there were when the plan was made.
        was: usize,
        /// Drivers take VFs that appear (`sriov_drivers_autoprobe`). Where VFs are put back it is off meanwhile, so that
        /// each gets the driver that it had and no other.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        autoprobe: bool,
        /// What `driver_override` says of VFs that no driver has: where VFs are put back they get it back.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        idle_overrides: BTreeMap<PciAddress, String>,
        /// What the physical function's driver was told to keep for VFs: where VFs are put back they get it back.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        settings: Vec<VfSetting>,
    },
    /// Create virtual functions where there are none. While it is done no driver may have them, or the kernel would wait for
    /// each one's probe in turn and hold `pci_rescan_remove_lock` meanwhile (sriov_add_vfs in drivers/pci/iov.c).
    CreateVfs {
        /// The physical function.
        address: PciAddress,
        /// How many.
        count: usize,
        /// What is to be done for their drivers as soon as it is known where they are; none if nothing is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drivers: Option<VfDrivers>,
    },
    /// Have the physical function's driver keep something for a VF, which needs no file but RTM_SETLINK at its interface
    /// (do_setvfinfo in net/core/rtnetlink.c).
    SetVf {
        /// The physical function.
        address: PciAddress,
        /// What, and for which VF.
        #[serde(rename = "to")]
        setting: VfSetting,
        /// What it was when the plan was made; none where nothing tells, or the VF was not there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        was: Option<VfSetting>,
    },
    /// Remove a function and all below it.
    Remove {
        /// The function at the top.
        address: PciAddress,
    },
    /// Scan a bus and all below it for what is new.
    Rescan {
        /// The bus.
        bus: BusNumber,
    },
    /// Scan every bus.
    RescanAll,
    /// Say which driver alone may have a function.
    Override {
        /// The function.
        address: PciAddress,
        /// The driver; empty to clear it.
        driver: String,
        /// What it said before, empty if nothing; none where it is not to be put back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        was: Option<String>,
    },
    /// Have the drivers asked whether one of them takes a function.
    Probe {
        /// The function.
        address: PciAddress,
        /// The driver that must take it; none if whichever takes it will do, or none at all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        driver: Option<String>,
    },
    /// Write a setting of a function.
    Set {
        /// The function.
        address: PciAddress,
        /// The file in its directory. (A step, into which this is flattened, has a `file` and a `value` of its own.)
        #[serde(rename = "setting")]
        file: String,
        /// The value.
        #[serde(rename = "to")]
        value: String,
        /// The value when the plan was made.
        was: String,
    },
    /// Reset a function in the way its `reset_method` allows.
    Reset {
        /// The function.
        address: PciAddress,
        /// It may be done by a reset of the bus or slot, which walks all that is on the bus.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        hits_bus: bool,
    },
    /// Reset everything on the bus that a bridge leads to.
    ResetBelow {
        /// The bridge.
        address: PciAddress,
    },
    /// Switch a slot's power.
    SlotPower {
        /// The slot.
        slot: String,
        /// On or off.
        on: bool,
        /// The port that leads to it; none on a root bus, or where that was not noted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<PciAddress>,
        /// The tops of what the kernel removes when it is switched off; empty where that is gone by then.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        functions: Vec<PciAddress>,
    },
    /// Set the attention indicator of a slot.
    SlotAttention {
        /// The slot.
        slot: String,
        /// The port that leads to it; none on a root bus.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<PciAddress>,
        /// What it is to show.
        #[serde(rename = "to")]
        value: Attention,
        /// What it showed when the plan was made.
        was: Attention,
    },
}

impl Action {
    /// In one word, as documents and journals have it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Unbind { .. } => "unbind",
            Self::Bind { .. } => "bind",
            Self::SetVfs { .. } => "set_vfs",
            Self::CreateVfs { .. } => "create_vfs",
            Self::SetVf { .. } => "set_vf",
            Self::Remove { .. } => "remove",
            Self::Rescan { .. } => "rescan",
            Self::RescanAll => "rescan_all",
            Self::Override { .. } => "override",
            Self::Probe { .. } => "probe",
            Self::Set { .. } => "set",
            Self::Reset { .. } => "reset",
            Self::ResetBelow { .. } => "reset_below",
            Self::SlotPower { .. } => "slot_power",
            Self::SlotAttention { .. } => "slot_attention",
        }
    }
}

/// What an attention indicator shows (pciehp_get_attention_status in drivers/pci/hotplug/pciehp_hpc.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attention {
    /// Nothing.
    Off,
    /// It is lit.
    On,
    /// It blinks.
    Blinking,
}

impl Attention {
    /// Reads what sysfs says; none for what is no such value, as the raw bits of a port below VMD.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Off, Self::On, Self::Blinking].into_iter().find(|value| value.file_value() == text)
    }

    fn file_value(self) -> &'static str {
        match self {
            Self::Off => "0",
            Self::On => "1",
            Self::Blinking => "2",
        }
    }

    /// In a word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Blinking => "blinking",
        }
    }
}

/// How new virtual functions come to their drivers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VfDrivers {
    /// The driver that each must get; none if whichever takes them will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) driver: Option<String>,
    /// Drivers may take VFs again in the end (`sriov_drivers_autoprobe`).
    pub(crate) autoprobe: bool,
    /// What the VFs before them were, by their index: these become so again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) was: Vec<VirtualRecord>,
    /// The physical function may sleep again when they have them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) sleeps: bool,
}

/// An action and where it stands among the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What to do.
    #[serde(flatten)]
    pub action: Action,
    /// The file to write, below `sys`.
    pub file: String,
    /// What to write.
    pub value: String,
    /// Which earlier steps must be done first; indices into the plan.
    pub after: Vec<usize>,
}

impl Step {
    /// What makes an action happen; `directory` is the function's or the bus's own, below `sys`.
    pub(crate) fn new(action: Action, directory: &str, after: Vec<usize>) -> Self {
        let (file, value) = action.write(directory);
        Self { action, file, value, after }
    }
}

/// Steps in an order in which each comes after all that it waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// What must be held while they are done.
    pub claims: Claims,
}

impl Plan {
    pub(crate) fn push(&mut self, action: Action, directory: &str, after: Vec<usize>) -> usize {
        self.steps.push(Step::new(action, directory, after));
        self.steps.len() - 1
    }

    /// Adds a step that waits for all before it.
    pub(crate) fn push_after_all(&mut self, action: Action, directory: &str) {
        self.push(action, directory, (0..self.steps.len()).collect());
    }

    /// Adds a step that waits for the one before it.
    pub(crate) fn push_last(&mut self, action: Action, directory: &str) {
        let after = self.steps.len().checked_sub(1).into_iter().collect();
        self.push(action, directory, after);
    }
}

impl Action {
    /// The function that is acted upon, if it is one.
    pub fn address(&self) -> Option<PciAddress> {
        match self {
            Self::Unbind { address, .. }
            | Self::Bind { address, .. }
            | Self::SetVfs { address, .. }
            | Self::CreateVfs { address, .. }
            | Self::SetVf { address, .. }
            | Self::Override { address, .. }
            | Self::Probe { address, .. }
            | Self::Set { address, .. }
            | Self::Reset { address, .. }
            | Self::ResetBelow { address }
            | Self::Remove { address } => Some(*address),
            Self::Rescan { .. } | Self::RescanAll | Self::SlotPower { .. } | Self::SlotAttention { .. } => None,
        }
    }

    /// The file and the value that make it happen; `directory` is the function's or the bus's own, below `sys`.
    pub(crate) fn write(&self, directory: &str) -> (String, String) {
        match self {
            Self::Unbind { address, driver, .. } => (format!("bus/pci/drivers/{driver}/unbind"), address.to_string()),
            Self::Bind { address, driver } => (format!("bus/pci/drivers/{driver}/bind"), address.to_string()),
            Self::SetVfs { count, .. } | Self::CreateVfs { count, .. } => {
                (format!("{directory}/sriov_numvfs"), count.to_string())
            }
            Self::SetVf { setting, .. } => (format!("{directory}/net"), setting.to_string()),
            Self::Remove { .. } => (format!("{directory}/remove"), "1".to_owned()),
            Self::Rescan { .. } => (format!("{directory}/rescan"), "1".to_owned()),
            Self::RescanAll => ("bus/pci/rescan".to_owned(), "1".to_owned()),
            // An empty line clears it (driver_set_override, drivers/base/driver.c); nothing at all would write nothing.
            Self::Override { driver, .. } if driver.is_empty() => (format!("{directory}/driver_override"), "\n".into()),
            Self::Override { driver, .. } => (format!("{directory}/driver_override"), driver.clone()),
            Self::Probe { address, .. } => ("bus/pci/drivers_probe".to_owned(), address.to_string()),
            Self::Set { file, value, .. } => (format!("{directory}/{file}"), value.clone()),
            Self::Reset { .. } => (format!("{directory}/reset"), "1".to_owned()),
            Self::ResetBelow { .. } => (format!("{directory}/reset_subordinate"), "1".to_owned()),
            Self::SlotPower { slot, on, .. } => (format!("bus/pci/slots/{slot}/power"), u8::from(*on).to_string()),
            Self::SlotAttention { slot, value, .. } => {
                (format!("bus/pci/slots/{slot}/attention"), value.file_value().to_owned())
            }
        }
    }

    /// Whether it has the kernel look for devices.
    pub(crate) fn is_scan(&self) -> bool {
        matches!(self, Self::Rescan { .. } | Self::RescanAll)
    }

    /// The tops of what it removes.
    pub(crate) fn removes(&self) -> &[PciAddress] {
        match self {
            Self::Remove { address } => std::slice::from_ref(address),
            Self::SlotPower { on: false, functions, .. } => functions,
            _ => &[],
        }
    }

    /// Whether it helps to bring devices back, so that what comes before it was done for good.
    pub(crate) fn brings_back(&self) -> bool {
        self.is_scan() || matches!(self, Self::SlotPower { .. }) && self.removes().is_empty()
    }

    /// Whether there may be functions after it that were not there before.
    pub(crate) fn brings_functions(&self) -> bool {
        self.brings_back() || matches!(self, Self::SetVfs { count, .. } | Self::CreateVfs { count, .. } if *count > 0)
    }

    /// Whether it takes something away from a driver, for which users must be looked for first.
    pub(crate) fn stops_drivers(&self) -> bool {
        match self {
            Self::Unbind { .. } => true,
            Self::SetVfs { count, was, .. } => count < was,
            _ => false,
        }
    }

    /// Whether whoever uses a device may notice it, for which users must be looked for first.
    pub(crate) fn disturbs_users(&self) -> bool {
        // A VF at work is reset by its physical function's driver, or has another MAC all at once.
        self.stops_drivers() || matches!(self, Self::Reset { .. } | Self::SetVf { .. })
    }

    /// Whether it gives a function to a driver.
    pub(crate) fn gives_driver(&self) -> bool {
        matches!(self, Self::Bind { .. } | Self::Probe { .. })
    }

    /// Whether it only sets a value: to set it again, or back, does no harm where nobody can tell whether it was set.
    pub(crate) fn is_setting(&self) -> bool {
        matches!(self, Self::Override { .. } | Self::Set { .. } | Self::SetVf { .. } | Self::SlotAttention { .. })
    }

    /// Sets the number of VFs; nothing is known yet of what it takes to put them back.
    pub fn set_vfs(address: PciAddress, count: usize, was: usize, autoprobe: bool) -> Self {
        Self::SetVfs { address, count, was, autoprobe, idle_overrides: BTreeMap::new(), settings: Vec::new() }
    }

    /// Lets drivers take VFs that appear, or keeps them from it; undoing it sets the other.
    pub(crate) fn autoprobe(physical: PciAddress, on: bool) -> Self {
        let text = |on: bool| u8::from(on).to_string();
        Self::Set { address: physical, file: AUTOPROBE.to_owned(), value: text(on), was: text(!on) }
    }

    /// Sets a driver override that nothing puts back.
    pub fn overriding(address: PciAddress, driver: String) -> Self {
        Self::Override { address, driver, was: None }
    }

    /// Whether anything puts this back as it was.
    pub(crate) fn can_be_undone(&self) -> bool {
        !self.undo().is_empty()
    }
}

/// Whether all that can be undone of these steps is undone when they are done, as drivers are only stopped for a reset.
pub(crate) fn ends_as_it_began(steps: &[Step]) -> bool {
    let stays = |action: &Action| {
        matches!(action, Action::Remove { .. } | Action::SlotPower { .. }) || action.is_scan() || action.gives_driver()
    };
    let mut actions = steps.iter().map(|step| &step.action);
    actions.clone().any(|action| matches!(action, Action::Reset { .. })) && !actions.any(stays)
}

/// Phases as one plan: each step waits for what it waits for in its own phase, and for all phases before.
pub fn in_sequence<'a>(phases: impl IntoIterator<Item = &'a [Step]>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for phase in phases {
        let before = steps.len();
        steps.extend(phase.iter().cloned().map(|step| {
            let after = (0..before).chain(step.after.iter().map(|index| before + index)).collect();
            Step { after, ..step }
        }));
    }
    steps
}
