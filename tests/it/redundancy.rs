//! One of several paths or copies needs less than the last one; what is not known to be healthy does not count.

use crate::support::Tree;
use crate::support::run::Run;

/// What would have to be forced to remove these, and what is said.
fn needed(tree: &Tree, functions: &[&str]) -> (Vec<String>, String) {
    let plan = Run::new(["remove", "-n", "--json"]).and(functions).on(tree).status(4).json();
    let kinds = plan["needs_force"].as_array().expect("a list").iter().map(|kind| kind.as_str().unwrap().to_owned());
    (kinds.collect(), plan["users"].to_string())
}

const FC: &str = "sys/devices/pci0000:00/0000:00:0e.0/0000:82:00.0/host8";
const NVME: &str = "sys/devices/pci0000:00/0000:00:06.0/0000:06:00.0/nvme/nvme5";
const MD: &str = "sys/devices/virtual/block";

#[test]
fn a_path_that_does_not_work_is_none() {
    for (file, state, why) in [
        (format!("{FC}/rport-8:0-0/target8:0:0/8:0:0:1/state"), "offline", "the last path: sdc is offline"),
        (format!("{FC}/rport-8:0-0/target8:0:0/8:0:0:1/state"), "transport-offline", "sdc is transport-offline"),
        (format!("{FC}/fc_host/host8/port_state"), "Linkdown", "sdc is behind host8, which is Linkdown"),
        (
            format!("{FC}/rport-8:0-0/fc_remote_ports/rport-8:0-0/port_state"),
            "Blocked",
            "sdc is behind rport-8:0-0, which is Blocked",
        ),
    ] {
        let tree = Tree::load("storage");
        let (kinds, _) = needed(&tree, &["0000:81:00.0"]);
        assert_eq!(kinds, ["redundant"]);
        tree.edit(&file, format!("{state}\n"));
        let (kinds, users) = needed(&tree, &["0000:81:00.0"]);
        assert_eq!(kinds, ["mounted", "swap", "holders", "open"], "{why}");
        assert!(users.contains(why), "{why}: {users}");
    }
}

#[test]
fn a_controller_that_does_not_lead_to_the_namespace_is_no_path() {
    for (file, state, why) in [
        ("state", "connecting", "the last path: nvme5 is connecting"),
        ("nvme4c5n1/ana_state", "inaccessible", "the last path: nvme5 is inaccessible"),
    ] {
        let tree = Tree::load("storage");
        assert_eq!(needed(&tree, &["0000:05:00.0"]).0, ["redundant"]);
        tree.edit(&format!("{NVME}/{file}"), format!("{state}\n"));
        let (kinds, users) = needed(&tree, &["0000:05:00.0"]);
        assert_eq!(kinds, ["mounted"]);
        assert!(users.contains(why), "{why}: {users}");
    }
}

#[test]
fn a_copy_counts_while_it_is_in_sync_and_an_array_by_what_its_level_can_lose() {
    let tree = Tree::load("storage");
    tree.edit(&format!("{MD}/md1/md/level"), "raid6\n");
    // Four that should be there, two that are, one that would be left.
    tree.edit(&format!("{MD}/md1/md/raid_disks"), "4\n");
    assert_eq!(needed(&tree, &["0000:02:00.0"]).0, ["mounted", "holders", "redundant"]);
    tree.edit(&format!("{MD}/md1/md/raid_disks"), "3\n");
    assert_eq!(needed(&tree, &["0000:02:00.0"]).0, ["redundant"]);
    // Two near copies on two disks.
    tree.edit(&format!("{MD}/md1/md/level"), "raid10\n");
    tree.edit(&format!("{MD}/md1/md/raid_disks"), "2\n");
    tree.edit(&format!("{MD}/md1/md/layout"), "258\n");
    assert_eq!(needed(&tree, &["0000:02:00.0"]).0, ["redundant"]);
    // One near, of two far ones.
    tree.edit(&format!("{MD}/md1/md/layout"), "513\n");
    assert_eq!(needed(&tree, &["0000:02:00.0"]).0, ["redundant"]);
    tree.edit(&format!("{MD}/md1/md/layout"), "257\n");
    assert_eq!(needed(&tree, &["0000:02:00.0"]).0, ["mounted", "holders", "redundant"]);
    for state in ["faulty", "spare", "write_error", "in_sync,blocked"] {
        tree.edit(&format!("{MD}/md0/md/dev-nvme0n1p2/state"), format!("{state}\n"));
        let (kinds, users) = needed(&tree, &["0000:02:00.0"]);
        assert_eq!(kinds, ["mounted", "holders"], "{state}");
        assert!(users.contains(&format!("the last copy: nvme0n1p2 is {state}")), "{users}");
    }
    tree.edit(&format!("{MD}/md0/md/dev-nvme0n1p2/state"), "in_sync,write_mostly\n");
    assert_eq!(needed(&tree, &["0000:02:00.0"]).0, ["mounted", "holders", "redundant"]);
    // A disk that says nothing of itself is as md says.
    let state = "sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme0/state";
    tree.edit(state, "dead\n");
    let (kinds, users) = needed(&tree, &["0000:02:00.0"]);
    assert_eq!(kinds, ["mounted", "holders"]);
    assert!(users.contains("the last copy: nvme0 is dead"), "{users}");
    std::fs::remove_file(tree.path().join(state)).expect("its state");
    assert_eq!(needed(&tree, &["0000:02:00.0"]).0, ["mounted", "holders", "redundant"]);
}

#[test]
fn a_target_that_is_switched_off_uses_nothing() {
    let tree = Tree::load("storage");
    let (kinds, users) = needed(&tree, &["0000:83:00.0"]);
    assert_eq!(kinds, ["holders"]);
    assert!(users.contains("SCSI (qla2xxx) target 21:00:00:24:ff:00:00:09") && users.contains("SCST"), "{users}");
    tree.edit("sys/kernel/config/target/qla2xxx/21:00:00:24:ff:00:00:09/tpgt_1/enable", "0\n");
    assert!(!needed(&tree, &["0000:83:00.0"]).1.contains("SCSI (qla2xxx)"));
    tree.edit("sys/kernel/scst_tgt/targets/qla2x00t/21:00:00:24:ff:00:00:09/enabled", "0\n");
    let plan = Run::new(["remove", "-n", "--json", "0000:83:00.0"]).on(&tree).status(0).json();
    assert_eq!(plan["needs_force"], serde_json::json!([]));
}
