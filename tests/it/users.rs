//! What cannot be looked into is said and refuses; a broken list of protected devices refuses whatever is forced.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::stat::Mode;
use serde_json::Value;

use crate::support::Tree;
use crate::support::run::Run;

/// `pcictl remove --dry-run`.
fn dry_run(tree: &Tree, arguments: &[&str]) -> Run {
    Run::new(["remove", "-n"]).and(arguments).on(tree)
}

fn users(tree: &Tree, arguments: &[&str], status: i32) -> Value {
    dry_run(tree, arguments).and(["--json"]).status(status).json()
}

const IDLE: &str = "0000:06:00.0";

#[test]
fn a_process_that_may_not_be_looked_into_refuses() {
    let tree = Tree::load("busy");
    fs::set_permissions(tree.path().join("proc/812/fd"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(tree.path().join("proc/812/fd")).is_err() || nix::unistd::geteuid().is_root() {
        let plan = users(&tree, &[IDLE], 4);
        assert_eq!(plan["needs_force"], serde_json::json!(["unchecked"]));
        let why = plan["users"]["unchecked"][0].as_str().unwrap();
        assert_eq!(why, "cannot inspect pid 812 (qemu-system-x86): Permission denied");
        dry_run(&tree, &[IDLE])
            .stdout(
                "\
would remove 0000:06:00.0: Non-Volatile memory controller, Device 144d:a808
unchecked   cannot inspect pid 812 (qemu-system-x86): Permission denied
would be refused: it needs --force unchecked
locks  0000:06:00.0 exclusive; 3 above it shared
steps:
    1  unbind 0000:06:00.0 from nvme
    2  remove 0000:06:00.0  (after 1)
dry run: nothing was changed
",
            )
            .status(4)
            .check();
        dry_run(&tree, &["--force", "unchecked", IDLE])
            .stdout(
                "\
would remove 0000:06:00.0: Non-Volatile memory controller, Device 144d:a808
unchecked   cannot inspect pid 812 (qemu-system-x86): Permission denied
locks  0000:06:00.0 exclusive; 3 above it shared
steps:
    1  unbind 0000:06:00.0 from nvme
    2  remove 0000:06:00.0  (after 1)
dry run: nothing was changed
",
            )
            .check();
    }
    fs::set_permissions(tree.path().join("proc/812/fd"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_map_of_memory_that_is_no_file_holds_nobody_up() {
    let tree = Tree::load("busy");
    for pid in ["1", "812", "930"] {
        let maps = tree.path().join("proc").join(pid).join("maps");
        fs::remove_file(&maps).unwrap();
        nix::unistd::mkfifo(&maps, Mode::S_IRWXU).unwrap();
    }
    let plan = users(&tree, &[IDLE, "0000:0c:00.0"], 4);
    let unchecked: Vec<&str> =
        plan["users"]["unchecked"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    assert_eq!(unchecked, ["cannot inspect pid 1 (systemd) and 2 more processes: not a regular file"]);
    let found = plan["users"]["found"].as_array().unwrap();
    assert_eq!(found[0]["process"]["pid"], 910, "the others are still looked into: {found:?}");
}

#[test]
fn a_file_that_is_only_called_like_a_register_file_does_not_count() {
    let tree = Tree::load("busy");
    let open = |fd: &str, target: &str, mount: &str| {
        let _ = fs::remove_file(tree.path().join("proc/930/fd").join(fd));
        std::os::unix::fs::symlink(target, tree.path().join("proc/930/fd").join(fd)).unwrap();
        fs::write(tree.path().join("proc/930/fdinfo").join(fd), format!("pos:\t0\nmnt_id:\t{mount}\n")).unwrap();
    };
    let mounts = fs::read_to_string(tree.path().join("proc/1/mountinfo")).unwrap();
    let mounts = format!(
        "{}\n90 22 0:90 / /sys rw - sysfs sysfs rw\n91 22 0:91 / /home rw - tmpfs tmpfs rw\n92 22 0:92 / /n rw - nfs s:/ rw\n",
        mounts.trim_end()
    );
    tree.edit("proc/1/mountinfo", mounts);
    let forced = |plan: Value| plan["needs_force"].as_array().filter(|kinds| !kinds.is_empty()).cloned();
    for (mount, counts) in [("91", false), ("92", false), ("90", true), ("99", true)] {
        open("77", "/home/me/0000:06:00.0/config", mount);
        let plan = users(&tree, &[IDLE], if counts { 4 } else { 0 });
        assert_eq!(forced(plan).is_some(), counts, "mount {mount}");
    }
    // Whoever only reads the configuration space looks, as lspci does; the text about the regions is none of them.
    let info = tree.path().join("proc/930/fdinfo/77");
    for (target, flags, counts) in [
        ("/sys/devices/pci0000:00/0000:06:00.0/config", "0100000", false),
        ("/sys/devices/pci0000:00/0000:06:00.0/config", "0100002", true),
        ("/sys/devices/pci0000:00/0000:06:00.0/resource0", "0100000", true),
        ("/sys/devices/pci0000:00/0000:06:00.0/resource", "0100002", false),
    ] {
        open("77", target, "90");
        fs::write(&info, format!("pos:\t0\nflags:\t{flags}\nmnt_id:\t90\n")).unwrap();
        let plan = users(&tree, &[IDLE], if counts { 4 } else { 0 });
        assert_eq!(forced(plan).is_some(), counts, "{target} {flags}");
    }
    // The same in a map of memory, which has the device's number.
    open("77", "/dev/null", "23");
    for (device, counts) in [("00:5b", false), ("00:5c", false), ("00:5a", true), ("00:63", true)] {
        let map =
            format!("7f0000000000-7f0000004000 rw-s 00000000 {device} 4711     /home/me/0000:06:00.0/resource0\n");
        tree.edit("proc/930/maps", map);
        let plan = users(&tree, &[IDLE], if counts { 4 } else { 0 });
        assert_eq!(forced(plan).is_some(), counts, "device {device}");
    }
}

#[test]
fn what_spdk_cannot_drive_cannot_be_claimed_for_it() {
    let tree = Tree::load("busy");
    let lock = "pos:\t0\nmnt_id:\t22\nlock:\t1: POSIX  ADVISORY  WRITE 920 fd:01:1 0 EOF\n";
    tree.edit("proc/920/fdinfo/1", lock);
    assert_eq!(users(&tree, &[IDLE], 0)["needs_force"], serde_json::json!([]), "nvme has it");
    fs::remove_file(tree.device(IDLE).join("driver")).unwrap();
    assert_eq!(users(&tree, &[IDLE], 4)["needs_force"], serde_json::json!(["open"]), "no driver has it");
}

#[test]
fn a_broken_list_of_protected_devices_refuses_whatever_is_forced() {
    let list = "etc/pcictl/protected.d/site.conf";
    for (text, why) in [
        (&b"0000:06:00.0\n"[..], "site.conf:1: a selector must be followed by the reason"),
        (b"# ok\n0000:06:00.9 what\n", "site.conf:2: "),
        (b"slot: what\n", "site.conf:1: "),
        (b"\xff\xfe\n", "site.conf: "),
    ] {
        let tree = Tree::load("busy");
        tree.edit(list, text);
        dry_run(&tree, &["--force", "protected,unchecked", IDLE])
            .stderr_like(format!("pcictl: @/etc/pcictl/protected.d/{why}[..]\nhint: correct the file[..]\n"))
            .status(4)
            .check();
    }
}

#[test]
fn a_list_that_is_no_file_refuses_at_once() {
    let tree = Tree::load("busy");
    let fifo = tree.path().join("etc/pcictl/protected.d/site.conf");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    dry_run(&tree, &[IDLE])
        .stderr(
            "pcictl: @/etc/pcictl/protected.d/site.conf: not a regular file; nothing is changed while the list of \
    protected devices is broken\nhint: correct the file, or remove it if nothing is to be protected\n",
        )
        .status(4)
        .check();
}

#[test]
fn a_list_names_groups_and_host_bridges_too() {
    for (line, kinds) in [
        ("class:NVME all disks", true),
        ("pci0000:00 everything", true),
        ("0000:06: a bus", true),
        ("0000:ff:00.0 was here once", false),
        ("eth9 an interface that is not there", false),
    ] {
        let tree = Tree::load("busy");
        tree.edit("etc/pcictl/protected.d/site.conf", format!("{line}\n"));
        let plan = users(&tree, &[IDLE], if kinds { 4 } else { 0 });
        let protected = if kinds { serde_json::json!(["protected"]) } else { serde_json::json!([]) };
        assert_eq!(plan["needs_force"], protected, "{line}");
    }
}

#[test]
fn what_zfs_holds_is_known_from_its_cache_or_refuses() {
    let tree = Tree::load("busy");
    let pool = tree.path().join("proc/spl/kstat/zfs/tank");
    fs::create_dir_all(&pool).unwrap();
    fs::write(pool.join("state"), "ONLINE\n").unwrap();
    assert_eq!(users(&tree, &[IDLE], 4)["needs_force"], serde_json::json!(["unchecked"]));
    fs::create_dir_all(tree.path().join("etc/zfs")).unwrap();
    tree.edit("etc/zfs/zpool.cache", b"\0\0tank\0path\0\0\x0e/dev/nvme1n1p1\0\0");
    assert_eq!(users(&tree, &[IDLE], 4)["needs_force"], serde_json::json!(["holders"]));
    tree.edit("etc/zfs/zpool.cache", b"\0\0tank\0path\0\0\x0e/dev/nvme7n1p1\0\0");
    assert_eq!(users(&tree, &[IDLE], 0)["needs_force"], serde_json::json!([]));
    // A word that looks like the pool's name is not its name.
    for other in ["tank2", "rpool\0type\0tank", "rpool\0hostname\0tank", "rpool\0features\0org.tank:tank"] {
        tree.edit("etc/zfs/zpool.cache", format!("\x01\x01\0\0{other}\0path\0/dev/nvme7n1p1\0"));
        assert_eq!(users(&tree, &[IDLE], 4)["needs_force"], serde_json::json!(["unchecked"]), "{other}");
    }
}

#[test]
fn forcing_a_danger_that_is_not_there_changes_nothing() {
    let tree = Tree::shared("busy");
    let plan = "\
would remove 0000:06:00.0: Non-Volatile memory controller, Device 144d:a808
locks  0000:06:00.0 exclusive; 3 above it shared
steps:
    1  unbind 0000:06:00.0 from nvme
    2  remove 0000:06:00.0  (after 1)
dry run: nothing was changed
";
    dry_run(tree, &[IDLE]).stdout(plan).check();
    dry_run(tree, &["--force", "mounted,open", "--yes", IDLE]).stdout(plan).check();
}

#[test]
fn mounts_of_other_namespaces_are_read_once_and_where_they_matter() {
    /// A port that is idle; without a disk or a node.
    const PORT: &str = "0000:00:02.2";
    let tree = Tree::load("busy");
    let proc = tree.path().join("proc");
    let read = |target: &str| {
        let trace = dry_run(&tree, &[target]).and(["--force", "open"]).traced();
        trace.iter().filter(|line| line.contains("openat2(") && line.contains("/mountinfo\"")).count()
    };
    assert_eq!((read(PORT), read(IDLE)), (1, 2), "a disk may be mounted anywhere");
    // Two processes of that namespace have a file that is called like a register file.
    fs::create_dir_all(proc.join("700/fdinfo")).unwrap();
    std::os::unix::fs::symlink("/home/me/0000:00:02.2/config", proc.join("700/fd/77")).unwrap();
    fs::write(proc.join("700/fdinfo/77"), "pos:\t0\nflags:\t02\nmnt_id:\t950\n").unwrap();
    for below in ["fd", "fdinfo", "ns"] {
        fs::create_dir_all(proc.join("701").join(below)).unwrap();
    }
    for link in ["fd/77", "ns/mnt"] {
        let target = fs::read_link(proc.join("700").join(link)).unwrap();
        std::os::unix::fs::symlink(target, proc.join("701").join(link)).unwrap();
    }
    for file in ["fdinfo/77", "mountinfo"] {
        fs::copy(proc.join("700").join(file), proc.join("701").join(file)).unwrap();
    }
    let mounts = fs::read_to_string(proc.join("700/mountinfo")).unwrap();
    for (kind, counts) in [("tmpfs", 0), ("sysfs", 2)] {
        tree.edit("proc/700/mountinfo", format!("{mounts}\n950 22 0:95 / /home rw - {kind} {kind} rw\n").trim_start());
        let plan = users(&tree, &[PORT], if counts > 0 { 4 } else { 0 });
        let found = plan["users"]["found"].as_array().unwrap();
        assert_eq!(found.iter().filter(|user| user["kind"] == "open").count(), counts, "{kind}: {found:?}");
        assert_eq!(read(PORT), 2, "{kind}");
    }
}

/// A directory of sysfs with a link in it to a device.
fn link(tree: &Tree, directory: &str, name: &str, device: &str) {
    let at = tree.path().join(directory);
    fs::create_dir_all(&at).unwrap();
    let up = "../".repeat(directory.split('/').count() - 1);
    std::os::unix::fs::symlink(format!("{up}{device}"), at.join(name)).unwrap();
}

#[test]
fn a_disk_that_is_passed_through_as_it_is_and_one_of_bcachefs_are_in_use() {
    let tree = Tree::load("storage");
    let disk = "devices/pci0000:00/0000:00:0e.0/0000:82:00.0/host8/rport-8:0-0/target8:0:0/8:0:0:1";
    link(&tree, "sys/kernel/scst_tgt/devices/8:0:0:1", "scsi_device", disk);
    let told = users(&tree, &["0000:82:00.0"], 4)["users"].to_string();
    assert!(told.contains("SCST device 8:0:0:1 gives out sdc"), "{told}");
    assert!(!told.contains("SCST device 8:0:0:1 gives out sdc1"), "{told}");

    let nvme = "devices/pci0000:00/0000:00:03.0/0000:03:00.0/nvme/nvme2/nvme2n1";
    link(&tree, "sys/fs/bcachefs/1234/dev-0", "block", nvme);
    fs::create_dir_all(tree.path().join("sys/fs/bcachefs/5678")).unwrap();
    let told = users(&tree, &["0000:03:00.0"], 4)["users"].to_string();
    assert!(told.contains("bcachefs 1234") && !told.contains("bcachefs 5678"), "{told}");
}

#[test]
fn a_journal_is_told_with_its_file_system_by_the_name_of_its_thread() {
    let tree = Tree::load("storage");
    // The kernel may have cut the name after 15 bytes; what is as long, or begins so, need not be it.
    for (comm, whose) in [
        ("jbd2/nvme2n1", "the file system on sde"),
        ("jbd2/nvme2n", "a file system"),
        ("jbd2/dm-10-8abc", "a file system"),
    ] {
        tree.edit("proc/800/comm", format!("{comm}\n"));
        let told = users(&tree, &["0000:03:00.0"], 4)["users"].to_string();
        assert!(told.contains(&format!("is the journal of {whose}")), "{comm}: {told}");
    }
}
