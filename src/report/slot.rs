//! Slots, and what was done to one.

use serde::Serialize;

use crate::host::sysfs::{Sysfs, last_step};
use crate::pci::address::PciAddress;
use crate::plan::action::Attention;
use crate::report::change::{FunctionSummary, RemoveReport, RescanReport};
use crate::report::inspector::Inspector;
use crate::terminal::document::Document;
use crate::topology::fields::{Fields, IdsOf};
use crate::topology::model::Topology;
use crate::topology::slots::{Slot, SlotAddress, SlotFile};

/// One slot.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct SlotRow {
    /// Its name.
    pub(crate) name: String,
    /// The device, or the bus, that it is; none if it does not say.
    pub(crate) address: Option<SlotAddress>,
    /// The port, or the host bridge, that leads to it; none if its bus is not there.
    pub(crate) port: Option<String>,
    /// What drives it; none if the kernel does not tell.
    pub(crate) driver: Option<String>,
    /// Which of its files are there.
    pub(crate) controls: Vec<SlotFile>,
    /// Whether a function is in it; none if nobody could look.
    pub(crate) occupied: Option<bool>,
    /// The functions in it.
    pub(crate) functions: Vec<FunctionSummary>,
    /// What the hardware says, where it was asked.
    #[serde(flatten)]
    pub(crate) readings: Option<SlotReadings>,
}

impl Document for SlotRow {
    const KIND: &'static str = "slot";
}

/// The slots.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct SlotList {
    /// In the order of their addresses.
    pub(crate) slots: Vec<SlotRow>,
}

impl Document for SlotList {
    const KIND: &'static str = "slots";
}

/// What the files of a slot say, each in a word: `unknown` where one says nothing, `not_controllable` or `not_reported` where it
/// is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct SlotReadings {
    /// `on` or `off`.
    pub(crate) power: &'static str,
    /// `present` or `empty`: what is plugged in, whether the kernel has a function for it or not.
    pub(crate) adapter: &'static str,
    /// `closed` or `open`.
    pub(crate) latch: &'static str,
    /// `off`, `on` or `blinking`.
    pub(crate) attention: &'static str,
}

impl SlotReadings {
    /// Reads them, which asks the hardware.
    pub(crate) fn read(sysfs: &Sysfs, slot: &Slot) -> Self {
        let attention = || {
            let value = slot.value(sysfs, SlotFile::Attention).and_then(|text| Attention::parse(&text));
            value.map_or("unknown", Attention::name)
        };
        Self {
            power: power_word(sysfs, slot),
            adapter: word(sysfs, slot, SlotFile::Adapter, "not_reported", ["empty", "present"]),
            latch: word(sysfs, slot, SlotFile::Latch, "not_reported", ["closed", "open"]),
            attention: if slot.has(SlotFile::Attention) { attention() } else { "not_controllable" },
        }
    }
}

/// What a slot says of its power alone.
pub(crate) fn power_word(sysfs: &Sysfs, slot: &Slot) -> &'static str {
    word(sysfs, slot, SlotFile::Power, "not_controllable", ["off", "on"])
}

fn word(
    sysfs: &Sysfs,
    slot: &Slot,
    file: SlotFile,
    lacking: &'static str,
    [zero, one]: [&'static str; 2],
) -> &'static str {
    if !slot.has(file) {
        return lacking;
    }
    match slot.value(sysfs, file).as_deref() {
        Some("0") => zero,
        Some("1") => one,
        _ => "unknown",
    }
}

impl SlotRow {
    /// A slot with what is in it; `asks_hardware` for what its files say.
    pub(crate) fn read(sysfs: &Sysfs, inspector: &mut Inspector<'_>, slot: &Slot, asks_hardware: bool) -> Self {
        let bridge = slot.bridge(sysfs).ok().flatten();
        let there = bridge.as_ref().and_then(|bridge| slot.functions(sysfs, bridge).ok());
        Self {
            name: slot.name.clone(),
            address: slot.address,
            port: bridge.map(|bridge| last_step(&bridge).to_owned()),
            driver: slot.driver.clone(),
            controls: slot.files.clone(),
            occupied: there.as_ref().map(|there| !there.is_empty()),
            functions: functions(sysfs, inspector, &there.unwrap_or_default()),
            readings: asks_hardware.then(|| SlotReadings::read(sysfs, slot)),
        }
    }
}

fn functions(sysfs: &Sysfs, inspector: &mut Inspector<'_>, there: &[PciAddress]) -> Vec<FunctionSummary> {
    let fields = Fields { ids: IdsOf::Everyone, driver: true, ..Fields::default() };
    let Ok(topology) = Topology::load_only(sysfs, there, fields) else { return Vec::new() };
    let ids = there.iter().filter_map(|address| topology.find(*address)).map(|id| topology.function(id));
    ids.map(|function| inspector.seen(function.address, function.ids, function.driver.as_deref())).collect()
}

/// Which slot a report is about.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct SlotName {
    /// Its name.
    pub(crate) slot: String,
    /// Where it is.
    pub(crate) address: Option<SlotAddress>,
    /// The port that leads to it; none on a root bus.
    pub(crate) port: Option<PciAddress>,
}

/// What `slot off` did.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct SlotOffReport {
    /// Which slot.
    #[serde(flatten)]
    pub(crate) slot: SlotName,
    /// What the slot says of its power now.
    pub(crate) power: &'static str,
    /// Something was removed or switched.
    #[serde(skip)]
    pub(crate) changed: bool,
    /// What was in it.
    pub(crate) removed: RemoveReport,
}

impl Document for SlotOffReport {
    const KIND: &'static str = "slot_off";

    fn changed(&self) -> Option<bool> {
        Some(self.changed)
    }
}

/// What `slot on` did.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct SlotOnReport {
    /// Which slot.
    #[serde(flatten)]
    pub(crate) slot: SlotName,
    /// What the slot says of its power now.
    pub(crate) power: &'static str,
    /// Something appeared or was switched.
    #[serde(skip)]
    pub(crate) changed: bool,
    /// What came; none where nothing was done, because it was on.
    pub(crate) rescanned: Option<RescanReport>,
}

impl Document for SlotOnReport {
    const KIND: &'static str = "slot_on";

    fn changed(&self) -> Option<bool> {
        Some(self.changed)
    }
}

/// What `slot identify` did.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct SlotIdentifyReport {
    /// Which slot.
    #[serde(flatten)]
    pub(crate) slot: SlotName,
    /// What shows it: the `attention indicator`, or a `light` with its name.
    pub(crate) indicator: String,
    /// Whether it shows the slot now.
    pub(crate) on: bool,
    /// Something was written; else it was so already.
    #[serde(skip)]
    pub(crate) changed: bool,
    /// Seconds that it showed the slot, where that was for a while.
    pub(crate) seconds: Option<f64>,
}

impl Document for SlotIdentifyReport {
    const KIND: &'static str = "slot_identify";

    fn changed(&self) -> Option<bool> {
        Some(self.changed)
    }
}

impl SlotName {
    /// As messages name it.
    pub(crate) fn title(&self) -> String {
        match self.address {
            Some(address) => format!("slot {} ({address})", self.slot),
            None => format!("slot {}", self.slot),
        }
    }
}
