//! One process, several open files: flock keeps them apart as it does processes.

use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use nix::libc::rlim_t;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::getppid;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::error::{ErrorKind, Result};
use crate::host::child::{Limits, Sender, look_at_each};
use crate::lock::acquire::{FIRST_LIMIT, Held, Wait, WaitLimit, Waiting, WatchWait, raise_fd_limit};
use crate::lock::claims::{Claim, Claims, Mode};
use crate::lock::files::{LockDirectory, LockFile};
use crate::lock::flock;
use crate::lock::host_view::HostView;
use crate::lock::offset_tag::OffsetTag;
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

fn wait_for<'a>(directory: &'a LockDirectory, claim: &'a Claim, watch: &'a mut Silent) -> Wait<'a> {
    let (target, limit, begun) = (&claim.place, WaitLimit::NoWait, Instant::now());
    Wait { directory, target, claim, intention: false, limit, watch, begun, told: false }
}

/// Returns when somebody stands in line for a file.
fn wait_for_line(directory: &LockDirectory, inode: u64) {
    let is_in_line = || {
        let flocks = all_flocks(directory.procfs()).unwrap();
        flocks.iter().any(|line| line.role == Role::Waits && line.file.inode == inode)
    };
    while !is_in_line() {
        std::thread::yield_now();
    }
}

/// Stands in line for a file, until whoever has it lets it go.
fn stand_in_line(directory: &LockDirectory, file: LockFile) {
    let inode = file.id.1;
    flock::lock_in_background(file.file, Mode::Exclusive).unwrap();
    wait_for_line(directory, inode);
}

/// A child of a test, which does not hang.
fn child_limits() -> Limits {
    Limits::of_answer(Duration::from_secs(60))
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
fn whoever_can_rename_any_directory_above_could_replace_it() {
    let above = tempfile::tempdir().unwrap();
    let between = above.path().join("between");
    fs::create_dir(&between).unwrap();
    for (mode, is_safe) in [(0o777, false), (0o775, false), (0o1777, true), (0o755, true)] {
        fs::set_permissions(above.path(), fs::Permissions::from_mode(mode)).unwrap();
        let opened = LockDirectory::open(&between.join("run"));
        assert_eq!(opened.is_ok(), is_safe, "{mode:o}");
    }
    // By a link, too, although nothing is wrong with where it leads.
    fs::set_permissions(above.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), above.path().join("link")).unwrap();
    assert_eq!(LockDirectory::open(&above.path().join("link/run")).unwrap_err().kind(), ErrorKind::LockFiles);
}

/// The first process's root, by a /proc of the test's own.
#[test]
fn locks_of_this_machine_are_those_that_its_first_process_sees() {
    let (proc, run) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for directory in ["self/ns", "1"] {
        fs::create_dir_all(proc.path().join(directory)).unwrap();
    }
    symlink("pid:[4026531836]", proc.path().join("self/ns/pid")).unwrap();
    let root = proc.path().join("1/root");
    symlink("/", &root).unwrap();
    let host = HostView::of(proc.path().to_owned());
    let directory = LockDirectory::open_on_host(run.path(), host.clone()).unwrap();
    take(&directory, "h").unwrap();
    // It is covered for the first process after it was opened here.
    let other = tempfile::tempdir().unwrap();
    fs::remove_file(&root).unwrap();
    symlink(other.path(), &root).unwrap();
    assert_eq!(take(&directory, "h").unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(LockDirectory::open_on_host(run.path(), host).unwrap_err().kind(), ErrorKind::Refused);
}

/// Whoever has waited for a lock in a directory that is another one by now has got nothing.
#[test]
fn a_directory_that_is_moved_while_somebody_waits_is_found_out() {
    let above = tempfile::tempdir().unwrap();
    let run = above.path().join("run");
    let directory = LockDirectory::open(&run).unwrap();
    let held = take(&directory, "h").unwrap();
    let claims = Claims::changing(vec![at("h")]);
    struct Told<'a>(&'a dyn Fn());
    impl WatchWait for Told<'_> {
        fn waiting(&mut self, _: &Waiting<'_>) {
            self.0();
        }
    }
    let held = std::cell::Cell::new(Some(held));
    let move_away = || {
        if let Some(held) = held.take() {
            fs::rename(&run, above.path().join("old")).unwrap();
            LockDirectory::open(&run).unwrap();
            drop(held);
        }
    };
    let limit = WaitLimit::Until(Instant::now() + Duration::from_secs(60));
    let error = directory.acquire(&claims, limit, &mut Told(&move_away)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LockFiles);
    assert!(error.to_string().contains("moved"), "{error}");
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
        wait_for_line(&directory, gate.id.1);
        drop(gate);
        waiter.join().unwrap()
    });
    taken.unwrap();
}

#[test]
fn a_gate_that_stays_shut_is_not_waited_for_for_ever() {
    let (_run, directory) = run();
    let gate = directory.gate(&Place::root()).unwrap();
    assert!(flock::try_lock(&gate.file, Mode::Exclusive).unwrap());
    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| sender.send(take(&directory, "")));
        let taken = receiver.recv_timeout(Duration::from_secs(60));
        // Whoever waits for ever is let through, so that this test ends all the same.
        drop(gate);
        assert_eq!(taken.unwrap().unwrap_err().kind(), ErrorKind::Locked);
    });
}

/// Only those who do keep a gate shut for long.
#[test]
fn whoever_has_the_lock_or_stands_at_the_gate_does_not_wait_for_the_lock() {
    let (_run, directory) = run();
    let (claim, mut silent) = (Claim { place: Place::root(), mode: Mode::Exclusive }, Silent);
    let wait = wait_for(&directory, &claim, &mut silent);
    let (gate, lock) = (|| directory.gate(&claim.place).unwrap(), || directory.lock(&claim.place).unwrap());
    let held = [gate(), lock()];
    assert!(held.iter().all(|held| flock::try_lock(&held.file, Mode::Exclusive).unwrap()));
    assert!(!wait.somebody_waits_for_the_lock().unwrap(), "somebody has it");
    stand_in_line(&directory, gate());
    assert!(!wait.somebody_waits_for_the_lock().unwrap(), "somebody stands at the gate");
    stand_in_line(&directory, lock());
    assert!(wait.somebody_waits_for_the_lock().unwrap());
}

/// Whoever gets an ancestor for itself meets nobody below.
#[test]
fn locks_are_let_go_of_from_below() {
    let (run, directory) = run();
    let claims = Claims::changing(vec![at("h/1.0")]);
    let limit = WaitLimit::Until(Instant::now() + Duration::from_secs(60));
    let released = || {
        let held = directory.acquire(&claims, limit, &mut Silent).unwrap();
        closed_by(&run.path().join("locks"), || drop(held))
    };
    // A process that another test starts just then has the files open for a moment, and closes them in another order.
    assert!((0..100).any(|_| released() == ["h+1.0.lock", "h.lock", "root.lock"]), "{:?}", released());
}

/// The files of a directory that are closed meanwhile, in order.
fn closed_by(directory: &Path, work: impl FnOnce()) -> Vec<String> {
    let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&inotify, directory, WatchFlags::CLOSE_WRITE).unwrap();
    work();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&inotify, &mut buffer);
    let mut names = Vec::new();
    while let Ok(event) = reader.next() {
        names.push(event.file_name().unwrap().to_str().unwrap().to_owned());
    }
    names
}

#[test]
fn a_lock_on_a_file_that_was_there_before_counts_even_if_it_is_ones_own() {
    let (run, directory) = run();
    let _held = take(&directory, "h/1.0").unwrap();
    fs::remove_file(run.path().join("locks/root.lock")).unwrap();
    let error = take(&directory, "h/2.0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains("locks on files that were there before"), "{error}");
}

#[test]
fn the_limit_of_open_files_is_raised_where_that_is_needed_and_possible() {
    type Limit = (rlim_t, rlim_t);
    let raise = |&(soft, hard): &Limit, sender: &mut Sender| {
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        raise_fd_limit(100);
        sender.send(&(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), FIRST_LIMIT.get()));
    };
    let limits = [(100, 256), (100, 120), (100, 100), (164, 256)];
    let mut seen = [None; 4];
    let take = |number: usize, after: (Limit, Option<Limit>)| seen[number] = Some(after);
    // Each in a process of its own: the limit is that of a process, and so is what it was at first.
    look_at_each(&limits, limits.len(), &[], child_limits(), &raise, take);
    let raised = |to, hard| Some(((to, hard), Some((100, hard))));
    // Programs that are started get back what was there only if that was changed.
    let left = |soft, hard| Some(((soft, hard), None));
    assert_eq!(seen, [raised(164, 256), raised(120, 120), left(100, 100), left(164, 256)]);
}

fn shared(directory: &LockDirectory) -> LockFile {
    let file = directory.lock(&at("h")).unwrap();
    OffsetTag::now(Mode::Shared, true).put(&file.file).unwrap();
    assert!(flock::try_lock(&file.file, Mode::Shared).unwrap());
    file
}

/// What a process is told that would wait for the node in this mode.
fn refusal(run: &Path, mode: Mode) -> Option<String> {
    let directory = LockDirectory::open(run).unwrap();
    let claim = Claim { place: at("h"), mode };
    let refused = wait_for(&directory, &claim, &mut Silent).refuse_to_wait_for_ancestor();
    refused.err().map(|error| error.to_string())
}

/// Two processes share the lock of a node: one that started the process that wants it, and one that has been there for longer
/// and so comes first among the holders.
#[test]
fn the_process_that_would_be_waited_for_by_its_own_child_is_told_from_others_with_the_same_lock() {
    let (run, directory) = run();
    let other = Command::new("cat").stdin(Stdio::piped()).stdout(shared(&directory).file).spawn();
    let mut other = other.unwrap();
    let child = |_: &(), sender: &mut Sender| {
        let refusals = [Mode::Exclusive, Mode::Shared].map(|mode| refusal(run.path(), mode));
        sender.send(&(getppid().as_raw(), refusals));
    };
    type Told = (i32, [Option<String>; 2]);
    let parent = |_: &(), sender: &mut Sender| {
        let directory = LockDirectory::open(run.path()).unwrap();
        let _lock = shared(&directory);
        look_at_each(&[()], 1, &[], child_limits(), &child, |_, told: Told| sender.send(&told));
    };
    let mut told = None;
    look_at_each(&[()], 1, &[], child_limits(), &parent, |_, by_child: Told| told = Some(by_child));
    drop(other.stdin.take());
    other.wait().unwrap();
    let (parent, [exclusive, shared]) = told.unwrap();
    let exclusive = exclusive.unwrap();
    assert!(exclusive.contains(&format!("it is locked by pid {parent} ")), "{exclusive}");
    assert_eq!(shared, None);
}

/// Whoever has other files, or another lock, is not looked into any further.
#[test]
fn who_has_the_lock_of_a_node_is_asked_of_one_process_alone() {
    let (_run, directory) = run();
    let (claim, mut silent) = (Claim { place: at("h"), mode: Mode::Exclusive }, Silent);
    let wait = wait_for(&directory, &claim, &mut silent);
    let this = std::process::id();
    assert!(!wait.has_lock(this), "there is no file of it yet");
    let _other = take(&directory, "k").unwrap();
    let lock = directory.lock(&claim.place).unwrap();
    assert!(!wait.has_lock(this), "it has another lock, and the file alone");
    assert!(flock::try_lock(&lock.file, Mode::Shared).unwrap());
    assert!(wait.has_lock(this));
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
