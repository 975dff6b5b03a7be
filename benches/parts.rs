//! What the parts of a listing and of a plan cost: `cargo bench --bench parts`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/it/support/maketree.rs"]
mod maketree;

use std::sync::LazyLock;

use divan::{Bencher, black_box};
use pcictl::host::pci_ids::PciIds;
use pcictl::host::sysfs::{Sysfs, follow};
use pcictl::pci::address::PciAddress;
use pcictl::pci::ids::Ids;
use pcictl::plan::remove::plan_removal;
use pcictl::topology::fields::{Fields, IdsOf};
use pcictl::topology::model::Topology;
use tempfile::TempDir;

const SIZES: [usize; 2] = [64, 4000];

static TREES: LazyLock<Vec<TempDir>> = LazyLock::new(|| SIZES.map(made).into());

fn made(functions: usize) -> TempDir {
    let builder = || tempfile::Builder::new().prefix("pcictl-").to_owned();
    let directory = builder().tempdir_in("/dev/shm").or_else(|_| builder().tempdir()).expect("a directory");
    maketree::make(directory.path(), functions).expect("a tree");
    directory
}

fn sysfs(functions: usize) -> Sysfs {
    let index = SIZES.iter().position(|size| *size == functions).expect("a size");
    Sysfs::open(Some(TREES[index].path())).expect("a tree")
}

fn main() {
    LazyLock::force(&TREES);
    divan::main();
}

#[divan::bench]
fn address_from_a_name() -> Option<PciAddress> {
    PciAddress::from_sysfs_name(black_box("10000:e1:1f.7"))
}

#[divan::bench]
fn address_to_text() -> String {
    black_box(PciAddress { domain: 0, bus: 3, device: 0, function: 0 }).to_string()
}

#[divan::bench]
fn ids_from_modalias() -> Option<Ids> {
    Ids::from_modalias(black_box("pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02"))
}

#[divan::bench]
fn a_link_followed() -> Option<String> {
    follow("bus/pci/devices", black_box("../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:00.0"))
}

#[divan::bench(args = SIZES)]
fn links_of_all(bencher: Bencher, functions: usize) {
    let sysfs = sysfs(functions);
    bencher.bench(|| Topology::load_all(&sysfs, Fields::default()));
}

#[divan::bench(args = SIZES)]
fn ids_and_drivers_of_all(bencher: Bencher, functions: usize) {
    let sysfs = sysfs(functions);
    let fields = Fields { ids: IdsOf::Devices, driver: true, ..Fields::default() };
    bencher.bench(|| Topology::load_all(&sysfs, fields));
}

#[divan::bench(args = SIZES)]
fn everything_of_all(bencher: Bencher, functions: usize) {
    let sysfs = sysfs(functions);
    bencher.bench(|| Topology::load_all(&sysfs, Fields::ALL));
}

#[divan::bench(args = SIZES)]
fn a_plan_for_nine(bencher: Bencher, functions: usize) {
    let sysfs = sysfs(functions);
    let switch: PciAddress = maketree::SWITCH.parse().expect("an address");
    bencher.bench(|| {
        let topology = Topology::load_around(&sysfs, &[switch], Fields::PLAN).expect("the switch");
        plan_removal(&topology, &[topology.find(switch).expect("the switch")])
    });
}

/// With the system's own pci.ids, where there is one.
#[divan::bench]
fn one_name_of_the_whole_file() {
    let root = pcictl::host::root::Root::open(None).expect("a root");
    PciIds::load(&root).device(black_box(0x8086), black_box(0x10d3));
}
