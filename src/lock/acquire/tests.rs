//! One process, several open files: flock keeps them apart as it does processes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use crate::error::{ErrorKind, Result};
use crate::lock::acquire::{Held, WaitLimit, Waiting, WatchWait};
use crate::lock::claims::{Claims, Mode};
use crate::lock::files::LockDirectory;
use crate::lock::flock;
use crate::lock::proc_locks::{Role, all_flocks};
use crate::pci::place::Place;

struct Silent;

impl WatchWait for Silent {
    fn waiting(&mut self, _: &Waiting<'_>) {}
}

fn at(chain: &str) -> Place {
    Place::from_chain(chain).unwrap()
}

fn run() -> (tempfile::TempDir, LockDirectory) {
    let run = tempfile::tempdir().unwrap();
    let directory = LockDirectory::open(run.path()).unwrap();
    (run, directory)
}

fn take(directory: &LockDirectory, chain: &str) -> Result<Held> {
    directory.acquire(&Claims::changing(vec![at(chain)]), WaitLimit::NoWait, &mut Silent)
}

#[test]
fn overlapping_subtrees_exclude_each_other_and_disjoint_ones_do_not() {
    let (_run, directory) = run();
    let held = take(&directory, "h/1.0").unwrap();
    assert_eq!(take(&directory, "h/1.0/2.0").unwrap_err().kind(), ErrorKind::Locked);
    assert_eq!(take(&directory, "h").unwrap_err().kind(), ErrorKind::Locked);
    let other = take(&directory, "h/3.0").unwrap();
    drop(held);
    take(&directory, "h/1.0/2.0").unwrap();
    assert!(take(&directory, "").is_err());
    drop(other);
    take(&directory, "").unwrap();
}

#[test]
fn what_cannot_be_trusted_is_refused() {
    let (run, directory) = run();
    let locks = run.path().join("locks");
    symlink("/etc/passwd", locks.join("root.gate")).unwrap();
    assert_eq!(take(&directory, "h").unwrap_err().kind(), ErrorKind::LockFiles);
    fs::remove_file(locks.join("root.gate")).unwrap();
    fs::create_dir(locks.join("root.lock")).unwrap();
    assert_eq!(take(&directory, "h").unwrap_err().kind(), ErrorKind::LockFiles);
    fs::remove_dir(locks.join("root.lock")).unwrap();
    fs::set_permissions(&locks, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(LockDirectory::open(run.path()).unwrap_err().kind(), ErrorKind::LockFiles);
}

#[test]
fn a_wiped_directory_ends_in_an_error() {
    let (run, directory) = run();
    fs::remove_dir_all(run.path().join("locks")).unwrap();
    assert_eq!(take(&directory, "h").unwrap_err().kind(), ErrorKind::LockFiles);
}

#[test]
fn the_deadline_ends_a_wait() {
    let (_run, directory) = run();
    let _held = take(&directory, "h/1.0").unwrap();
    let limit = WaitLimit::Until(Instant::now() + Duration::from_millis(20));
    let error = directory.acquire(&Claims::changing(vec![at("h/1.0")]), limit, &mut Silent).unwrap_err();
    assert_eq!(error.status() as u8, 75);
}

#[test]
fn whoever_can_open_a_file_could_lock_it() {
    let (run, directory) = run();
    drop(take(&directory, "h").unwrap());
    for (name, mode) in [("root.gate", 0o604), ("root.lock", 0o640), ("h.lock", 0o620)] {
        let file = run.path().join("locks").join(name);
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(take(&directory, "h").unwrap_err().kind(), ErrorKind::LockFiles, "{name}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    take(&directory, "h").unwrap();
}

#[test]
fn whoever_can_rename_the_directory_could_replace_it() {
    let above = tempfile::tempdir().unwrap();
    fs::set_permissions(above.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let run = above.path().join("run");
    assert_eq!(LockDirectory::open(&run).unwrap_err().kind(), ErrorKind::LockFiles);
    fs::set_permissions(above.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    LockDirectory::open(&run).unwrap();
    symlink(&run, above.path().join("link")).unwrap();
    for link in ["link", "link/"] {
        let error = LockDirectory::open(&above.path().join(link)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LockFiles, "{link}");
    }
}

#[test]
fn a_reader_keeps_out_changes_below_and_lets_readers_in() {
    let (_run, directory) = run();
    let read = Claims::reading(vec![at("h/1.0")], vec![at("h/1.0/2.0")]);
    let _held = directory.acquire(&read, WaitLimit::NoWait, &mut Silent).unwrap();
    directory.acquire(&read, WaitLimit::NoWait, &mut Silent).unwrap();
    for chain in ["", "h", "h/1.0", "h/1.0/2.0"] {
        assert_eq!(take(&directory, chain).unwrap_err().kind(), ErrorKind::Locked, "{chain}");
    }
    take(&directory, "h/2.0").unwrap();
}

#[test]
fn holders_say_since_when_in_which_mode_and_what_for() {
    let (_run, directory) = run();
    let held = take(&directory, "h/1.0").unwrap();
    let holders = directory.all_holders().unwrap();
    let seen: Vec<_> = holders.iter().map(|h| (h.place.chain(), h.mode, h.role, h.intention)).collect();
    let way = |chain| (chain, Mode::Shared, Role::Holds, true);
    assert_eq!(seen, [way(""), way("h"), ("h/1.0", Mode::Exclusive, Role::Holds, false)]);
    assert!(
        holders
            .iter()
            .all(|h| h.process.pid == std::process::id() && h.process.uid.is_some() && h.age_seconds.is_some())
    );
    let covering = directory.holders_covering(&at("h/1.0/2.0")).unwrap();
    assert_eq!(covering.iter().map(|h| h.place.chain()).collect::<Vec<_>>(), ["h/1.0"]);
    drop(held);
    assert!(directory.all_holders().unwrap().is_empty());
}

#[test]
fn a_shut_gate_is_not_yet_a_lock() {
    let (_run, directory) = run();
    drop(take(&directory, "").unwrap());
    // Somebody passes the gate, slower than anybody ever does, while somebody else has no limit.
    let gate = directory.gate(&Place::root()).unwrap();
    assert!(flock::try_lock(&gate.file, Mode::Exclusive).unwrap());
    let taken = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| take(&directory, ""));
        let waits_at_gate = || {
            let flocks = all_flocks(directory.procfs()).unwrap();
            flocks.iter().any(|f| f.role == Role::Waits && f.file.inode == gate.id.1)
        };
        while !waits_at_gate() {
            std::thread::yield_now();
        }
        drop(gate);
        waiter.join().unwrap()
    });
    taken.unwrap();
}

#[test]
fn a_lock_is_found_among_any_number_of_others() {
    // Far more than fit a page of /proc/locks, coming and going while new files are looked at.
    let (_run, directory) = run();
    std::thread::scope(|scope| {
        for operator in 0..8 {
            let directory = &directory;
            scope.spawn(move || {
                for node in 0..40 {
                    let limit = WaitLimit::Until(Instant::now() + Duration::from_secs(60));
                    let places = (0..8).map(|step| at(&format!("h/{operator}.{node}/{step}.0"))).collect();
                    directory.acquire(&Claims::changing(places), limit, &mut Silent).unwrap();
                }
            });
        }
    });
}
