//! Plans for slots: to take away what is in one along with its power, to give it power, to have its indicator blink.

use crate::error::Result;
use crate::pci::address::PciAddress;
use crate::pci::place::Place;
use crate::plan::action::{Action, Attention, Plan};
use crate::plan::claims_for::{Touched, claims_for, claims_for_indicator};
use crate::plan::remove::{Removal, plan_stop};
use crate::topology::model::{FunctionId, Topology};

/// A slot as plans name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlotPort {
    /// The slot's name.
    pub(crate) slot: String,
    /// The port that leads to it; none on a root bus.
    pub(crate) port: Option<PciAddress>,
    /// The node of the port, or of the host bridge.
    pub(crate) place: Place,
}

impl SlotPort {
    fn power(&self, on: bool, functions: Vec<PciAddress>) -> Action {
        Action::SlotPower { slot: self.slot.clone(), on, port: self.port, functions }
    }
}

/// Plans a removal whose second phase is the power of the slot: the kernel then removes all that is in it, with its one mutex
/// held as for `remove`, and so the drivers are stopped before. `targets` are the functions in the slot.
///
/// # Errors
/// As for [`plan_removal`](crate::plan::remove::plan_removal).
pub(crate) fn plan_off(topology: &Topology, targets: &[FunctionId], slot: &SlotPort) -> Result<Removal> {
    let mut removal = plan_stop(topology, targets)?;
    removal.remove.push(slot.power(false, removal.tops.clone()), "", Vec::new());
    Ok(removal.claimed(topology, vec![Touched::Slot { port: slot.place.clone(), on: false }]))
}

/// Plans to give a slot power, upon which the kernel looks for what is in it.
pub(crate) fn plan_on(slot: &SlotPort) -> Plan {
    let mut plan = Plan::default();
    plan.push_last(slot.power(true, Vec::new()), "");
    plan.claims = claims_for(&[Touched::Slot { port: slot.place.clone(), on: true }]);
    plan
}

/// What shows where a slot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Indicator {
    /// The slot's own attention indicator, and what it shows.
    Attention(Attention),
    /// A function's locate light (Native PCIe Enclosure Management): its file, and what that says.
    Locate {
        /// The function that has it.
        address: PciAddress,
        /// Below the directory of the function.
        file: String,
        /// What it says.
        was: String,
    },
}

impl Indicator {
    /// Whether somebody has it show where the slot is.
    pub(crate) fn is_on(&self) -> bool {
        match self {
            Self::Attention(was) => *was == Attention::Blinking,
            Self::Locate { was, .. } => was != "0",
        }
    }

    fn set(&self, slot: &SlotPort, on: bool) -> Action {
        match self {
            Self::Attention(was) => {
                let value = if on { Attention::Blinking } else { Attention::Off };
                Action::SlotAttention { slot: slot.slot.clone(), port: slot.port, value, was: *was }
            }
            Self::Locate { address, file, was } => Action::Set {
                address: *address,
                file: file.clone(),
                value: if on { "1" } else { "0" }.to_owned(),
                was: was.clone(),
            },
        }
    }
}

/// Plans to have an indicator show the slot, or show nothing; and, where it is `for_a_while`, what it showed before. As long as
/// that second step is not done, the whole is half done, and `pcictl recover` puts back what it showed.
pub(crate) fn plan_identify(slot: &SlotPort, indicator: &Indicator, on: bool, for_a_while: bool) -> Plan {
    let mut plan = Plan { claims: claims_for_indicator(slot.place.clone()), ..Plan::default() };
    // An attention indicator that is lit is not off, though it does not blink either.
    let is_so = match indicator {
        Indicator::Attention(was) if !on => *was == Attention::Off,
        indicator => indicator.is_on() == on,
    };
    if is_so {
        return plan;
    }
    let set = indicator.set(slot, on);
    let back = set.undo();
    let directory = set.address().map(PciAddress::sysfs_link).unwrap_or_default();
    plan.push_last(set, &directory);
    if for_a_while {
        back.into_iter().for_each(|action| plan.push_last(action, &directory));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::model::Parent;

    /// Below a port with slot 7: a card of two functions.
    fn card() -> (Topology, Vec<FunctionId>, SlotPort) {
        let mut topology = Topology::default();
        let host = topology.add_host_bridge("pci0000:00", "devices/pci0000:00", None);
        let address = "0000:00:03.0".parse().unwrap();
        let port = topology.add_function(Parent::HostBridge(host), address, None, Some("pcieport".into()));
        let mut add = |address: &str, driver: &str| {
            topology.add_function(Parent::Function(port), address.parse().unwrap(), None, Some(driver.into()))
        };
        let ids = vec![add("0000:01:00.0", "nvidia"), add("0000:01:00.1", "snd_hda_intel")];
        let place = topology.place(port);
        (topology, ids, SlotPort { slot: "7".to_owned(), port: Some(address), place })
    }

    fn writes(plan: &Plan) -> Vec<String> {
        plan.steps.iter().map(|step| format!("{} > {}", step.value.trim(), step.file)).collect()
    }

    fn held(claims: &crate::lock::claims::Claims) -> Vec<&str> {
        claims.tops().iter().map(Place::chain).collect()
    }

    #[test]
    fn what_is_in_a_slot_is_stopped_before_its_power_goes() {
        let (topology, ids, slot) = card();
        let removal = plan_off(&topology, &ids, &slot).unwrap();
        assert_eq!(
            writes(&removal.stop),
            ["0000:01:00.1 > bus/pci/drivers/snd_hda_intel/unbind", "0000:01:00.0 > bus/pci/drivers/nvidia/unbind"]
        );
        assert_eq!(writes(&removal.remove), ["0 > bus/pci/slots/7/power"]);
        assert_eq!(removal.all_steps()[2].action.removes(), removal.tops);
        assert_eq!(removal.all_steps()[2].after, [0, 1]);
        assert_eq!(held(removal.claims()), ["pci0000:00/03.0"]);
    }

    #[test]
    fn an_empty_slot_takes_its_port_all_the_same() {
        let (topology, _, slot) = card();
        let removal = plan_off(&topology, &[], &slot).unwrap();
        assert_eq!((removal.stop.steps.len(), writes(&removal.remove).len()), (0, 1));
        assert_eq!(held(removal.claims()), ["pci0000:00/03.0"]);
    }

    #[test]
    fn what_comes_takes_the_bus_above() {
        let (.., slot) = card();
        let plan = plan_on(&slot);
        assert_eq!((writes(&plan), held(&plan.claims)), (vec!["1 > bus/pci/slots/7/power".into()], vec!["pci0000:00"]));
    }

    #[test]
    fn an_indicator_is_set_and_put_back_under_shared_locks() {
        let (.., slot) = card();
        let lit = Indicator::Attention(Attention::On);
        let file = "bus/pci/slots/7/attention";
        let plan = plan_identify(&slot, &lit, true, true);
        assert_eq!(writes(&plan), [format!("2 > {file}"), format!("1 > {file}")]);
        assert!(plan.claims.in_order().iter().all(|claim| claim.mode == crate::lock::claims::Mode::Shared));
        assert_eq!(writes(&plan_identify(&slot, &lit, true, false)), [format!("2 > {file}")]);
        assert_eq!(writes(&plan_identify(&slot, &lit, false, false)), [format!("0 > {file}")]);
        assert!(plan_identify(&slot, &Indicator::Attention(Attention::Blinking), true, true).steps.is_empty());
        let file = "leds/0000:01:00.0:enclosure:locate/brightness".to_owned();
        let light = Indicator::Locate { address: "0000:01:00.0".parse().unwrap(), file, was: "0".to_owned() };
        let path = "bus/pci/devices/0000:01:00.0/leds/0000:01:00.0:enclosure:locate/brightness";
        assert_eq!(writes(&plan_identify(&slot, &light, true, true)), [format!("1 > {path}"), format!("0 > {path}")]);
        assert!(plan_identify(&slot, &light, false, false).steps.is_empty());
    }
}
