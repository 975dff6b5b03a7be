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
    ledger.save(&[a.clone(), b.clone()]).unwrap();
    let listing = ledger.list().unwrap();
    assert_eq!(listing.entries, [b, a.clone()]);
    assert!(listing.bad.is_empty());
    ledger.close(std::slice::from_ref(&a.record.place), CloseReason::Back, 9).unwrap();
    assert_eq!(ledger.list().unwrap().entries.len(), 1);
    let past = ledger.past(&a.record.place);
    assert_eq!(past, [ClosedEntry { reason: CloseReason::Back, closed_at: 9, entry: a }]);
}

#[test]
fn a_place_has_one_entry_and_the_old_one_is_past() {
    let (_state, ledger) = ledger();
    for removed_at in 0..30 {
        ledger.save(&[entry("pci0000:00/03.0", removed_at)]).unwrap();
    }
    let entries = ledger.list().unwrap().entries;
    assert_eq!(entries.iter().map(|entry| entry.removed_at).collect::<Vec<_>>(), [29]);
    let past = ledger.past(&entries[0].record.place);
    assert_eq!(past.len(), PAST_KEPT);
    assert!(past[0].entry.removed_at == 28 && past[0].reason == CloseReason::Replaced);
}

#[test]
fn what_is_not_an_entry_is_reported_each_time_and_only_damage_is_set_aside() {
    let (state, ledger) = ledger();
    ledger.save(&[entry("pci0000:00/03.0", 1)]).unwrap();
    let directory = state.path().join("ledger");
    let good = std::fs::read_to_string(directory.join("pci0000:00+03.0.json")).unwrap();
    for (name, text) in [
        ("torn.json", good[..good.len() / 2].to_owned()),
        ("pci0000:00+04.0.json", good.clone()),
        ("pci0000:00+05.0.json", "{\"schema\": 7, \"new\": true}".to_owned()),
        ("empty.json", String::new()),
    ] {
        std::fs::write(directory.join(name), text).unwrap();
    }
    for _ in 0..2 {
        let listing = ledger.list().unwrap();
        assert_eq!((listing.entries.len(), listing.bad.len()), (1, 4), "{:?}", listing.bad);
        assert_eq!(listing.bad.iter().filter(|bad| bad.why.is_damaged()).count(), 3, "{:?}", listing.bad);
    }
    assert_eq!(ledger.set_aside_damaged().unwrap().len(), 3);
    let left = ledger.list().unwrap().bad;
    assert!(left.len() == 1 && left[0].why.to_string().contains("unsupported schema 7"), "{left:?}");
    assert_eq!(std::fs::read_dir(directory.join("corrupt")).unwrap().count(), 3);
    assert!(ledger.save(&[entry("pci0000:00/05.0", 2)]).is_err(), "what a newer pcictl wrote is not overwritten");
}

#[test]
fn a_link_is_not_followed_and_an_open_directory_not_trusted() {
    let (state, ledger) = ledger();
    ledger.save(&[entry("pci0000:00/03.0", 1)]).unwrap();
    let directory = state.path().join("ledger");
    std::fs::rename(directory.join("pci0000:00+03.0.json"), state.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(state.path().join("elsewhere"), directory.join("pci0000:00+03.0.json")).unwrap();
    let listing = ledger.list().unwrap();
    assert!(listing.entries.is_empty() && listing.bad.len() == 1);
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(ledger.list().is_err());
    assert!(ledger.save(&[entry("pci0000:00/03.0", 2)]).is_err());
}

#[test]
fn what_was_not_removed_after_all_leaves_no_trace() {
    let (_state, ledger) = ledger();
    let entries = [entry("pci0000:00/03.0", 1)];
    ledger.save(&entries).unwrap();
    ledger.discard(&entries).unwrap();
    assert!(ledger.list().unwrap().entries.is_empty());
    assert!(ledger.past(&entries[0].record.place).is_empty());
}

#[test]
fn what_was_replaced_is_waited_for_again_when_the_removal_failed() {
    let (_state, ledger) = ledger();
    let (degraded, again) = (entry("pci0000:00/03.0", 1), [entry("pci0000:00/03.0", 2)]);
    ledger.save(std::slice::from_ref(&degraded)).unwrap();
    ledger.save(&again).unwrap();
    ledger.discard(&again).unwrap();
    assert_eq!(ledger.list().unwrap().entries, std::slice::from_ref(&degraded));
    assert!(ledger.past(&degraded.record.place).is_empty());
    ledger.discard(&again).unwrap();
    assert_eq!(ledger.list().unwrap().entries, [degraded], "an entry of another removal stays");
}
