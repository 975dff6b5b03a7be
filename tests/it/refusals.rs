//! What pcictl will not do, whoever asks for it.

use std::fs;

use crate::support::Tree;
use crate::support::run::Run;

#[test]
fn a_driver_whose_end_would_end_others_elsewhere_is_not_stopped() {
    let tree = Tree::load("guest-switch8");
    let link = tree.path().join("sys/class/devlink/pci:0000:03:00.0--pci:0000:04:00.0");
    fs::create_dir_all(&link).unwrap();
    fs::write(link.join("status"), "active\n").unwrap();
    Run::words("remove -n 0000:03:00.0")
        .on(&tree)
        .stderr(
            "\
pcictl: 0000:03:00.0: the kernel would stop 0000:04:00.0 with it, which depends on it (device link) and sits elsewhere
hint: remove 0000:04:00.0 first
",
        )
        .status(4)
        .check();

    // A link that the kernel does not manage only orders suspend and resume.
    fs::write(link.join("status"), "not tracked\n").unwrap();
    Run::words("remove -n 0000:03:00.0").on(&tree).stdout_like("would remove 0000:03:00.0: [..]\n...\n").check();
}

#[test]
fn what_may_come_to_depend_on_a_driver_that_is_stopped_is_locked_with_it() {
    let tree = Tree::load("guest-switch8");
    let link = tree.path().join("sys/class/devlink/pci:0000:03:00.0--pci:0000:04:00.0");
    fs::create_dir_all(&link).unwrap();
    fs::create_dir_all(&link).unwrap();
    let locked = |status: &str| {
        fs::write(link.join("status"), status).unwrap();
        let plan = Run::words("remove -n -j 0000:03:00.0").on(&tree).json();
        let locks = plan["locks"].as_array().unwrap().iter();
        let places = locks.filter(|lock| lock["mode"] == "exclusive").map(|lock| lock["place"].as_str().unwrap());
        places.map(str::to_owned).collect::<Vec<_>>()
    };
    let own = "pci0000:00/01.0/00.0/00.0/00.0";
    assert_eq!(locked("not tracked\n"), [own]);
    for may_come in ["dormant\n", "available\n"] {
        assert_eq!(locked(may_come), [own, "pci0000:00/01.0/00.0/01.0/00.0"], "{may_come}");
    }
}

#[test]
fn the_helper_cannot_be_called_by_hand() {
    let directory = crate::support::scratch_directory();
    let file = directory.path().join("file");
    fs::write(&file, "as it was").unwrap();
    Run::new(["kernel-write", file.to_str().unwrap(), "1", "do-0", ""])
        .stderr("pcictl: kernel-write: not a command\nhint: see pcictl --help\n")
        .status(2)
        .check();
    assert_eq!(fs::read_to_string(file).unwrap(), "as it was");
}

/// Takes from a bridge what a reset takes.
fn reset(tree: &Tree, address: &str) {
    let file = tree.device(address).join("config");
    let mut config = fs::read(&file).unwrap();
    config[0x18..0x30].fill(0);
    fs::write(file, config).unwrap();
}

#[test]
fn nothing_is_scanned_over_a_bridge_that_lost_its_bus_number() {
    let tree = Tree::load("guest-nested");
    let planned = "would [..]\n...\ndry run: nothing was changed\n";
    for all in ["rescan -n --all", "rescan -n 0000:01:00.0", "replug -n 0000:02:00.0"] {
        Run::words(all).on(&tree).stdout_like(planned).check();
    }
    // What the reset of a switch leaves: its ports, and the switch below one of them, have no numbers any more.
    for address in ["0000:02:00.0", "0000:02:01.0", "0000:03:00.0"] {
        reset(&tree, address);
    }
    let refused = "pcictl: 0000:02:00.0, 0000:02:01.0: lost the number of the bus below it in a reset; [..]\nhint: pcictl replug 0000:02:00.0 0000:02:01.0 brings back what is there\n";
    for words in ["rescan -n --all", "rescan -n 0000:01:00.0", "replug -n 0000:02:00.0"] {
        Run::words(words).on(&tree).stderr_like(refused).status(4).check();
    }
    Run::words("doctor")
        .on(&tree)
        .stdout_like("...\n[..]0000:02:00.0, 0000:02:01.0: lost the number of the bus below it in a reset: [..]\n...\n")
        .status(1)
        .check();
    // They go and come anew, or all of the switch does; what is elsewhere is not hit.
    for words in ["replug -n 0000:02:00.0 0000:02:01.0", "replug -n 0000:01:00.0", "rescan -n 0000:00:02.0"] {
        Run::words(words).on(&tree).stdout_like(planned).check();
    }
}
