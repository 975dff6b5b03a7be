//! What a rescan came to: all that was known before against all that is there now.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::order;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::verify::compare::{Finding, Kind, accept, compare, missing, moved};
use crate::verify::record::{Entry, Record};

/// How an entry ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The function came back as it was.
    Back,
    /// What differs was accepted.
    Accepted,
    /// Another removal at the same place took its stead.
    Replaced,
}

/// What was known and what is there.
pub struct Evidence<'a> {
    /// What was there before the scan, briefly.
    pub before: &'a BTreeMap<PciAddress, Record>,
    /// What is there now: in full where it came or the ledger knows its place, else briefly.
    pub after: &'a BTreeMap<PciAddress, Record>,
    /// What the ledger knows of the scanned part.
    pub entries: &'a [Entry],
    /// Addresses that were asked for.
    pub wanted: &'a [PciAddress],
    /// What does not matter.
    pub accepted: &'a [Kind],
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// All that differs, by address.
    pub findings: Vec<Finding>,
    /// Functions that the ledger knew and that are as they were.
    pub(crate) back: Vec<PciAddress>,
    /// Entries of the ledger that have ended by this.
    pub ended: Vec<(Place, Ended)>,
}

/// Compares everything.
pub fn judge(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let at_place: BTreeMap<&Place, &Record> = order::map(evidence.after.values().map(|record| (&record.place, record)));
    let gone: Vec<&Record> =
        evidence.entries.iter().map(|entry| &entry.record).filter(|was| !at_place.contains_key(&was.place)).collect();
    // Hotplug may have found it before the scan did, so it need not have come just now.
    let new: Vec<&Record> = evidence.after.values().filter(|now| !is_known(evidence, &now.place)).collect();
    let moved = moved(&gone, &new);

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

impl Verdict {
    /// An entry ends when its function is as it was, or differs in ways that were accepted.
    fn entry_ended(&mut self, was: &Record, now: Option<&Record>, findings: &[Finding], accepted: &[Kind]) {
        if findings.iter().any(|finding| finding.matters) {
            return;
        }
        let differs = findings.iter().any(|finding| accepted.contains(&finding.kind));
        if let (Some(now), false) = (now, differs) {
            self.back.push(now.address);
        }
        self.ended.push((was.place.clone(), if differs { Ended::Accepted } else { Ended::Back }));
    }

    /// Whether something differs that was not accepted.
    pub fn matters(&self) -> bool {
        self.findings.iter().any(|finding| finding.matters)
    }
}

fn is_known(evidence: &Evidence<'_>, place: &Place) -> bool {
    evidence.entries.iter().any(|entry| entry.record.place == *place)
}

/// What the ledger knows nothing of: compared with what was there just before, or with nothing.
fn unknown(evidence: &Evidence<'_>, told: &BTreeSet<PciAddress>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for now in evidence.after.values().filter(|now| !is_known(evidence, &now.place) && !told.contains(&now.address)) {
        match evidence.before.get(&now.address) {
            Some(was) => findings.extend(compare(was, now)),
            None => {
                findings.push(arrived(now));
                findings.extend(compare(&Record::at(now.place.clone(), now.address), now));
            }
        }
    }
    findings
}

/// That something came is no fault; it is told apart from what came back.
fn arrived(now: &Record) -> Finding {
    let new = now.ids.clone();
    Finding { old: None, new, matters: false, kind: Kind::New, ..missing(now, "not known to the ledger") }
}

fn vanished(evidence: &Evidence<'_>) -> Vec<Finding> {
    let gone = evidence
        .before
        .iter()
        .filter(|(address, was)| !evidence.after.contains_key(address) && !is_known(evidence, &was.place));
    gone.map(|(_, was)| missing(was, "went away during the scan")).collect()
}

/// Addresses that were asked for, of which nothing else is told.
fn not_there(evidence: &Evidence<'_>, at_place: &BTreeMap<&Place, &Record>) -> Vec<Finding> {
    let is_told = |address: &PciAddress| {
        evidence.after.contains_key(address)
            || evidence.entries.iter().any(|entry| entry.record.address == *address)
            // A VF is back when its physical function says so.
            || evidence.entries.iter().any(|entry| {
                at_place.contains_key(&entry.record.place) && entry.record.vfs.iter().any(|vf| vf.address == *address)
            })
    };
    let wanted = evidence.wanted.iter().filter(|address| !is_told(address));
    let finding = |address: &PciAddress| Finding {
        place: None,
        ..missing(&Record::at(Place::root(), *address), "asked for and not there")
    };
    wanted.map(finding).collect()
}
