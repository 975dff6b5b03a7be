use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::pci::place::Place;
use crate::state::ledger::Ledger;
use crate::state::ledger::removal_file::{ClosedEntry, PAST_KEPT, RemovalFile};
use crate::verify::record::{DeviceRecord, RemovedDevice};
use crate::verify::verdict::CloseReason;

const TOP: &str = "pci0000:00/03.0";

fn entry_of(top: &str, place: &str, removed_at: u64) -> RemovedDevice {
    let record = DeviceRecord {
        driver: Some("nvme".into()),
        ..DeviceRecord::at(Place::from_chain(place).unwrap(), "0000:01:00.0".parse().unwrap())
    };
    RemovedDevice::new(record, Place::from_chain(top).unwrap(), removed_at)
}

fn entry(place: &str, removed_at: u64) -> RemovedDevice {
    entry_of(TOP, place, removed_at)
}

fn ledger() -> (tempfile::TempDir, Ledger) {
    let state = tempfile::tempdir().unwrap();
    let ledger = Ledger::below(state.path());
    (state, ledger)
}

/// The names of the files in a directory of the ledger.
fn names(ledger: &Ledger, directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(ledger.path().join(directory)).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".json")).collect();
    names.sort();
    names
}

fn file(ledger: &Ledger, path: &str) -> RemovalFile {
    let name = Path::new(path).file_name().unwrap().to_str().unwrap();
    RemovalFile::parse(name, &std::fs::read(ledger.path().join(path)).unwrap()).unwrap()
}

/// What is in history.
fn past(ledger: &Ledger) -> Vec<ClosedEntry> {
    names(ledger, "history").iter().flat_map(|name| file(ledger, &format!("history/{name}")).past).collect()
}

fn waited_for(ledger: &Ledger) -> Vec<RemovedDevice> {
    let listing = ledger.list().unwrap();
    assert_eq!(listing.bad, []);
    listing.entries
}

fn close(ledger: &Ledger, entries: &[RemovedDevice], now: u64) {
    let closed: Vec<_> = entries.iter().map(|entry| (entry.record.place.clone(), CloseReason::Back)).collect();
    ledger.close(&closed, now).unwrap();
}

fn closed(reason: CloseReason, closed_at: u64, entry: &RemovedDevice) -> ClosedEntry {
    ClosedEntry { reason, closed_at, entry: entry.clone() }
}

/// Writes an entry as the versions before did.
fn save_alone(ledger: &Ledger, entry: &RemovedDevice) -> PathBuf {
    std::fs::create_dir_all(ledger.path().join("history")).unwrap();
    let name = format!("{}.json", entry.record.place.chain().replace('/', "+"));
    let path = ledger.path().join(name);
    std::fs::write(&path, serde_json::to_vec_pretty(entry).unwrap()).unwrap();
    path
}

#[test]
fn a_removal_is_one_file_which_is_history_when_all_of_it_is_back() {
    let (_state, ledger) = ledger();
    assert!(waited_for(&ledger).is_empty());
    let (a, b) = (entry("pci0000:00/03.0/00.0", 5), entry(TOP, 5));
    ledger.save(&[a.clone(), b.clone()]).unwrap();
    assert_eq!(waited_for(&ledger), [b.clone(), a.clone()]);
    assert_eq!(names(&ledger, ""), ["pci0000:00+03.0@5.json"]);
    close(&ledger, std::slice::from_ref(&a), 9);
    assert_eq!(waited_for(&ledger), std::slice::from_ref(&b));
    assert_eq!(file(&ledger, "pci0000:00+03.0@5.json").past, [closed(CloseReason::Back, 9, &a)]);
    assert!(past(&ledger).is_empty());
    close(&ledger, &[a.clone(), b.clone()], 10);
    assert!(waited_for(&ledger).is_empty() && names(&ledger, "").is_empty());
    assert_eq!(names(&ledger, "history"), ["pci0000:00+03.0@5.json"]);
    assert_eq!(past(&ledger), [closed(CloseReason::Back, 10, &b), closed(CloseReason::Back, 9, &a)]);
}

#[test]
fn the_latest_entry_of_a_place_is_waited_for_and_the_one_before_it_is_kept() {
    let (_state, ledger) = ledger();
    for removed_at in 0..60 {
        ledger.save(&[entry(TOP, removed_at)]).unwrap();
        assert_eq!(waited_for(&ledger), [entry(TOP, removed_at)]);
    }
    assert_eq!(names(&ledger, ""), ["pci0000:00+03.0@58.json", "pci0000:00+03.0@59.json"]);
    close(&ledger, &[entry(TOP, 59)], 70);
    assert!(waited_for(&ledger).is_empty());
    for (name, reason, removed_at) in [("58", CloseReason::Replaced, 58), ("59", CloseReason::Back, 59)] {
        let past = file(&ledger, &format!("history/pci0000:00+03.0@{name}.json")).past;
        assert_eq!(
            past[..2],
            [
                closed(reason, 70, &entry(TOP, removed_at)),
                closed(CloseReason::Replaced, removed_at, &entry(TOP, removed_at - 2)),
            ]
        );
        assert_eq!(past.len(), PAST_KEPT);
    }
}

#[test]
fn history_keeps_the_latest_files_of_a_top() {
    let (_state, ledger) = ledger();
    let other = entry_of("pci0000:00/04.0", "pci0000:00/04.0", 0);
    ledger.save(std::slice::from_ref(&other)).unwrap();
    close(&ledger, &[other], 1);
    for _ in 0..30 {
        // All at the same time.
        ledger.save(&[entry(TOP, 7)]).unwrap();
        close(&ledger, &[entry(TOP, 7)], 7);
    }
    let names = names(&ledger, "history");
    assert_eq!((names.len(), names[0].as_str()), (PAST_KEPT + 1, "pci0000:00+03.0@17.json"));
    assert_eq!(names[PAST_KEPT], "pci0000:00+04.0@0.json");
}

#[test]
fn an_older_entry_of_another_removal_waits_no_more_when_the_later_one_is_closed() {
    let (_state, ledger) = ledger();
    let (top, below) = (entry(TOP, 9), entry("pci0000:00/03.0/00.0", 9));
    ledger.save(&[top.clone(), below.clone()]).unwrap();
    // At the same second, or by a clock that was set back.
    let alone = entry_of("pci0000:00/03.0/00.0", "pci0000:00/03.0/00.0", 3);
    ledger.save(std::slice::from_ref(&alone)).unwrap();
    assert_eq!(names(&ledger, ""), ["pci0000:00+03.0+00.0@10.json", "pci0000:00+03.0@9.json"]);
    assert_eq!(waited_for(&ledger), [top.clone(), alone.clone()]);
    close(&ledger, std::slice::from_ref(&alone), 11);
    assert_eq!(waited_for(&ledger), std::slice::from_ref(&top));
    assert_eq!(file(&ledger, "pci0000:00+03.0@9.json").past, [closed(CloseReason::Replaced, 11, &below)]);
    assert_eq!(past(&ledger), [closed(CloseReason::Back, 11, &alone)]);
}

#[test]
fn nothing_that_was_replaced_waits_again_where_the_disk_fails_in_the_middle() {
    let (_state, ledger) = ledger();
    let below = "pci0000:00/03.0/00.0";
    let all = [entry(TOP, 9), entry(below, 9)];
    let alone = entry_of(below, below, 10);
    ledger.save(&all).unwrap();
    ledger.save(std::slice::from_ref(&alone)).unwrap();
    let in_the_way = ledger.path().join("history/pci0000:00+03.0@9.json/full");
    std::fs::create_dir_all(&in_the_way).unwrap();
    let closed = all.clone().map(|entry| (entry.record.place, CloseReason::Back));
    ledger.close(&closed, 11).unwrap_err();
    assert_eq!(waited_for(&ledger), [all[0].clone(), alone]);
    std::fs::remove_dir_all(in_the_way.parent().unwrap()).unwrap();
    ledger.close(&closed, 12).unwrap();
    assert!(waited_for(&ledger).is_empty());
}

#[test]
fn what_is_not_an_entry_is_reported_each_time_and_only_damage_is_set_aside() {
    let (state, ledger) = ledger();
    ledger.save(&[entry(TOP, 1), entry("pci0000:00/03.0/00.0", 1)]).unwrap();
    let kept = waited_for(&ledger);
    let directory = state.path().join("ledger");
    let good = std::fs::read_to_string(directory.join("pci0000:00+03.0@1.json")).unwrap();
    let alone = serde_json::to_string(&entry(TOP, 1)).unwrap();
    let newer = "{\"schema\": 7, \"new\": true}";
    for (name, text) in [
        ("pci0000:00+06.0@1.json", &good[..good.len() / 2]),
        ("pci0000:00+04.0.json", alone.as_str()),
        ("pci0000:00+05.0@8.json", newer),
        ("empty.json", ""),
    ] {
        std::fs::write(directory.join(name), text).unwrap();
    }
    for _ in 0..2 {
        let listing = ledger.list().unwrap();
        assert_eq!((&listing.entries, listing.bad.len()), (&kept, 4), "{:?}", listing.bad);
        assert_eq!(listing.bad.iter().filter(|bad| bad.why.is_damaged()).count(), 3, "{:?}", listing.bad);
    }
    let moved = ledger.set_aside_damaged().unwrap();
    let what: Vec<&str> = moved.iter().map(|(bad, _)| bad.what()).collect();
    assert_eq!(what, ["invalid ledger entry", "invalid ledger entry", "invalid ledger entries of one removal"]);
    let listing = ledger.list().unwrap();
    assert!(listing.bad.len() == 1 && listing.bad[0].why.to_string() == "unsupported schema 7 (expected 2)");
    assert_eq!(listing.entries, kept);
    assert_eq!(std::fs::read_dir(directory.join("corrupt")).unwrap().count(), 3);
    // What a newer pcictl wrote stays, and counts as the earlier one.
    ledger.save(&[entry_of("pci0000:00/05.0", "pci0000:00/05.0", 2)]).unwrap();
    assert!(names(&ledger, "").contains(&"pci0000:00+05.0@9.json".to_owned()));
    assert_eq!(std::fs::read_to_string(directory.join("pci0000:00+05.0@8.json")).unwrap(), newer);
}

#[test]
fn what_is_set_aside_keeps_its_name_and_replaces_nothing_that_was_set_aside_before() {
    let (_state, ledger) = ledger();
    ledger.save(&[entry(TOP, 1)]).unwrap();
    for new in ["a.json", "a.json.1", "a.json.2"] {
        std::fs::write(ledger.path().join("a.json"), new).unwrap();
        let moved: Vec<PathBuf> = ledger.set_aside_damaged().unwrap().into_iter().map(|(_, path)| path).collect();
        assert_eq!(moved, [ledger.path().join("corrupt").join(new)]);
    }
    for name in ["a.json", "a.json.1", "a.json.2"] {
        assert_eq!(std::fs::read_to_string(ledger.path().join("corrupt").join(name)).unwrap(), name);
    }
}

#[test]
fn a_link_is_not_followed_and_an_open_directory_not_trusted() {
    let (state, ledger) = ledger();
    ledger.save(&[entry(TOP, 1)]).unwrap();
    let file = state.path().join("ledger/pci0000:00+03.0@1.json");
    std::fs::rename(&file, state.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(state.path().join("elsewhere"), &file).unwrap();
    let listing = ledger.list().unwrap();
    assert!(listing.entries.is_empty() && listing.bad.len() == 1);
    std::fs::set_permissions(ledger.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(ledger.list().is_err());
    assert!(ledger.save(&[entry(TOP, 2)]).is_err());
}

#[test]
fn what_was_not_removed_after_all_leaves_no_trace() {
    let (_state, ledger) = ledger();
    let entries = [entry(TOP, 1), entry("pci0000:00/03.0/00.0", 1)];
    ledger.save(&entries).unwrap();
    ledger.discard(&entries[..1]).unwrap();
    assert_eq!(waited_for(&ledger), entries[1..]);
    ledger.discard(&entries).unwrap();
    assert!(names(&ledger, "").is_empty() && past(&ledger).is_empty());
}

#[test]
fn what_was_replaced_is_waited_for_again_when_the_removal_failed() {
    let (_state, ledger) = ledger();
    let degraded = entry(TOP, 1);
    ledger.save(std::slice::from_ref(&degraded)).unwrap();
    for removed_at in [1, 2] {
        let again = [entry(TOP, removed_at)];
        ledger.save(&again).unwrap();
        ledger.discard(&again).unwrap();
        assert_eq!(waited_for(&ledger), std::slice::from_ref(&degraded), "removed again at {removed_at}");
        assert!(past(&ledger).is_empty());
    }
    ledger.discard(&[entry(TOP, 2)]).unwrap();
    assert_eq!(waited_for(&ledger), [degraded], "an entry of another removal stays");
}

#[test]
fn an_entry_that_is_still_waited_for_keeps_what_is_better_in_it() {
    let (_state, ledger) = ledger();
    ledger.save(&[entry(TOP, 1)]).unwrap();
    let mut without_driver = entry(TOP, 2);
    without_driver.record.driver = None;
    ledger.save(&[without_driver]).unwrap();
    assert_eq!(waited_for(&ledger), [entry(TOP, 2)]);
}

#[test]
fn entries_of_the_versions_before_are_listed_closed_and_replaced() {
    let (_state, ledger) = ledger();
    let (a, b) = (entry(TOP, 5), entry("pci0000:00/03.0/00.0", 5));
    for entry in [&a, &b] {
        save_alone(&ledger, entry);
    }
    assert_eq!(waited_for(&ledger), [a.clone(), b.clone()]);
    close(&ledger, std::slice::from_ref(&a), 9);
    assert_eq!(waited_for(&ledger), std::slice::from_ref(&b));
    assert_eq!(names(&ledger, "history"), ["pci0000:00+03.0@5.json"]);
    assert_eq!(past(&ledger), [closed(CloseReason::Back, 9, &a)]);
    // At the same second the new one is the later one.
    let again = [entry(TOP, 5), b.clone()];
    ledger.save(&again).unwrap();
    assert_eq!(names(&ledger, ""), ["pci0000:00+03.0+00.0.json", "pci0000:00+03.0@6.json"]);
    assert_eq!(waited_for(&ledger), again);
    close(&ledger, &again, 9);
    assert!(waited_for(&ledger).is_empty());
}

#[test]
fn an_entry_of_the_versions_before_is_discarded_and_what_it_replaced_waited_for_again() {
    let (_state, ledger) = ledger();
    let (old, new) = (entry(TOP, 1), entry(TOP, 2));
    let path = save_alone(&ledger, &new);
    let history = json!({"schema": 1, "past": [closed(CloseReason::Replaced, 2, &old)]});
    std::fs::write(ledger.path().join("history/pci0000:00+03.0.json"), history.to_string()).unwrap();
    ledger.discard(std::slice::from_ref(&new)).unwrap();
    assert_eq!(waited_for(&ledger), std::slice::from_ref(&old));
    ledger.discard(&[old]).unwrap();
    assert!(!path.exists() && waited_for(&ledger).is_empty());
}

#[test]
fn two_who_close_entries_of_one_removal_at_once_close_both() {
    let (state, ledger) = ledger();
    let places: Vec<String> = (0..32).map(|device| format!("{TOP}/{device:02x}.0")).collect();
    let entries: Vec<RemovedDevice> = places.iter().map(|place| entry(place, 1)).collect();
    ledger.save(&entries).unwrap();
    std::thread::scope(|scope| {
        for one in entries.chunks(8) {
            let ledger = Ledger::below(state.path());
            scope.spawn(move || one.chunks(1).for_each(|one| close(&ledger, one, 2)));
        }
    });
    assert!(waited_for(&ledger).is_empty());
    assert_eq!(past(&ledger).len(), entries.len());
}

#[test]
fn nothing_to_be_done_is_done_without_the_lock() {
    let (_state, ledger) = ledger();
    ledger.save(&[entry(TOP, 1)]).unwrap();
    ledger.discard(&[entry(TOP, 2)]).unwrap();
    close(&ledger, &[entry("pci0000:00/04.0", 1)], 2);
    assert!(!ledger.path().join(".lock").exists());
    ledger.discard(&[entry(TOP, 1)]).unwrap();
    let mode = std::fs::metadata(ledger.path().join(".lock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else may keep it locked");
}

#[test]
fn what_is_past_gives_way_where_a_file_would_be_too_long() {
    let top = Place::from_chain(TOP).unwrap();
    let mut file = RemovalFile::new(&top, 1, vec![entry(TOP, 1)]);
    let mut long = entry(TOP, 1);
    long.record.by_id = vec!["x".repeat(1 << 20); 16];
    file.past = vec![closed(CloseReason::Back, 2, &long)];
    let written: Value = serde_json::from_slice(&file.bytes().unwrap()).unwrap();
    assert!(written["entries"].as_array().unwrap().len() == 1 && written.get("past").is_none());
    file.entries = vec![long];
    assert!(file.bytes().is_err(), "nothing is written that could not be read");
}
