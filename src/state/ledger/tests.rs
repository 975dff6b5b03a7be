use std::os::unix::fs::PermissionsExt;

use crate::pci::place::Place;
use crate::state::ledger::{ClosedEntry, Ledger, PAST_KEPT};
use crate::verify::record::{DeviceRecord, RemovedDevice};
use crate::verify::verdict::CloseReason;

fn entry(place: &str, removed_at: u64) -> RemovedDevice {
    let record = DeviceRecord {
        driver: Some("nvme".into()),
        ..DeviceRecord::at(Place::from_chain(place).unwrap(), "0000:01:00.0".parse().unwrap())
    };
    RemovedDevice::new(record, Place::from_chain("pci0000:00/03.0").unwrap(), removed_at)
}

fn ledger() -> (tempfile::TempDir, Ledger) {
    let state = tempfile::tempdir().unwrap();
    let ledger = Ledger::below(state.path());
    (state, ledger)
}

#[test]
fn what_is_put_is_listed_and_what_ends_is_past() {
    let (_state, ledger) = ledger();
    assert!(ledger.list().unwrap().entries.is_empty());
    let (a, b) = (entry("pci0000:00/03.0/00.0", 5), entry("pci0000:00/03.0", 5));
    ledger.save(&[a.clone(), b.clone()], 5).unwrap();
    let listing = ledger.list().unwrap();
    assert_eq!(listing.entries, [b, a.clone()]);
    assert!(listing.notes.is_empty());
    ledger.close(std::slice::from_ref(&a.record.place), CloseReason::Back, 9).unwrap();
    assert_eq!(ledger.list().unwrap().entries.len(), 1);
    let past = ledger.past(&a.record.place);
    assert_eq!(past, [ClosedEntry { ended: CloseReason::Back, ended_at: 9, entry: a }]);
}

#[test]
fn a_place_has_one_entry_and_the_old_one_is_past() {
    let (_state, ledger) = ledger();
    for removed_at in 0..30 {
        ledger.save(&[entry("pci0000:00/03.0", removed_at)], removed_at).unwrap();
    }
    let entries = ledger.list().unwrap().entries;
    assert_eq!(entries.iter().map(|entry| entry.removed_at).collect::<Vec<_>>(), [29]);
    let past = ledger.past(&entries[0].record.place);
    assert_eq!(past.len(), PAST_KEPT);
    assert!(past[0].entry.removed_at == 28 && past[0].ended == CloseReason::Replaced);
}

#[test]
fn what_is_no_entry_is_set_aside_and_told() {
    let (state, ledger) = ledger();
    ledger.save(&[entry("pci0000:00/03.0", 1)], 1).unwrap();
    let directory = state.path().join("ledger");
    let good = std::fs::read_to_string(directory.join("pci0000:00+03.0.json")).unwrap();
    for (name, text) in [
        ("torn.json", good[..good.len() / 2].to_owned()),
        ("pci0000:00+04.0.json", good.clone()),
        ("pci0000:00+05.0.json", good.replace("03.0", "05.0").replace("\"schema\": 1", "\"schema\": 7")),
        ("empty.json", String::new()),
    ] {
        std::fs::write(directory.join(name), text).unwrap();
    }
    let listing = ledger.list().unwrap();
    assert_eq!(listing.entries.len(), 1);
    assert_eq!(listing.notes.len(), 4, "{:?}", listing.notes);
    assert!(listing.notes.iter().all(|note| note.contains("moved to")));
    assert_eq!(std::fs::read_dir(directory.join("corrupt")).unwrap().count(), 4);
    assert!(ledger.list().unwrap().notes.is_empty(), "they are told of once");
}

#[test]
fn a_link_is_not_followed_and_an_open_directory_not_trusted() {
    let (state, ledger) = ledger();
    ledger.save(&[entry("pci0000:00/03.0", 1)], 1).unwrap();
    let directory = state.path().join("ledger");
    std::fs::rename(directory.join("pci0000:00+03.0.json"), state.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(state.path().join("elsewhere"), directory.join("pci0000:00+03.0.json")).unwrap();
    let listing = ledger.list().unwrap();
    assert!(listing.entries.is_empty() && listing.notes.len() == 1);
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(ledger.list().is_err());
    assert!(ledger.save(&[entry("pci0000:00/03.0", 2)], 2).is_err());
}

#[test]
fn what_was_not_removed_after_all_leaves_no_trace() {
    let (_state, ledger) = ledger();
    let entries = [entry("pci0000:00/03.0", 1)];
    ledger.save(&entries, 1).unwrap();
    ledger.discard(&entries).unwrap();
    assert!(ledger.list().unwrap().entries.is_empty());
    assert!(ledger.past(&entries[0].record.place).is_empty());
}
