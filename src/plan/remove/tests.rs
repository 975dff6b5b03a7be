//! What must hold of a removal's plan for every tree and every choice of targets.

use std::collections::HashMap;

use proptest::prelude::*;

use crate::pci::address::PciAddress;
use crate::plan::action::{Action, Step};
use crate::plan::claims_for::Touched;
use crate::plan::remove::plan_removal;
use crate::topology::model::{FunctionId, Parent, Topology, VirtualOf};

/// How one function of a made-up tree hangs on those before it.
#[derive(Clone, Debug)]
struct Seed {
    /// Which earlier function is above; taken modulo their number, 0 being the host bridge.
    above: usize,
    /// How many VFs it has.
    vfs: u8,
    bound: bool,
}

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let seed = (any::<usize>(), 0u8..4, any::<bool>()).prop_map(|(above, vfs, bound)| Seed { above, vfs, bound });
    proptest::collection::vec(seed, 1..24)
}

/// Every function sits on a bus of its own, so that addresses never clash; what matters is who is above whom.
fn grow(seeds: &[Seed]) -> (Topology, Vec<FunctionId>) {
    let mut topology = Topology::default();
    let host = topology.add_host_bridge("pci0000:00", "devices/pci0000:00", None);
    let mut real: Vec<FunctionId> = Vec::new();
    let mut all: Vec<FunctionId> = Vec::new();
    for (bus, seed) in (1u8..).zip(seeds) {
        let parent = match seed.above % (real.len() + 1) {
            0 => Parent::HostBridge(host),
            n => Parent::Function(real[n - 1]),
        };
        let address = |device| PciAddress { domain: 0, bus, device, function: 0 };
        // A PF without a driver that still has VFs is refused, which another test looks at.
        let driver = (seed.bound || seed.vfs > 0).then(|| "driver".into());
        let physical = topology.add_function(parent, address(0), None, driver);
        real.push(physical);
        all.push(physical);
        for index in 0..seed.vfs {
            let id = topology.add_function(parent, address(index + 1), None, seed.bound.then(|| "vf".into()));
            topology.set_virtual(id, VirtualOf { physical, index: Some(index.into()) });
            all.push(id);
        }
    }
    (topology, all)
}

/// The step that stops a function: unbinding it, or taking its VFs away.
fn stopped_by(steps: &[Step]) -> HashMap<(PciAddress, bool), usize> {
    let mut found = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        let key = match &step.action {
            Action::Unbind { address, .. } => (*address, true),
            Action::SetVfs { address, .. } => (*address, false),
            _ => continue,
        };
        assert!(found.insert(key, index).is_none(), "{key:?} stands twice in {steps:?}");
    }
    found
}

/// Whether a step waits for another, directly or through others.
fn waits_for(steps: &[Step], later: usize, earlier: usize) -> bool {
    steps[later].after.iter().any(|index| *index == earlier || waits_for(steps, *index, earlier))
}

proptest! {
    #[test]
    fn each_once_and_from_the_bottom_up(seeds in seeds(), picks in proptest::collection::vec(any::<usize>(), 1..6)) {
        let (topology, all) = grow(&seeds);
        let targets: Vec<FunctionId> =
            picks.iter().map(|pick| all[pick % all.len()]).filter(|id| topology.function(*id).virtual_of.is_none()).collect();
        let removal = plan_removal(&topology, &targets).unwrap();
        let steps = &removal.stop.steps;
        let stopped = stopped_by(steps);

        for (index, step) in steps.iter().enumerate() {
            prop_assert!(step.after.iter().all(|earlier| *earlier < index), "{step:?} waits for a later one");
        }
        let mut gone = removal.gone.clone();
        gone.sort();
        gone.dedup();
        prop_assert_eq!(gone.len(), removal.gone.len(), "a function is gone twice");

        for id in removal.gone.iter().map(|address| topology.find(*address).unwrap()) {
            let function = topology.function(id);
            let unbind = stopped.get(&(function.address, true)).copied();
            prop_assert_eq!(unbind.is_some(), function.driver.is_some(), "{} is not stopped", function.address);
            // What hangs below, at any depth, is stopped before.
            for below in topology.subtree(id).into_iter().skip(1) {
                let below = stopped.get(&(topology.function(below).address, true)).copied();
                if let (Some(unbind), Some(below)) = (unbind, below) {
                    prop_assert!(waits_for(steps, unbind, below));
                }
            }
            if let Some(of) = function.virtual_of {
                let taken = stopped[&(topology.function(of.physical).address, false)];
                let physical = stopped[&(topology.function(of.physical).address, true)];
                prop_assert!(waits_for(steps, physical, taken));
                if let Some(unbind) = unbind {
                    prop_assert!(waits_for(steps, taken, unbind));
                }
            }
        }
    }

    #[test]
    fn the_order_of_the_targets_does_not_matter(seeds in seeds(), picks in proptest::collection::vec(any::<usize>(), 1..6)) {
        let (topology, all) = grow(&seeds);
        let mut targets: Vec<FunctionId> = picks.iter().map(|pick| all[pick % all.len()]).collect();
        targets.retain(|id| topology.function(*id).virtual_of.is_none());
        let removal = plan_removal(&topology, &targets).unwrap();
        targets.reverse();
        prop_assert_eq!(plan_removal(&topology, &targets).unwrap(), removal);
    }
}

#[test]
fn what_the_kernel_could_not_do_is_refused() {
    let (mut topology, all) = grow(&[Seed { above: 0, vfs: 0, bound: false }]);
    let Parent::HostBridge(host) = topology.function(all[0]).parent else { panic!() };
    let physical = topology.find("0000:01:00.0".parse().unwrap()).unwrap();
    let address = "0000:01:10.0".parse().unwrap();
    let id = topology.add_function(Parent::HostBridge(host), address, None, None);
    topology.set_virtual(id, VirtualOf { physical, index: Some(0) });

    let alone = plan_removal(&topology, &[id]).unwrap_err();
    assert!(alone.to_string().contains("virtual function of 0000:01:00.0"), "{alone}");
    let left_on = plan_removal(&topology, &[physical]).unwrap_err();
    assert!(left_on.to_string().contains("no driver that could take them away"), "{left_on}");
    assert_eq!((alone.status() as u8, left_on.status() as u8), (4, 4));
}

#[test]
fn an_empty_port_may_fill_its_bus_when_it_gets_its_driver_back() {
    let port = |is_bound: bool| {
        let mut topology = Topology::default();
        let host = topology.add_host_bridge("pci0000:00", "devices/pci0000:00", None);
        let driver = is_bound.then(|| "pcieport".into());
        let id = topology.add_function(Parent::HostBridge(host), "0000:00:03.0".parse().unwrap(), None, driver);
        topology.set_secondary(id, "0000:01".parse().ok());
        (topology, id)
    };
    let held = |topology: &Topology, id: FunctionId| {
        plan_removal(topology, &[id])
            .unwrap()
            .claims()
            .tops()
            .iter()
            .map(|top| top.chain().to_owned())
            .collect::<Vec<_>>()
    };
    let (empty, id) = port(true);
    assert_eq!(held(&empty, id), ["pci0000:00"]);
    let (no_driver, id) = port(false);
    assert_eq!(held(&no_driver, id), ["pci0000:00/03.0"]);
    let (mut full, id) = port(true);
    let below = full.add_function(Parent::Function(id), "0000:01:00.0".parse().unwrap(), None, None);
    assert_eq!(held(&full, id), ["pci0000:00/03.0"]);
    assert_eq!(held(&full, below), ["pci0000:00/03.0/00.0"]);
}

#[test]
fn a_consumer_elsewhere_is_held_from_the_first_step_to_the_last() {
    let mut topology = Topology::default();
    let host = topology.add_host_bridge("pci0000:00", "devices/pci0000:00", None);
    let [top, consumer] = ["0000:00:01.0", "0000:00:02.0"].map(|address| {
        topology.add_function(Parent::HostBridge(host), address.parse().unwrap(), None, Some("driver".into()))
    });
    let mut removal = plan_removal(&topology, &[top]).unwrap();
    removal.also_touching(&[Touched::Function(topology.place(consumer))]);
    let both = [topology.place(top), topology.place(consumer)];
    assert_eq!((removal.claims().tops(), removal.remove.claims.tops()), (&both[..], &both[..]));
}
