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
