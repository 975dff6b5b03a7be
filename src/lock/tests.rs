//! One process, several open files: flock keeps them apart as it does processes.

use super::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

struct Silent;

impl WatchWait for Silent {
    fn waiting(&mut self, _: &Claim, _: &[Holder], _: Duration, _: Duration) {}
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
    directory.acquire(&Claims::changing(vec![at(chain)]), Patience::None, &mut Silent)
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
    let patience = Patience::Until(Instant::now() + Duration::from_millis(20));
    let error = directory.acquire(&Claims::changing(vec![at("h/1.0")]), patience, &mut Silent).unwrap_err();
    assert_eq!(error.status() as u8, 75);
}
