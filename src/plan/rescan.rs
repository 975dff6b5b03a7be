//! The plan of a rescan: the smallest bus that can bring a device back.

use crate::order;
use crate::plan::action::{Action, Plan};
use crate::plan::claims_for::{Touched, claims_for};
use crate::resolve::scan_target::ScanTarget;

/// Plans one write a bus; a bus below another of the list is scanned with that one and dropped.
pub fn plan_rescan(mut targets: Vec<ScanTarget>) -> (Plan, Vec<ScanTarget>) {
    order::sort_by(&mut targets, |a, b| a.place.cmp(&b.place));
    let mut kept: Vec<ScanTarget> = Vec::new();
    for target in targets {
        if !kept.last().is_some_and(|above| target.place.is_at_or_below(&above.place)) {
            kept.push(target);
        }
    }
    let mut plan =
        Plan { steps: Vec::new(), claims: claims_for(&kept.iter().map(Touched::by_scan).collect::<Vec<_>>()) };
    for target in &kept {
        match target.bus {
            Some(bus) => plan.push(Action::Rescan { bus }, &format!("{}/pci_bus/{bus}", target.bridge), Vec::new()),
            None => plan.push(Action::RescanAll, "", Vec::new()),
        };
    }
    (plan, kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pci::place::Place;
    use crate::resolve::scan_target::ScanTarget;

    fn target(chain: &str, bus: &str, empty: bool) -> ScanTarget {
        let bridge = if chain.contains('/') { "devices/pci0000:00/0000:00:03.0" } else { "devices/pci0000:00" };
        let (bus, place) = (bus.parse().ok(), Place::from_chain(chain).unwrap());
        ScanTarget { bus, bridge: bridge.to_owned(), place, empty, why: String::new() }
    }

    #[test]
    fn an_empty_bus_takes_the_bus_above_it() {
        assert_eq!(
            Touched::by_scan(&target("pci0000:00/03.0/00.0", "0000:02", true)).exclusive().chain(),
            "pci0000:00/03.0"
        );
        assert_eq!(
            Touched::by_scan(&target("pci0000:00/03.0/00.0", "0000:02", false)).exclusive().chain(),
            "pci0000:00/03.0/00.0"
        );
        assert_eq!(Touched::by_scan(&target("pci0000:00", "0000:00", true)).exclusive().chain(), "pci0000:00");
    }

    #[test]
    fn a_bus_below_another_is_scanned_once() {
        let (plan, kept) =
            plan_rescan(vec![target("pci0000:00/03.0", "0000:01", false), target("pci0000:00", "0000:00", false)]);
        assert_eq!(kept.len(), 1);
        assert_eq!(plan.steps[0].file, "devices/pci0000:00/pci_bus/0000:00/rescan");
    }
}
