//! A slot as an operation works on it: switched off with what is in it, or switched on.

use crate::error::{Error, ErrorKind, Result};
use crate::host::sysfs::last_step;
use crate::lock::claims::Claims;
use crate::operation::acquire::LockTarget;
use crate::operation::context::Context;
use crate::operation::options::RemoveOptions;
use crate::operation::removal_record;
use crate::operation::remove::RemovalTarget;
use crate::operation::scan::{ScanRequest, ScannedSlot};
use crate::pci::address::PciAddress;
use crate::plan::slot::{SlotPort, plan_off, plan_on};
use crate::plan::step_state::is_slot_on;
use crate::report::slot::{SlotName, power_word};
use crate::resolve::scan_target::{ScanTarget, target};
use crate::resolve::slots::find_slot;
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Topology};
use crate::topology::slots::{Slot, SlotFile};

/// A slot and what leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlotTarget {
    pub(crate) slot: Slot,
    /// The bus that it is on.
    pub(crate) bus: ScanTarget,
    /// The functions in it, virtual ones too.
    pub(crate) functions: Vec<PciAddress>,
}

impl SlotTarget {
    /// Finds the slot that was named, and looks what is in it.
    ///
    /// # Errors
    /// There is no such slot, or nothing leads to it.
    pub(crate) fn read(context: &Context, text: &str) -> Result<Self> {
        let sysfs = &context.machine.sysfs;
        let slot = find_slot(sysfs, text)?;
        let bridge = slot.bridge(sysfs)?.ok_or_else(|| {
            let message = format!("{}: its bus is not there, so nothing leads to it", slot.title());
            Error::new(ErrorKind::NoSuchDevice, message).hint("rescan the bridge above it").fact("slot", &*slot.name)
        })?;
        let bus = target(sysfs, &bridge, format!("slot {} is on it", slot.name))?;
        let functions = slot.functions(sysfs, &bridge)?;
        Ok(Self { slot, bus, functions })
    }

    /// The same for who wants to switch its power.
    ///
    /// # Errors
    /// The slot has no power that can be switched.
    pub(crate) fn with_power(context: &Context, text: &str, instead: &str) -> Result<Self> {
        let target = Self::read(context, text)?;
        if target.slot.has(SlotFile::Power) {
            return Ok(target);
        }
        let message = format!("{}: its power cannot be switched", target.slot.title());
        let error = Error::new(ErrorKind::Unsupported, message).fact("slot", &*target.slot.name);
        Err(error.hint(instead.replace("NAME", &target.slot.name)))
    }

    /// As plans name it.
    pub(crate) fn port(&self) -> SlotPort {
        let port = PciAddress::from_sysfs_name(last_step(&self.bus.bridge));
        SlotPort { slot: self.slot.name.clone(), port, place: self.bus.place.clone() }
    }

    /// As reports name it.
    pub(crate) fn name(&self) -> SlotName {
        SlotName { slot: self.slot.name.clone(), address: self.slot.address, port: self.port().port }
    }

    /// Whether it has power; none if it does not say.
    pub(crate) fn is_on(&self, context: &Context) -> Option<bool> {
        is_slot_on(&context.machine.sysfs, &self.slot.name)
    }

    /// What it says of its power, for reports.
    pub(crate) fn power(&self, context: &Context) -> &'static str {
        power_word(&context.machine.sysfs, &self.slot)
    }
}

/// A slot that is to be switched off, with what is in it.
pub(crate) struct SlotOffTarget {
    pub(crate) slot: SlotTarget,
    pub(crate) removal: RemovalTarget,
}

impl SlotOffTarget {
    /// Reads what is in it, and plans.
    ///
    /// # Errors
    /// There is no such slot, it cannot be switched, or what is in it cannot be removed.
    pub(crate) fn read(context: &Context, text: &str, options: &RemoveOptions) -> Result<Self> {
        let instead = "pcictl remove --each slot:NAME takes away what is in it, and leaves it its power";
        let slot = SlotTarget::with_power(context, text, instead)?;
        let fields = if options.change.dry_run { Fields::PLAN } else { Fields::ALL };
        let topology = Topology::load_around(&context.machine.sysfs, &slot.functions, fields)?;
        let found = slot.functions.iter().filter_map(|address| topology.find(*address));
        // Virtual functions go with their physical ones.
        let targets: Vec<FunctionId> = found.filter(|id| topology.function(*id).virtual_of.is_none()).collect();
        let plan = plan_off(&topology, &targets, &slot.port())?;
        let removal = RemovalTarget::new(context, topology, plan)?.with_port(slot.bus.bridge.clone());
        Ok(Self { slot, removal })
    }

    /// Whether nothing is left to be done.
    pub(crate) fn is_off(&self, context: &Context) -> bool {
        self.slot.functions.is_empty() && self.slot.is_on(context) == Some(false)
    }
}

impl LockTarget for SlotOffTarget {
    fn claims(&self) -> &Claims {
        self.removal.claims()
    }

    fn same_devices(&self, other: &Self) -> bool {
        self.slot == other.slot && self.removal.same_devices(&other.removal)
    }
}

/// A slot that is to be switched on.
pub(crate) struct SlotOnTarget {
    pub(crate) slot: SlotTarget,
    pub(crate) scan: ScanRequest,
}

impl SlotOnTarget {
    /// Looks what is in it, and plans.
    ///
    /// # Errors
    /// There is no such slot, or it cannot be switched.
    pub(crate) fn read(context: &Context, text: &str) -> Result<Self> {
        let slot = SlotTarget::with_power(context, text, "pcictl rescan --slot NAME looks for what is in it")?;
        let known = removal_record::last_seen(&removal_record::entries(context));
        let was_in_it = known.iter().filter(|seen| seen.slot.as_deref() == Some(&slot.slot.name));
        let scan = ScanRequest {
            plan: plan_on(&slot.port()),
            wanted: was_in_it.filter_map(|seen| seen.addresses.first().copied()).collect(),
            targets: vec![slot.bus.clone()],
            notes: Vec::new(),
            slot: Some(ScannedSlot { title: slot.slot.title(), device: slot.slot.device() }),
        };
        Ok(Self { slot, scan })
    }

    /// Whether nothing is left to be done. What is at work has power, whatever the slot says.
    pub(crate) fn is_on(&self, context: &Context) -> bool {
        !self.slot.functions.is_empty() && self.slot.is_on(context) != Some(false)
    }
}

impl LockTarget for SlotOnTarget {
    fn claims(&self) -> &Claims {
        self.scan.claims()
    }

    fn same_devices(&self, other: &Self) -> bool {
        self.slot == other.slot && self.scan.same_devices(&other.scan)
    }
}
