//! Network use without an address of its own: bonds and teams, packet sockets, promiscuous interfaces.

use std::fs;

use crate::support::run::Run;
use crate::support::{Tree, scratch_directory};

const ETH0: &str = "0000:01:00.0";
const ETH1: &str = "0000:01:00.1";
const ETH2: &str = "0000:02:00.0";
const MON0: &str = "0000:03:00.0";
const MON1: &str = "0000:03:00.1";
const MON2: &str = "0000:03:00.2";

/// The kinds and descriptions of all users that stand in the way of removing these.
fn users(tree: &Tree, functions: &[&str]) -> Vec<String> {
    let plan = Run::new(["remove", "-n", "--each", "--json"]).and(functions).on(tree);
    let plan = plan.status(if functions.is_empty() { 0 } else { 4 }).json();
    let users = plan["users"]["found"].as_array().unwrap().iter();
    users.map(|user| format!("{}: {}", user["kind"].as_str().unwrap(), user["description"].as_str().unwrap())).collect()
}

const PART: &str = "is part of bond bond0 (address 10.0.0.5, the default route)";

#[test]
fn a_link_of_a_bond_whose_other_link_stays_is_redundant() {
    let tree = Tree::shared("uplinks");
    let stays = "is 1 of 2 links of bond0: eth2 (0000:02:00.0) stays and is up";
    assert_eq!(users(tree, &[ETH0]), [format!("redundant: eth0 {PART} and {stays}")]);
    Run::new(["remove", "-n", "--force", "redundant", ETH0]).on(tree).status(0).text();
    Run::new(["remove", "-n", "--force", "network,management", ETH0]).on(tree).status(4).text();
}

#[test]
fn the_links_of_a_bond_that_go_together_are_its_last() {
    let tree = Tree::shared("uplinks");
    let none = "leaves bond0 without a link that is up";
    let both = users(tree, &[ETH0, ETH2]);
    assert_eq!(both, [format!("management: eth0 {PART} and {none}"), format!("management: eth2 {PART} and {none}")]);
    // The port above one of them takes it along with the rest of its card.
    let card = users(tree, &["0000:00:01.0"]);
    assert!(
        card[0].starts_with("management") || card.iter().any(|user| user.starts_with("redundant: eth0")),
        "{card:?}"
    );
}

#[test]
fn a_link_that_carries_nothing_does_not_count_as_remaining() {
    let eth2 = "sys/devices/pci0000:00/0000:00:02.0/0000:02:00.0/net/eth2";
    for (file, content) in [
        ("bonding_slave/mii_status", "down"),
        ("bonding_slave/mii_status", "going back"),
        ("bonding_slave/ad_aggregator_id", "2"),
        ("operstate", "dormant"),
    ] {
        let tree = Tree::load("uplinks");
        tree.edit(&format!("{eth2}/{file}"), format!("{content}\n"));
        let found = users(&tree, &[ETH0]);
        assert!(found[0].starts_with("management: eth0 is part of bond bond0"), "{file} {content}: {found:?}");
        assert!(found[0].ends_with("leaves bond0 without a link that is up"), "{file} {content}: {found:?}");
        // Whoever takes the dead one leaves the healthy one.
        assert!(users(&tree, &[ETH2])[0].starts_with("redundant: eth2"), "{file} {content}");
    }
}

#[test]
fn a_link_with_an_address_of_its_own_is_not_redundant() {
    let tree = Tree::load("uplinks");
    let address = "20010db8000000000000000000000001 02 40 00 80 eth0\n";
    tree.edit("proc/net/if_inet6", address);
    let found = users(&tree, &[ETH0]);
    assert!(
        found[0].starts_with("management: eth0 carries address 2001:db8::1 and is part of bond bond0"),
        "{found:?}"
    );
}

#[test]
fn a_link_that_stands_on_what_goes_goes_too() {
    // A bond of a port and of a VLAN on that same port.
    let tree = Tree::load("uplinks");
    let virtuals = tree.path().join("sys/devices/virtual/net");
    let eth2 = tree.path().join("sys/devices/pci0000:00/0000:00:02.0/0000:02:00.0/net/eth2");
    fs::create_dir_all(virtuals.join("eth0.9")).unwrap();
    let link = |target: &str, at: std::path::PathBuf| std::os::unix::fs::symlink(target, at).unwrap();
    link("../../devices/virtual/net/eth0.9", tree.path().join("sys/class/net/eth0.9"));
    tree.edit("sys/devices/virtual/net/eth0.9/operstate", "up\n");
    link("../../../pci0000:00/0000:00:01.0/0000:01:00.0/net/eth0", virtuals.join("eth0.9/lower_eth0"));
    fs::remove_file(virtuals.join("bond0/lower_eth2")).unwrap();
    fs::remove_file(eth2.join("master")).unwrap();
    link("../eth0.9", virtuals.join("bond0/lower_eth0.9"));
    let found = users(&tree, &[ETH0]);
    assert!(found[0].ends_with("leaves bond0 without a link that is up"), "{found:?}");
}

#[test]
fn the_ports_of_a_team_are_told_apart_by_their_state() {
    let tree = Tree::shared("uplinks");
    let part = "is part of team team0 (a route to 172.16.1.0/24)";
    let none = "leaves team0 without a link that is up";
    assert_eq!(users(tree, &[ETH1]), [format!("network: eth1 {part} and {none}")]);
    let stays = "is 1 of 2 links of team0: eth1 (0000:01:00.1) stays and is up";
    assert_eq!(users(tree, &["0000:02:00.1"]), [format!("redundant: eth3 {part} and {stays}")]);
}

#[test]
fn who_listens_by_a_packet_socket_is_named() {
    let tree = Tree::shared("uplinks");
    assert_eq!(
        users(tree, &[MON0]),
        [
            "network: mon0 is promiscuous: something listens",
            "network: pid 700 (/usr/bin/suricata --af-packet) listens on mon0 with a packet socket",
            "network: pid 701 (/opt/zeek/bin/zeek -i mon0) listens on mon0 with a packet socket",
        ]
    );
    let unseen = "network: a packet socket listens on mon1; the process that has it cannot be seen";
    assert_eq!(users(tree, &[MON1]), [unseen]);
    assert_eq!(users(tree, &[MON2]), ["network: mon2 is promiscuous: something listens"]);
}

#[test]
fn what_listens_everywhere_is_mentioned_and_refuses_nothing() {
    let tree = Tree::load("uplinks");
    tree.edit("sys/devices/pci0000:00/0000:00:03.0/0000:03:00.2/net/mon2/flags", "0x1003\n");
    let shown = Run::new(["show", MON2]).on(&tree).status(0).text();
    assert!(shown.contains("1 packet socket listens on every interface, and so on these"), "{shown}");
    assert!(shown.contains("mon2 is up, and a dump has only the first next hop"), "{shown}");
    Run::new(["remove", "-n", MON2]).on(&tree).status(0).text();
    // An interface that is down hears nothing, whatever it was set to.
    tree.edit("sys/devices/pci0000:00/0000:00:03.0/0000:03:00.2/net/mon2/flags", "0x1102\n");
    let shown = Run::new(["show", MON2]).on(&tree).status(0).text();
    assert!(!shown.contains("mon2 is up") && !shown.contains("promiscuous"), "{shown}");
}

#[test]
fn an_rdma_device_made_of_software_is_use_of_its_interface() {
    let tree = Tree::load("uplinks");
    let device = "sys/devices/virtual/infiniband/rxe0";
    fs::create_dir_all(tree.path().join(device)).unwrap();
    fs::create_dir_all(tree.path().join("sys/class/infiniband")).unwrap();
    let class = tree.path().join("sys/class/infiniband/rxe0");
    std::os::unix::fs::symlink("../../devices/virtual/infiniband/rxe0", class).unwrap();
    tree.edit(&format!("{device}/parent"), "mon2\n");
    let promiscuous = "network: mon2 is promiscuous: something listens";
    assert_eq!(users(&tree, &[MON2]), [promiscuous, "network: mon2 carries RDMA device rxe0"]);
    assert!(!users(&tree, &[MON1]).iter().any(|user| user.contains("rxe0")));
    // A dump of it tells the same.
    let scratch = scratch_directory();
    let copy = scratch.path().join("copy");
    Run::new(["dump".as_ref(), copy.as_os_str()]).on(&tree).status(0).text();
    assert_eq!(fs::read_to_string(copy.join(device).join("parent")).unwrap(), "mon2\n");
}
