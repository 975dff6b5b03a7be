//! What a reset hits besides its function, and what it finds changed afterwards.

use std::fs;

use crate::support::Tree;
use crate::support::run::Run;

/// Two ports on one bus, below one of which is a disk with mounts; below the other is nothing, and nothing is known of how it
/// can be reset.
fn beside_a_mounted_disk() -> Tree {
    let tree = Tree::load("busy");
    tree.remove("0000:04:00.0");
    fs::write(tree.device("0000:02:01.0").join("reset"), "").unwrap();
    tree
}

#[test]
fn whoever_uses_what_else_is_on_the_bus_keeps_it_from_being_reset() {
    let tree = beside_a_mounted_disk();
    fs::write(tree.device("0000:02:01.0").join("reset_method"), "bus\n").unwrap();
    Run::words("reset -n 0000:02:01.0")
        .on(&tree)
        .stderr_like("pcictl: 0000:02:01.0: a reset by bus would hit 0000:02:00.0: / is mounted from [..]\nhint: stop using it first, or override with --force [..]\n")
        .status(4)
        .check();
    // And if nobody minds, the kernel does.
    Run::words("reset -n --force mounted,swap,holders,open,protected,network,unchecked 0000:02:01.0")
        .on(&tree)
        .stderr("pcictl: 0000:02:01.0: the kernel resets a bus only where nothing else is on it; there is 0000:02:00.0\nhint: pcictl replug --power-cycle 0000:02:01.0 with all of these, where their slot can be switched\n")
        .status(1)
        .check();
}

#[test]
fn each_slot_of_several_is_switched_off_and_on() {
    let plan = Run::words("replug -n --json --power-cycle 0000:03:00.0 0000:04:00.0").tree("guest-switch8").json();
    let switches = plan.to_string().matches("switch the power of slot").count();
    assert_eq!(switches, 4, "{plan}");
}

#[test]
fn a_bridge_that_leads_to_something_is_not_reset() {
    let tree = Tree::load("busy");
    fs::write(tree.device("0000:02:00.0").join("reset"), "").unwrap();
    let forced = "reset -n --force mounted,swap,holders,open,protected,network,unchecked 0000:02:00.0";
    for words in ["reset -n 0000:02:00.0", "reset -n --keep-driver 0000:02:00.0", forced] {
        Run::words(words)
            .on(&tree)
            .stderr("pcictl: 0000:02:00.0: is a bridge; its reset would also reset 0000:03:00.0, which the kernel would not set up again\nhint: pcictl replug --reset 0000:02:00.0 removes all of it, and sets it up anew after the reset\n")
            .status(1)
            .check();
    }
    Run::words("reset --list 0000:02:00.0")
        .on(&tree)
        .stdout("0000:02:00.0: can be reset; how, this kernel does not tell (Linux 5.15 and newer do)\n  each hits what is below it, too: 0000:03:00.0; pcictl replug --reset does that\n")
        .check();
}

#[test]
fn where_the_kernel_does_not_tell_the_bus_counts() {
    let tree = beside_a_mounted_disk();
    Run::words("reset -n 0000:02:01.0")
        .on(&tree)
        .stdout_like("would reset 0000:02:01.0, and give it back to pcieport\n[..]\nmounted     / is mounted from [..]\n...\nlocks  0000:01:00.0 exclusive; 3 above it shared\n...\n")
        .status(4)
        .check();
    Run::words("reset --list 0000:02:01.0")
        .on(&tree)
        .stdout("0000:02:01.0: can be reset; how, this kernel does not tell (Linux 5.15 and newer do)\n")
        .check();
    Run::words("reset -n --method flr 0000:02:01.0")
        .on(&tree)
        .stderr("pcictl: 0000:02:01.0: this kernel lets nobody choose a method; Linux 5.15 and newer do\nhint: pcictl reset 0000:02:01.0 takes the one it has\n")
        .status(1)
        .check();
}

#[test]
fn resets_that_somebody_has_disabled_are_told() {
    let tree = beside_a_mounted_disk();
    fs::write(tree.device("0000:02:01.0").join("reset_method"), "\n").unwrap();
    Run::words("reset -n 0000:02:01.0")
        .on(&tree)
        .stderr("pcictl: 0000:02:01.0: its resets are disabled (reset_method is empty)\nhint: writing 'default' to its reset_method enables them\n")
        .status(1)
        .check();
    Run::words("reset --list 0000:02:01.0").on(&tree).stdout("0000:02:01.0: every method is disabled\n").check();
}

#[test]
fn a_method_that_could_not_be_listed_again_is_not_set() {
    let tree = Tree::load("gpu-server");
    fs::write(tree.device("0000:1c:00.0").join("reset_method"), "flr pm bus\n").unwrap();
    Run::words("reset -n --method pm 0000:1c:00.0")
        .on(&tree)
        .stderr("pcictl: 0000:1c:00.0: the kernel would not take bus back into its reset_method beside 0000:1c:00.1\n")
        .status(1)
        .check();
}

#[test]
fn a_bridge_that_can_reset_all_below_it_is_told() {
    let tree = Tree::load("guest-switch8");
    let port = tree.device("0000:02:00.0");
    fs::write(port.join("reset_subordinate"), "").unwrap();
    fs::remove_file(tree.device("0000:03:00.0").join("reset")).unwrap();
    Run::words("reset --list 0000:03:00.0")
        .on(&tree)
        .stdout("0000:03:00.0: cannot be reset by itself\n  0000:02:00.0 above it can reset all below it (reset_subordinate)\n")
        .check();
    Run::words("reset -n 0000:03:00.0")
        .on(&tree)
        .stderr("pcictl: 0000:03:00.0: the kernel has no way to reset it\nhint: pcictl replug --reset 0000:03:00.0 removes it and resets its bus\n")
        .status(1)
        .check();
}
