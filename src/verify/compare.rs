//! What differs between a function as it was and as it is: the pure half of the proof that a device came back.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::topology::vf_setting::to_change;
use crate::verify::record::{Bar, DeviceRecord};

/// What can differ, as `--accept` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// It is not there.
    Missing,
    /// It is there and was not before.
    New,
    /// It answers at another address, or sits at another place.
    Moved,
    /// Something else sits there: other ids, or another serial number.
    Device,
    /// Another driver has it, or none.
    Driver,
    /// The link is slower or narrower.
    Link,
    /// A BAR has no address, or a smaller one.
    Bars,
    /// It has fewer VFs, other drivers have them, or their MACs or other settings are lost.
    Vfs,
    /// Its disks or interfaces have other names, or none.
    Names,
    /// It is in another IOMMU group.
    Iommu,
    /// What --expect asked for did not come.
    Expected,
}

impl DifferenceKind {
    /// Every value, in the order of help and tables.
    pub(crate) const ALL: &[Self] = &[
        Self::Missing,
        Self::New,
        Self::Moved,
        Self::Device,
        Self::Driver,
        Self::Link,
        Self::Bars,
        Self::Vfs,
        Self::Names,
        Self::Iommu,
        Self::Expected,
    ];

    /// The word that stands for it on the command line and in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::New => "new",
            Self::Moved => "moved",
            Self::Device => "device",
            Self::Driver => "driver",
            Self::Link => "link",
            Self::Bars => "bars",
            Self::Vfs => "vfs",
            Self::Names => "names",
            Self::Iommu => "iommu",
            Self::Expected => "expected",
        }
    }

    /// What it means, for help.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Missing => "It is not there",
            Self::New => "It is there and was not before",
            Self::Moved => "It answers at another address, or sits at another place",
            Self::Device => "Something else sits there: other ids, or another serial number",
            Self::Driver => "Another driver has it, or none",
            Self::Link => "The link is slower or narrower",
            Self::Bars => "A BAR has no address, or a smaller one",
            Self::Vfs => "It has fewer VFs, other drivers have them, or their MACs or other settings are lost",
            Self::Names => "Its disks or interfaces have other names, or none",
            Self::Iommu => "It is in another IOMMU group",
            Self::Expected => "What --expect asked for did not come",
        }
    }
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Difference {
    /// What kind of difference.
    pub kind: DifferenceKind,
    /// The function: where it answers now, or answered. None for what was expected of all that comes.
    pub(crate) address: Option<PciAddress>,
    /// What exactly, in a word or two.
    pub what: String,
    /// What it was.
    pub(crate) old: Option<String>,
    /// What it is.
    pub(crate) new: Option<String>,
    /// Whether it makes the exit status 6.
    pub(crate) matters: bool,
    /// Why, if that is known.
    pub(crate) why: Option<String>,
    /// Whose entry of the ledger says so; none for what was seen just before the scan.
    pub(crate) place: Option<Place>,
}

/// Collects what differs about one function.
struct Differences<'a> {
    now: &'a DeviceRecord,
    found: Vec<Difference>,
}

impl Differences<'_> {
    fn add(&mut self, kind: DifferenceKind, what: impl Into<String>, old: Option<String>, new: Option<String>) {
        self.note(kind, what, old, new, true);
    }

    fn note(
        &mut self,
        kind: DifferenceKind,
        what: impl Into<String>,
        old: Option<String>,
        new: Option<String>,
        matters: bool,
    ) {
        let (address, what) = (Some(self.now.address), what.into());
        let place = Some(self.now.place.clone());
        self.found.push(Difference { kind, address, what, old, new, matters, why: None, place });
    }
}

/// Everything about a function that is not as it was, what matters most first.
pub(crate) fn compare(was: &DeviceRecord, now: &DeviceRecord) -> Vec<Difference> {
    let mut findings = Differences { now, found: Vec::new() };
    if was.address != now.address {
        findings.add(DifferenceKind::Moved, "address", Some(was.address.to_string()), Some(now.address.to_string()));
    }
    if was.place != now.place {
        findings.add(DifferenceKind::Moved, "place", Some(was.place.to_string()), Some(now.place.to_string()));
    }
    identity(&mut findings, was);
    if was.driver != now.driver && was.driver.is_some() {
        findings.add(DifferenceKind::Driver, "driver", was.driver.clone(), now.driver.clone());
    }
    link(&mut findings, was);
    bars(&mut findings, &was.bars);
    virtual_functions(&mut findings, was);
    names(&mut findings, was);
    iommu(&mut findings, was);
    findings.found
}

/// Whether the same piece of hardware sits there, as far as one can tell.
pub(crate) fn is_same_device(was: &DeviceRecord, now: &DeviceRecord) -> bool {
    let mut findings = Differences { now, found: Vec::new() };
    identity(&mut findings, was);
    findings.found.is_empty()
}

fn identity(findings: &mut Differences<'_>, was: &DeviceRecord) {
    let now = findings.now;
    for (what, old, new) in [
        ("ids", &was.ids, &now.ids),
        ("subsystem", &was.subsystem, &now.subsystem),
        ("class", &was.class, &now.class),
        ("serial number", &was.serials.dsn, &now.serials.dsn),
        ("NVMe serial number", &was.serials.nvme, &now.serials.nvme),
    ] {
        // A number that is not told now says nothing: the driver that would tell it may be missing, the device asleep.
        if old.is_some() && new.is_some() && old != new {
            findings.add(DifferenceKind::Device, what, old.clone(), new.clone());
        }
    }
    let (old, new) = (&was.serials.mac, &now.serials.mac);
    if !old.is_empty() && !new.is_empty() && old != new {
        findings.add(DifferenceKind::Device, "MAC", Some(old.join(" ")), Some(new.join(" ")));
    }
}

/// The link belongs to the whole device: its first function stands for it.
fn link(findings: &mut Differences<'_>, was: &DeviceRecord) {
    let (Some(old), Some(new)) = (&was.link, &findings.now.link) else { return };
    if new.is_worse_than(old) && findings.now.address.function == 0 {
        let (old, new) = (old.to_string(), new.to_string());
        findings.add(DifferenceKind::Link, "link", Some(old), Some(new));
    }
}

fn bars(findings: &mut Differences<'_>, was: &[Bar]) {
    let now = findings.now;
    for old in was.iter().filter(|bar| bar.assigned) {
        let new = now.bars.iter().find(|bar| bar.index == old.index);
        let lost = match new {
            None => "not assigned".to_owned(),
            Some(new) if !new.assigned => "not assigned".to_owned(),
            Some(new) if new.size < old.size => size(new.size),
            Some(_) => continue,
        };
        findings.add(DifferenceKind::Bars, format!("BAR {}", old.index), Some(size(old.size)), Some(lost));
    }
    // What was never seen with its BARs assigned may lack some all the same.
    for new in now.bars.iter().filter(|bar| !bar.assigned && !was.iter().any(|old| old.index == bar.index)) {
        findings.add(DifferenceKind::Bars, format!("BAR {}", new.index), None, Some("not assigned".to_owned()));
    }
}

/// `16 MiB`, as lspci would say it.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let (mut number, mut unit) = (bytes, 0);
    while number >= 1024 && number % 1024 == 0 && unit + 1 < UNITS.len() {
        (number, unit) = (number / 1024, unit + 1);
    }
    format!("{number} {}", UNITS[unit])
}

fn virtual_functions(findings: &mut Differences<'_>, was: &DeviceRecord) {
    let now = findings.now;
    if now.vfs.len() < was.vfs.len() {
        let (old, new) = (was.vfs.len().to_string(), now.vfs.len().to_string());
        findings.add(DifferenceKind::Vfs, "VFs", Some(old), Some(new));
        return;
    }
    for (old, new) in was.vfs.iter().zip(&now.vfs) {
        if old.driver.is_some() && old.driver != new.driver {
            let what = format!("driver of VF {}", new.address);
            findings.add(DifferenceKind::Vfs, what, old.driver.clone(), new.driver.clone());
        }
        for (value, told) in to_change(&old.settings, &new.settings) {
            // What is not told now may be as it was.
            let Some(told) = told else { continue };
            let what = format!("{} of VF {}", value.name(), new.address);
            findings.add(DifferenceKind::Vfs, what, Some(value.text()), Some(told.text()));
        }
    }
}

/// Names by class; links of /dev/disk follow their disks and are told only when they are gone.
fn names(findings: &mut Differences<'_>, was: &DeviceRecord) {
    let now = findings.now;
    let empty = Vec::new();
    for (class, old) in &was.names {
        let new = now.names.get(class).unwrap_or(&empty);
        let lost: Vec<&str> = old.iter().filter(|name| !new.contains(name)).map(String::as_str).collect();
        if lost.is_empty() {
            continue;
        }
        let came: Vec<&str> = new.iter().filter(|name| !old.contains(name)).map(String::as_str).collect();
        findings.add(DifferenceKind::Names, class, Some(lost.join(" ")), (!came.is_empty()).then(|| came.join(" ")));
    }
    let lost: Vec<&str> = was.by_id.iter().filter(|link| !now.by_id.contains(link)).map(String::as_str).collect();
    if !lost.is_empty() && now.names.contains_key("block") {
        findings.add(DifferenceKind::Names, "/dev/disk/by-id", Some(lost.join(" ")), None);
    }
}

/// The number alone is dealt anew each time; that there is a group no more is a loss of isolation.
fn iommu(findings: &mut Differences<'_>, was: &DeviceRecord) {
    let new = findings.now.iommu_group;
    if was.iommu_group.is_some() && was.iommu_group != new {
        let text = |group: Option<u32>| group.map(|group| group.to_string());
        findings.note(DifferenceKind::Iommu, "IOMMU group", text(was.iommu_group), text(new), new.is_none());
    }
}

/// Something that is not there any more.
pub(crate) fn missing(was: &DeviceRecord, what: &str) -> Difference {
    Difference {
        kind: DifferenceKind::Missing,
        address: Some(was.address),
        what: what.to_owned(),
        old: was.ids.clone(),
        new: None,
        matters: true,
        why: None,
        place: Some(was.place.clone()),
    }
}

/// What was accepted does not matter.
pub(crate) fn accept(findings: &mut [Difference], accepted: &[DifferenceKind]) {
    for finding in findings {
        finding.matters &= !accepted.contains(&finding.kind);
    }
}

/// Keeps in the record of a device what was better in an earlier one that is still waited for: a device that is removed
/// again while it is degraded must come back as it was before.
pub(crate) fn keep_better(new: &mut DeviceRecord, old: &DeviceRecord) {
    if !is_same_device(old, new) {
        return;
    }
    let lost = |what: DifferenceKind| compare(old, new).iter().any(|difference| difference.kind == what);
    let (vfs, link, bars, names) = (
        lost(DifferenceKind::Vfs),
        lost(DifferenceKind::Link) || new.link.is_none(),
        lost(DifferenceKind::Bars),
        lost(DifferenceKind::Names),
    );
    if vfs {
        new.vfs.clone_from(&old.vfs);
    }
    if link {
        new.link.clone_from(&old.link);
    }
    if bars {
        new.bars.clone_from(&old.bars);
    }
    if names {
        new.names.clone_from(&old.names);
        new.by_id.clone_from(&old.by_id);
    }
    if new.driver.is_none() {
        new.driver.clone_from(&old.driver);
    }
    if new.driver_override.is_none() {
        new.driver_override.clone_from(&old.driver_override);
    }
}

/// For every record that is not at its place any more: the new function, if there is exactly one, that is that device.
pub(crate) fn find_moved<'a>(gone: &[&DeviceRecord], new: &[&'a DeviceRecord]) -> BTreeMap<Place, &'a DeviceRecord> {
    let mut found = BTreeMap::new();
    for was in gone {
        // The functions of a card may share its serial number.
        let same = |now: &&&DeviceRecord| {
            was.address.function == now.address.function && was.serials.agree(&now.serials) && is_same_device(was, now)
        };
        let mut candidates = new.iter().filter(same);
        if let (Some(now), None) = (candidates.next(), candidates.next()) {
            found.insert(was.place.clone(), *now);
        }
    }
    found
}

#[cfg(test)]
mod tests;
