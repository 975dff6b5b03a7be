//! What a rescan came to: all that was known before against all that is there now.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::order;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::verify::compare::{Difference, DifferenceKind, accept, compare, find_moved, missing};
use crate::verify::record::{DeviceRecord, RemovedDevice};

/// How an entry ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The function came back as it was.
    Back,
    /// What differs was accepted.
    Accepted,
    /// Another removal at the same place took its stead.
    Replaced,
}

/// What was known and what is there.
pub struct ComparisonInput<'a> {
    /// What was there before the scan, briefly.
    pub before: &'a BTreeMap<PciAddress, DeviceRecord>,
    /// What is there now: in full where it came or the ledger knows its place, else briefly.
    pub after: &'a BTreeMap<PciAddress, DeviceRecord>,
    /// What the ledger knows of the scanned part.
    pub entries: &'a [RemovedDevice],
    /// Addresses that were asked for.
    pub wanted: &'a [PciAddress],
    /// What does not matter.
    pub accepted: &'a [DifferenceKind],
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// All that differs, by address.
    pub findings: Vec<Difference>,
    /// Functions that the ledger knew and that are as they were.
    pub(crate) back: Vec<PciAddress>,
    /// Entries of the ledger that have ended by this.
    pub ended: Vec<(Place, CloseReason)>,
}

/// Compares everything.
pub fn compare_all(evidence: &ComparisonInput<'_>) -> Comparison {
    let mut verdict = Comparison::default();
    let at_place: BTreeMap<&Place, &DeviceRecord> =
        order::map(evidence.after.values().map(|record| (&record.place, record)));
    let gone: Vec<&DeviceRecord> =
        evidence.entries.iter().map(|entry| &entry.record).filter(|was| !at_place.contains_key(&was.place)).collect();
    // Hotplug may have found it before the scan did, so it need not have come just now.
    let new: Vec<&DeviceRecord> = evidence.after.values().filter(|now| !is_known(evidence, &now.place)).collect();
    let moved = find_moved(&gone, &new);

    for entry in evidence.entries {
        let was = &entry.record;
        let now = at_place.get(&was.place).copied().or_else(|| moved.get(&was.place).copied());
        let mut findings = now.map_or_else(|| vec![missing(was, "removed and not back")], |now| compare(was, now));
        accept(&mut findings, evidence.accepted);
        verdict.entry_ended(was, now, &findings, evidence.accepted);
        verdict.findings.extend(findings);
    }
    let told: BTreeSet<PciAddress> = order::set(moved.values().map(|now| now.address));
    let mut rest = unknown(evidence, &told);
    rest.extend(vanished(evidence));
    rest.extend(not_there(evidence, &at_place));
    accept(&mut rest, evidence.accepted);
    verdict.findings.extend(rest);
    order::sort_by(&mut verdict.findings, |a, b| a.address.cmp(&b.address));
    verdict
}

impl Comparison {
    /// An entry ends when its function is as it was, or differs in ways that were accepted.
    fn entry_ended(
        &mut self,
        was: &DeviceRecord,
        now: Option<&DeviceRecord>,
        findings: &[Difference],
        accepted: &[DifferenceKind],
    ) {
        if findings.iter().any(|finding| finding.matters) {
            return;
        }
        let differs = findings.iter().any(|finding| accepted.contains(&finding.kind));
        if let (Some(now), false) = (now, differs) {
            self.back.push(now.address);
        }
        self.ended.push((was.place.clone(), if differs { CloseReason::Accepted } else { CloseReason::Back }));
    }

    /// Whether something differs that was not accepted.
    pub fn matters(&self) -> bool {
        self.findings.iter().any(|finding| finding.matters)
    }
}

fn is_known(evidence: &ComparisonInput<'_>, place: &Place) -> bool {
    evidence.entries.iter().any(|entry| entry.record.place == *place)
}

/// What the ledger knows nothing of: compared with what was there just before, or with nothing.
fn unknown(evidence: &ComparisonInput<'_>, told: &BTreeSet<PciAddress>) -> Vec<Difference> {
    let mut findings = Vec::new();
    for now in evidence.after.values().filter(|now| !is_known(evidence, &now.place) && !told.contains(&now.address)) {
        match evidence.before.get(&now.address) {
            Some(was) => findings.extend(compare(was, now)),
            None => {
                findings.push(arrived(now));
                findings.extend(compare(&DeviceRecord::at(now.place.clone(), now.address), now));
            }
        }
    }
    findings
}

/// That something came is no fault; it is told apart from what came back.
fn arrived(now: &DeviceRecord) -> Difference {
    let new = now.ids.clone();
    Difference { old: None, new, matters: false, kind: DifferenceKind::New, ..missing(now, "not known to the ledger") }
}

fn vanished(evidence: &ComparisonInput<'_>) -> Vec<Difference> {
    let gone = evidence
        .before
        .iter()
        .filter(|(address, was)| !evidence.after.contains_key(address) && !is_known(evidence, &was.place));
    gone.map(|(_, was)| missing(was, "went away during the scan")).collect()
}

/// Addresses that were asked for, of which nothing else is told.
fn not_there(evidence: &ComparisonInput<'_>, at_place: &BTreeMap<&Place, &DeviceRecord>) -> Vec<Difference> {
    let is_told = |address: &PciAddress| {
        evidence.after.contains_key(address)
            || evidence.entries.iter().any(|entry| entry.record.address == *address)
            // A VF is back when its physical function says so.
            || evidence.entries.iter().any(|entry| {
                at_place.contains_key(&entry.record.place) && entry.record.vfs.iter().any(|vf| vf.address == *address)
            })
    };
    let wanted = evidence.wanted.iter().filter(|address| !is_told(address));
    let finding = |address: &PciAddress| Difference {
        place: None,
        ..missing(&DeviceRecord::at(Place::root(), *address), "asked for and not there")
    };
    wanted.map(finding).collect()
}
