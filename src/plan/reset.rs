//! How a device that is removed can be brought to its senses before it is scanned for again: a reset, or slot power.
//!
//! Both can hit more than the device that was named. A function's own `reset` tries methods that leave its neighbours alone;
//! a reset of its bus or slot is tried only where nothing else sits there (`pci_parent_bus_reset`, `pci_dev_reset_slot_function`
//! in drivers/pci/pci.c), but a slot may hold more than its bus shows. The bus below a bridge and a slot are taken only if
//! all in them is removed anyway.

use crate::error::{Error, ErrorKind, Result};
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::plan::action::{Action, Plan};
use crate::topology::attributes::Attributes;
use crate::topology::fields::Fields;
use crate::topology::model::{FunctionId, Topology};
use crate::topology::paths::on_bus;
use crate::topology::reset_methods::{ResetMethods, can_reset_below, needs_bus_alone};

/// The options, as the operator wrote them.
const RESET: &str = "--reset";
const POWER_CYCLE: &str = "--power-cycle";

/// What else there is.
const NO_RESET: &str = "try --power-cycle, or replug without either";
const NO_POWER: &str = "use --reset, or replug without either; pcictl slot list shows which slots can be switched";

/// Resets each of these, to be done when their drivers are stopped and they are still there. `gone` is all that will be
/// removed.
///
/// # Errors
/// One of them cannot be reset without hitting something else.
pub(crate) fn plan_reset(sysfs: &Sysfs, tops: &[PciAddress], gone: &[PciAddress]) -> Result<Plan> {
    let topology = Topology::load_only(sysfs, tops, Fields::default())?;
    let mut plan = Plan::default();
    for (address, id) in present(&topology, tops) {
        let path = topology.path(id);
        let methods = ResetMethods::read(sysfs, &path);
        let above = topology.function_above(id).map(|above| (topology.function(above).address, topology.path(above)));
        let is_shared = match &above {
            Some((_, bridge))
                if methods.listed().and_then(<[_]>::first).is_some_and(|first| needs_bus_alone(first)) =>
            {
                is_shared(sysfs, bridge, address, gone)?
            }
            _ => false,
        };
        if methods != ResetMethods::Missing && !is_shared {
            let hits_bus = methods.may_hit_bus();
            plan.push_last(Action::Reset { address, hits_bus }, &path);
            continue;
        }
        let Some((bridge, directory)) = above.filter(|(_, path)| can_reset_below(sysfs, path)) else {
            let why = if is_shared {
                "the kernel resets its bus only where nothing else is on it"
            } else {
                "the kernel offers no reset of it, nor of the bus it sits on"
            };
            return Err(impossible(ErrorKind::Unsupported, address, RESET, why).hint(NO_RESET));
        };
        let others = others_on(sysfs, &directory, gone)?;
        if !others.is_empty() {
            let why = format!("only its bus can be reset, and that would reset {others}, too");
            return Err(impossible(ErrorKind::Refused, address, RESET, &why).hint(format!("name {others} as well")));
        }
        let reset = Action::ResetBelow { address: bridge };
        if !plan.steps.iter().any(|step| step.action == reset) {
            plan.push_last(reset, &directory);
        }
    }
    Ok(plan)
}

/// Switches the slots of these off and on, to be done when they are removed.
///
/// # Errors
/// One of them sits in no slot whose power can be switched, or something else sits there as well.
pub(crate) fn plan_power_cycle(sysfs: &Sysfs, tops: &[PciAddress], gone: &[PciAddress]) -> Result<Plan> {
    let topology = Topology::load_only(sysfs, tops, Fields::default())?;
    let mut attributes = Attributes::new(sysfs);
    let mut plan = Plan::default();
    for &address in tops {
        let slot = attributes.slot(address);
        let has_power = |slot: &&String| sysfs.exists(&format!("bus/pci/slots/{slot}/power"));
        let Some(slot) = slot.as_ref().filter(has_power) else {
            let why = slot.map_or_else(
                || "it sits in no slot that the kernel knows".to_owned(),
                |slot| format!("the kernel has no control of the power of slot {slot}"),
            );
            return Err(impossible(ErrorKind::Unsupported, address, POWER_CYCLE, &why).hint(NO_POWER));
        };
        let functions = (0..8).map(|function| PciAddress { function, ..address });
        let others: Vec<PciAddress> =
            functions.filter(|other| !gone.contains(other) && sysfs.has_function(*other)).collect();
        if !others.is_empty() {
            let why = format!("slot {slot} also holds {}", named(&others));
            let hint = "name all of its functions";
            return Err(impossible(ErrorKind::Refused, address, POWER_CYCLE, &why).hint(hint));
        }
        let port = topology.find(address).and_then(|id| topology.function_above(id));
        let port = port.map(|id| topology.function(id).address);
        // What is in it is removed by then.
        let power = |on: bool| Action::SlotPower { slot: slot.clone(), on, port, functions: Vec::new() };
        if !plan.steps.iter().any(|step| step.action == power(false)) {
            plan.push_last(power(false), "");
            plan.push_last(power(true), "");
        }
    }
    Ok(plan)
}

/// Resets the bus below a bridge on which nothing is left; none if the kernel offers no such thing.
pub(crate) fn plan_reset_below(sysfs: &Sysfs, bridge: PciAddress, directory: &str) -> Option<Plan> {
    // Where that cannot be told something may be there.
    let is_empty = on_bus(sysfs, directory).is_ok_and(|there| there.is_some_and(|there| there.is_empty()));
    (is_empty && can_reset_below(sysfs, directory)).then(|| {
        let mut plan = Plan::default();
        plan.push_last(Action::ResetBelow { address: bridge }, directory);
        plan
    })
}

/// Whether more is on the bus of a function when all drivers are stopped and the VFs of what will be gone are off.
fn is_shared(sysfs: &Sysfs, bridge: &str, address: PciAddress, gone: &[PciAddress]) -> Result<bool> {
    let there = on_bus(sysfs, bridge)?.unwrap_or_default();
    let is_virtual = |other: PciAddress| sysfs.exists(&format!("{}/physfn", other.sysfs_link()));
    Ok(there.into_iter().any(|other| other != address && !(gone.contains(&other) && is_virtual(other))))
}

fn others_on(sysfs: &Sysfs, directory: &str, gone: &[PciAddress]) -> Result<String> {
    let there = on_bus(sysfs, directory)?.unwrap_or_default();
    let others: Vec<PciAddress> = there.into_iter().filter(|address| !gone.contains(address)).collect();
    Ok(named(&others))
}

fn present<'a>(topology: &'a Topology, addresses: &'a [PciAddress]) -> impl Iterator<Item = (PciAddress, FunctionId)> {
    addresses.iter().filter_map(|address| topology.find(*address).map(|id| (*address, id)))
}

/// All of them: whoever is told to name them as well needs each.
fn named(addresses: &[PciAddress]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn impossible(kind: ErrorKind, address: PciAddress, option: &str, why: &str) -> Error {
    Error::new(kind, format!("{address}: {option} is not possible: {why}")).about(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::sysfs::made::MadeTree;

    const PORT: &str = "0000:00:01.0";
    const PORT_DIRECTORY: &str = "devices/pci0000:00/0000:00:01.0";

    #[test]
    fn below_a_bridge_is_reset_only_where_nothing_is_and_the_kernel_can() {
        let tree = MadeTree::with(&[PORT]);
        let (sysfs, address) = (tree.sysfs(), PORT.parse().unwrap());
        let resets = || {
            let plan = plan_reset_below(&sysfs, address, PORT_DIRECTORY)?;
            Some(plan.steps.into_iter().map(|step| step.action).collect::<Vec<_>>())
        };
        assert_eq!(resets(), None);
        tree.write(&format!("{PORT_DIRECTORY}/reset_subordinate"), "");
        assert_eq!(resets(), Some(vec![Action::ResetBelow { address }]));
        tree.add_at(CARD, &format!("{PORT_DIRECTORY}/{CARD}"));
        assert_eq!(resets(), None);
        tree.remove(PORT);
        assert_eq!(resets(), None);
    }

    #[test]
    fn a_bus_is_reset_once_for_all_that_is_named_on_it() {
        let tree = MadeTree::with(&[PORT]);
        let functions = addresses(&[CARD, "0000:01:00.1"]);
        for address in &functions {
            tree.add_at(&address.to_string(), &format!("{PORT_DIRECTORY}/{address}"));
        }
        tree.write(&format!("{PORT_DIRECTORY}/reset_subordinate"), "");
        let sysfs = tree.sysfs();

        let plan = plan_reset(&sysfs, &functions, &functions).unwrap();
        let below = Action::ResetBelow { address: PORT.parse().unwrap() };
        assert_eq!(plan.steps.iter().map(|step| &step.action).collect::<Vec<_>>(), [&below]);
        let refused = plan_reset(&sysfs, &functions[..1], &functions[..1]).unwrap_err().to_string();
        assert!(refused.contains("that would reset 0000:01:00.1, too"), "{refused}");
    }

    const CARD: &str = "0000:01:00.0";

    fn addresses(texts: &[&str]) -> Vec<PciAddress> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn power_is_switched_of_a_slot_that_holds_nothing_else() {
        let tree = MadeTree::with(&[CARD, "0000:02:00.0"]);
        let cycled = |tops: &[&str], gone: &[&str]| {
            let plan = plan_power_cycle(&tree.sysfs(), &addresses(tops), &addresses(gone));
            let values =
                |plan: Plan| plan.steps.into_iter().map(|step| step.file + " " + &step.value).collect::<Vec<_>>();
            plan.map(values).map_err(|error| error.to_string())
        };
        let refused = |tops: &[&str], gone: &[&str]| cycled(tops, gone).unwrap_err();
        assert!(refused(&[CARD], &[CARD]).contains("it sits in no slot that the kernel knows"));
        tree.write("bus/pci/slots/7/address", "0000:01:00\n");
        assert!(refused(&[CARD], &[CARD]).contains("no control of the power of slot 7"));
        tree.write("bus/pci/slots/7/power", "1\n");
        let both = ["bus/pci/slots/7/power 0", "bus/pci/slots/7/power 1"].map(str::to_owned).to_vec();
        assert_eq!(cycled(&[CARD], &[CARD]), Ok(both.clone()));
        tree.add("0000:01:00.1");
        assert!(refused(&[CARD], &[CARD]).contains("slot 7 also holds 0000:01:00.1"));
        let all = [CARD, "0000:01:00.1"];
        assert_eq!(cycled(&all, &all), Ok(both), "once for both");
        assert!(refused(&["0000:02:00.0"], &all).contains("it sits in no slot"));
    }

    #[test]
    fn a_function_that_resets_by_its_bus_does_so_only_where_it_is_alone() {
        let tree = MadeTree::with(&[PORT]);
        let add = |function: &str| {
            let directory = format!("{PORT_DIRECTORY}/{function}");
            tree.add_at(function, &directory);
            tree.write(&format!("{directory}/reset"), "");
        };
        let planned = |methods: &str| {
            tree.write(&format!("{PORT_DIRECTORY}/{CARD}/reset_method"), methods);
            let plan = plan_reset(&tree.sysfs(), &addresses(&[CARD]), &addresses(&[CARD]));
            let actions = |plan: Plan| plan.steps.into_iter().map(|step| step.action).collect::<Vec<_>>();
            plan.map(actions).map_err(|error| error.to_string())
        };
        let reset = |hits_bus| Ok(vec![Action::Reset { address: CARD.parse().unwrap(), hits_bus }]);
        add(CARD);
        assert_eq!(planned("flr bus\n"), reset(true));
        assert_eq!(planned("bus\n"), reset(true));
        assert_eq!(planned("flr\n"), reset(false));
        add("0000:01:00.1");
        assert_eq!(planned("flr bus\n"), reset(true), "another one on the bus, which flr does not touch");
        assert!(planned("bus\n").unwrap_err().contains("resets its bus only where nothing else is on it"));
        tree.write(&format!("{PORT_DIRECTORY}/reset_subordinate"), "");
        assert!(planned("bus\n").unwrap_err().contains("would reset 0000:01:00.1, too"));
    }
}
