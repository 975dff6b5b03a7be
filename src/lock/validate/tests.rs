use std::os::unix::fs::PermissionsExt as _;

use nix::unistd::{Uid, setuid};

use super::*;
use crate::host::child::{Limits, Sender, look_at_each};
use crate::host::procfs::FIRST_PID_NAMESPACE;
use crate::host::root::Root;

const ROOTS: &str = "Uid:\t0\t0\t0\t0\n";

/// A /proc with these files.
fn proc_with(files: &[(&str, &str)]) -> (tempfile::TempDir, Procfs) {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join("proc").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let procfs = Procfs::open(&Root::open(Some(root.path())).unwrap()).unwrap().unwrap();
    (root, procfs)
}

/// The search for locks on older files of a file system that /proc/locks calls 00:13.
fn search(procfs: &Procfs) -> Searched<'_> {
    let (directory, file_named) = ("/run/pcictl/locks", &|_: &str| None);
    Searched { procfs, device: 0x13, directory, is_of_host: true, file_named, new: &[] }
}

#[test]
fn a_lock_whose_taker_has_ended_counts_only_where_not_everybody_can_be_seen() {
    // Whoever has it since is none who may open lock files, or is hidden.
    let lock = ("locks", "1: FLOCK  ADVISORY  WRITE 4711 00:13:77 0 EOF\n");
    let (_all, everybody) = proc_with(&[lock, ("1/status", ROOTS)]);
    assert_eq!(search(&everybody).look().unwrap(), StaleHolders::default());
    let (_some, some) = proc_with(&[lock, ("4000/status", ROOTS)]);
    // Others than root see even less, and that tells nothing.
    let hidden = if geteuid().is_root() { vec![4711] } else { Vec::new() };
    assert_eq!(search(&some).look().unwrap(), StaleHolders { hidden, ..StaleHolders::default() });
}

#[test]
fn of_locks_that_nobody_accounts_for_those_count_whose_taker_was_never_seen() {
    let seen = 4712;
    let (explained, elsewhere, there) = ("4713 00:13:79", "4714 00:14:80", "4715 00:13:81");
    let holders = ["4711 00:13:77", "4712 00:13:78", explained, elsewhere, there];
    let locks = holders.map(|holder| format!("1: FLOCK  ADVISORY  WRITE {holder} 0 EOF\n")).concat();
    let (_root, procfs) = proc_with(&[("locks", &locks), ("4715/stat", "4715 (x) S 1")]);
    let explained = [KernelFile { device: 0x13, inode: 79 }];
    assert_eq!(search(&procfs).hidden_holders(&[seen], &[], &explained).unwrap(), [4711]);
}

#[test]
fn without_the_kernels_table_everybody_is_looked_at() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("proc/self/ns")).unwrap();
    std::os::unix::fs::symlink(FIRST_PID_NAMESPACE, root.path().join("proc/self/ns/pid")).unwrap();
    let procfs = Procfs::open(&Root::open(Some(root.path())).unwrap()).unwrap().unwrap();
    assert_eq!(procfs.is_in_first_pid_namespace(), Some(true));
    let searched = search(&procfs);
    assert!(!searched.table_shows_none().unwrap());
    assert_eq!(searched.stale_holders().unwrap(), StaleHolders::default());
}

#[test]
fn the_kernels_table_shows_none_only_where_those_who_took_a_lock_have_it_still() {
    let taken = "1: FLOCK  ADVISORY  WRITE 4711 00:14:77 0 EOF\n";
    let shows_none = |descriptor: &str| {
        let (root, procfs) = proc_with(&[("locks", taken), ("4711/status", ROOTS), ("4711/fdinfo/3", descriptor)]);
        for (link, target) in [("self/ns/pid", FIRST_PID_NAMESPACE), ("4711/fd/3", "/srv/backup.lock")] {
            let link = root.path().join("proc").join(link);
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(target, link).unwrap();
        }
        search(&procfs).table_shows_none().unwrap()
    };
    assert!(shows_none(&format!("pos:\t0\nlock:\t{taken}")));
    assert!(!shows_none("pos:\t0\n"), "another may have a copy of the descriptor that it took the lock with");
}

#[test]
fn a_file_has_the_mark_that_was_put_on_it_however_long_it_is() {
    for length in [1, 200, 256, 300, 4000] {
        let (file, mark) = (tempfile::tempfile().unwrap(), mark(&"d".repeat(length), "root.lock", (1, 2)));
        file.write_all_at(&[b'x'; 5000], 0).unwrap();
        mark_validated(&file, &mark).unwrap();
        assert!(is_marked(&file, &mark).unwrap() && !is_marked(&file, &mark[1..]).unwrap(), "{length}");
    }
}

#[test]
fn a_lock_that_the_kernel_does_not_show_is_not_relied_on() {
    let (procfs, file) = (Procfs::live().unwrap(), tempfile::tempfile().unwrap());
    let error = check_kept_here(&procfs, &file).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}

#[test]
fn a_lock_file_is_roots_alone_and_says_what_it_is_called() {
    let (directory, procfs) = (tempfile::tempdir().unwrap(), Procfs::live().unwrap());
    let name_of = |text: &str, mode: u32| {
        let path = directory.path().join("file");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let file = File::open(&path).unwrap();
        let found = search(&procfs).marked_name(std::process::id(), &file.as_raw_fd().to_string());
        found.map(|(name, id)| {
            let metadata = file.metadata().unwrap();
            assert_eq!(id, (metadata.dev(), metadata.ino()));
            name
        })
    };
    let of = |directory: &str, name: &str| mark(directory, name, (1, 2));
    let ours = "/run/pcictl/locks";
    assert_eq!(name_of(&of(ours, "root.lock"), 0o600).as_deref(), Some("root.lock"));
    for text in ["", "pcictl\n", &of("/run/other", "root.lock"), of(ours, "root.lock").trim_end()] {
        assert_eq!(name_of(text, 0o600), None, "{text:?}");
    }
    if geteuid().is_root() {
        for mode in [0o644, 0o400, 0o2600] {
            assert_eq!(name_of(&of(ours, "root.lock"), mode), None, "{mode:o}");
        }
    }
    let longest = of(ours, &"n".repeat(MARK_MAX - of(ours, "").len()));
    assert!(longest.len() == MARK_MAX && name_of(&longest, 0o600).is_some());
    assert_eq!(name_of(&format!("{longest} "), 0o600), None, "longer than any mark");
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let pipe = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    assert!(search(&procfs).marked_name(std::process::id(), &pipe.as_raw_fd().to_string()).is_none());
}

#[test]
fn on_another_file_system_a_lock_counts_by_what_roots_file_is_called() {
    // What `OffsetTag` puts on a file a millisecond after boot.
    const MARKED: u64 = 1 << 2;
    let stale = |target: &str, uid: &str, position: u64| {
        let descriptor = format!("pos:\t{position}\nlock:\t1: FLOCK  ADVISORY  WRITE 4711 00:14:77 0 EOF\n");
        let status = format!("Uid:\t{uid}\t0\t0\t0\n");
        let (root, procfs) = proc_with(&[("4711/status", &status), ("4711/fdinfo/3", &descriptor)]);
        std::fs::create_dir_all(root.path().join("proc/4711/fd")).unwrap();
        std::os::unix::fs::symlink(target, root.path().join("proc/4711/fd/3")).unwrap();
        search(&procfs).look().unwrap().stale
    };
    let lock = "/run/pcictl/locks/pci0000:00+03.0.lock";
    assert_eq!(stale(lock, "0", MARKED), [4711]);
    assert_eq!(stale("/run/other/pci0000:00+03.0.lock", "0", MARKED), [0; 0], "a file of somebody else's");
    assert_eq!(stale(lock, "65534", MARKED), [0; 0], "others than root may call their files as they like");
    assert_eq!(stale(lock, "0", u64::MAX >> 2), [0; 0], "no mark");
}

#[test]
fn who_is_no_root_need_not_see_what_root_has_open() {
    if !geteuid().is_root() {
        return;
    }
    let lock = ("locks", "1: FLOCK  ADVISORY  WRITE 4711 00:13:77 0 EOF\n");
    let (root, _) = proc_with(&[lock, ("4711/status", ROOTS), ("4711/fd/3", "")]);
    for (path, mode) in [("", 0o755), ("proc/4711/fd", 0o700)] {
        std::fs::set_permissions(root.path().join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    // In a process of its own, for the user is that of a process.
    let look = |_: &(), sender: &mut Sender| {
        setuid(Uid::from_raw(65534)).unwrap();
        let procfs = Procfs::open(&Root::open(Some(root.path())).unwrap()).unwrap().unwrap();
        sender.send(&search(&procfs).look().unwrap().hidden);
    };
    let mut hidden = None;
    look_at_each(&[()], 1, &[], Limits::of_answer(std::time::Duration::from_secs(60)), &look, |_, found: Vec<u32>| {
        hidden = Some(found);
    });
    assert_eq!(hidden.unwrap(), [0; 0]);
}

#[test]
fn hidden_is_who_is_so_in_every_look() {
    let confirmed_by = |looks: &[(Vec<u32>, Vec<u32>)]| {
        let mut left = looks.iter();
        let found = confirmed(|| {
            let (stale, hidden) = left.next().unwrap();
            Ok(StaleHolders { stale: stale.clone(), hidden: hidden.clone() })
        });
        let found = found.unwrap();
        (found.stale, found.hidden, left.count())
    };
    let nobody = || (vec![], vec![]);
    let hidden = |pids: &[u32]| (vec![], pids.to_vec());
    assert_eq!(confirmed_by(&[nobody(), nobody()]), (vec![], vec![], 1));
    assert_eq!(confirmed_by(&[(vec![5], vec![1]), nobody()]), (vec![5], vec![1], 1));
    let looks = [hidden(&[1, 2]), hidden(&[2, 3]), hidden(&[1, 3]), nobody()];
    assert_eq!(confirmed_by(&looks), (vec![], vec![], 1));
    assert_eq!(confirmed_by(&[hidden(&[1]), (vec![5], vec![1]), nobody()]), (vec![5], vec![1], 1));
    let always: Vec<_> = (0..6).map(|_| hidden(&[1])).collect();
    assert_eq!(confirmed_by(&always), (vec![], vec![1], 1));
}

#[test]
fn on_another_file_system_the_end_of_the_path_decides() {
    let procfs = Procfs::live().unwrap();
    let mut searched = search(&procfs);
    for target in [
        "/run/pcictl/locks/root.lock",
        "/old/run/pcictl/locks/pci0000:00+03.0.lock",
        "/pcictl/locks/root.lock (deleted)",
    ] {
        assert!(searched.is_lock_path(target), "{target}");
    }
    for target in ["/run/pcictl/locks/root.gate", "/run/other/locks/root.lock", "/locks/root.lock", "/x/A.lock"] {
        assert!(!searched.is_lock_path(target), "{target}");
    }
    searched.is_of_host = false;
    assert!(searched.is_lock_path("/run/pcictl/locks/root.lock"));
    assert!(!searched.is_lock_path("/old/run/pcictl/locks/root.lock"));
}
