//! What a job comes to for one reading of the machine: steps and claims, by the product's own code.

use pcictl::lock::claims::Claims;
use pcictl::pci::place::Place;
use pcictl::plan::action::{Action, Step};
use pcictl::plan::claims_for::{Touched, claims_for};
use pcictl::plan::remove::{Removal, plan_removal};
use pcictl::plan::rescan::plan_rescan;
use pcictl::resolve::scan_target::ScanTarget;
use pcictl::topology::model::FunctionId;

use crate::board::{Board, Config, Read, Slot};
use crate::jobs::{Job, Mutant};
use crate::kernel::slot_name;

/// What one reading came to, in the product's own types: a second reading is compared with it as `hold` does.
#[derive(Debug)]
pub struct Subject {
    pub removal: Option<Removal>,
    pub targets: Vec<ScanTarget>,
    /// One after the other.
    pub phases: Vec<Vec<Step>>,
    pub claims: Claims,
}

/// A machine as one reads it.
pub struct Reading<'a> {
    pub board: &'a Board,
    pub config: Config,
    pub read: Read,
}

impl Subject {
    fn new(phases: Vec<Vec<Step>>, claims: Claims) -> Self {
        Self { removal: None, targets: Vec::new(), phases, claims }
    }

    /// None if there is nothing to do, nothing to do it to, or if the product refuses.
    pub fn of(reading: &Reading, job: &Job, mutant: Mutant) -> Option<Self> {
        let subject = match job {
            Job::Remove(slots) => reading.removal(slots),
            Job::RemoveAndRollBack(slot) => reading.removal(&[*slot]).map(rolled_back),
            Job::Replug(slot) => reading.replug(*slot, Vec::new(), Vec::new()),
            Job::PowerCycle(slot) => reading.power_cycle(*slot),
            Job::Rescan(bridge) => reading.id(*bridge).and_then(|_| reading.scan(*bridge)).map(rescan),
            Job::BringBack(slot) => Some(rescan(reading.scan_for(*slot))),
            Job::RescanAll => Some(rescan(ScanTarget::all())),
            Job::SlotOff(port) => reading.slot_off(*port),
            Job::SlotOn(port) => {
                let is_empty = reading.board.is_empty(reading.config, *port);
                reading.port(*port).filter(|_| is_empty)?;
                reading.slot_on(*port)
            }
            _ => reading.writes(job),
        }?;
        match mutant {
            Mutant::ConsumersIgnored => Some(subject),
            _ => reading.with_consumers(subject, mutant),
        }
    }
}

fn step(action: Action) -> Step {
    Step { action, file: String::new(), value: String::new(), after: Vec::new() }
}

fn rescan(target: ScanTarget) -> Subject {
    let (plan, targets) = plan_rescan(vec![target]);
    Subject { targets, ..Subject::new(vec![plan.steps], plan.claims) }
}

/// What was stopped, and in the other order what puts that back.
fn rolled_back(removal: Subject) -> Subject {
    let mut stop = removal.phases.concat();
    stop.retain(|step| !matches!(step.action, Action::Remove { .. }));
    let undo = stop.iter().rev().flat_map(|done| done.action.undo()).map(|action| vec![step(action)]);
    let undo: Vec<Vec<Step>> = undo.collect();
    Subject { phases: [stop].into_iter().chain(undo).collect(), ..removal }
}

/// Everything that any of these needs, taken at once.
fn together<'a>(claims: impl IntoIterator<Item = &'a Claims>) -> Claims {
    Claims::changing(claims.into_iter().flat_map(Claims::tops).cloned().collect())
}

fn power(port: Slot, on: bool) -> Step {
    step(Action::SlotPower { slot: slot_name(port), on, port: None, functions: Vec::new() })
}

impl Reading<'_> {
    fn id(&self, slot: Slot) -> Option<FunctionId> {
        self.read.ids[usize::from(slot)]
    }

    pub fn place(&self, slot: Slot) -> Option<Place> {
        self.id(slot).map(|id| self.read.topology.place(id))
    }

    /// The place of a port that has its driver, which makes its slot's directory.
    fn port(&self, port: Slot) -> Option<Place> {
        self.place(port).filter(|_| self.config.is_bound(port))
    }

    fn removal(&self, slots: &[Slot]) -> Option<Subject> {
        let ids: Vec<FunctionId> = slots.iter().filter_map(|slot| self.id(*slot)).collect();
        let removal = plan_removal(&self.read.topology, &ids).ok().filter(|removal| !removal.tops.is_empty())?;
        let subject = Subject::new(vec![removal.all_steps()], removal.claims().clone());
        Some(Subject { removal: Some(removal), ..subject })
    }

    /// As `ReplugTarget::read` puts it together.
    fn replug(&self, slot: Slot, between: Vec<Step>, touched: Vec<Touched>) -> Option<Subject> {
        let removal = self.id(slot).and_then(|_| self.removal(&[slot]))?;
        let above = self.board.above(slot);
        let stays = self.board.on_bus(above) & self.config.present & !(1 << slot);
        let back = rescan(self.target(above, stays == 0)?);
        let claims = together([&removal.claims, &back.claims, &claims_for(&touched)]);
        let phases = removal.phases.into_iter().chain([between]).chain(back.phases).collect();
        Some(Subject { removal: removal.removal, targets: back.targets, phases, claims })
    }

    fn power_cycle(&self, slot: Slot) -> Option<Subject> {
        let port = self.board.above(slot)?;
        let touched = Touched::Slot { port: self.port(port)?, on: true };
        let [off, on] = [false, true].map(|on| power(port, on));
        self.replug(slot, vec![off, Step { after: vec![0], ..on }], vec![touched])
    }

    /// The stop phase of a removal of all that is in the slot, and the port, whose thread does the rest.
    fn slot_off(&self, port: Slot) -> Option<Subject> {
        let place = self.port(port)?;
        let there = self.board.on_bus(Some(port)) & self.config.present;
        let slots: Vec<Slot> = self.board.ids().filter(|slot| there & 1 << slot != 0).collect();
        let subject = self.removal(&slots)?;
        let off = claims_for(&[Touched::Slot { port: place, on: false }]);
        let claims = together([&subject.claims, &off]);
        let mut stop = subject.phases.concat();
        // Steps wait for earlier ones only, and the removals come last.
        stop.retain(|step| !matches!(step.action, Action::Remove { .. }));
        Some(Subject { phases: vec![stop, vec![power(port, false)]], claims, ..subject })
    }

    fn slot_on(&self, port: Slot) -> Option<Subject> {
        let claims = claims_for(&[Touched::Slot { port: self.port(port)?, on: true }]);
        Some(Subject::new(vec![vec![power(port, true)]], claims))
    }

    /// One write after the other, with the claims that the product's table has for them; none if their function is not
    /// there, or not as they need it.
    fn writes(&self, job: &Job) -> Option<Subject> {
        let (slot, actions) = self.actions(job)?;
        self.id(slot)?;
        let touched = actions.iter().map(|action| Touched::by_action(&self.read.topology, action));
        let claims = claims_for(&touched.collect::<Option<Vec<_>>>()?);
        Some(Subject::new(actions.into_iter().map(|action| vec![step(action)]).collect(), claims))
    }

    fn actions(&self, job: &Job) -> Option<(Slot, Vec<Action>)> {
        let (board, config) = (self.board, self.config);
        let driver = || "driver".to_owned();
        let (Job::SetVfs(slot, _)
        | Job::RawRemove(slot)
        | Job::Unbind(slot)
        | Job::Bind(slot)
        | Job::OverrideAndProbe(slot)
        | Job::Reset(slot)
        | Job::ResetBelow(slot)) = *job
        else {
            panic!("no single writes: {job:?}")
        };
        let address = board.address(config, slot);
        let is_bound = config.is_bound(slot);
        let actions = match job {
            Job::SetVfs(_, count) => {
                let was = usize::from(config.present & board.virtual_functions_of(slot) != 0);
                (is_bound && was != *count).then_some(())?;
                vec![match *count {
                    0 => Action::set_vfs(address, 0, was, false),
                    count => Action::CreateVfs { address, count, drivers: None },
                }]
            }
            // A port keeps its driver while anything below it has one.
            Job::Unbind(_) => {
                let is_port_at_work = board.is_bridge(slot) && config.bound & board.below(Some(slot)) != 0;
                (is_bound && !is_port_at_work).then_some(())?;
                vec![Action::Unbind { address, driver: driver(), driver_override: None }]
            }
            Job::Bind(_) => {
                (!is_bound).then_some(())?;
                vec![Action::Bind { address, driver: driver() }]
            }
            Job::OverrideAndProbe(_) => {
                (!is_bound).then_some(())?;
                vec![Action::overriding(address, driver()), Action::Probe { address, driver: None }]
            }
            Job::Reset(_) => vec![Action::Reset { address, hits_bus: board.bus_reset & 1 << slot != 0 }],
            Job::ResetBelow(_) => vec![Action::ResetBelow { address }],
            _ => vec![Action::Remove { address }],
        };
        Some((slot, actions))
    }

    fn scan(&self, bridge: Slot) -> Option<ScanTarget> {
        self.target(Some(bridge), self.board.is_empty(self.config, bridge))
    }

    /// The bus that can bring a slot back: that of the nearest bridge above it that is there.
    fn scan_for(&self, slot: Slot) -> ScanTarget {
        let mut above = self.board.above(slot);
        while let Some(bridge) = above.filter(|bridge| !self.config.has(*bridge)) {
            above = self.board.above(bridge);
        }
        let target = match above {
            Some(bridge) => self.scan(bridge),
            None => self.target(None, false),
        };
        target.expect("a bridge that leads to a bus")
    }

    fn target(&self, bridge: Option<Slot>, empty: bool) -> Option<ScanTarget> {
        let (board, config) = (self.board, self.config);
        let place = match bridge {
            None => self.read.topology.host_bridge_place(self.read.host),
            Some(slot) if board.is_domain(slot) => self.read.topology.host_bridge_place(self.read.domain?),
            Some(slot) => self.place(slot)?,
        };
        let bus = bridge.map_or_else(|| "0000:00".parse().ok(), |bridge| Some(board.secondary(config, bridge)));
        Some(ScanTarget { bus, bridge: board.path(config, bridge), place, empty, why: String::new() })
    }

    /// The product refuses to stop a driver on which others elsewhere depend, and holds those that may come to.
    fn with_consumers(&self, subject: Subject, mutant: Mutant) -> Option<Subject> {
        let stopped = subject.phases.iter().flatten().filter(|step| matches!(step.action, Action::Unbind { .. }));
        let slots = stopped.filter_map(|step| self.board.at(self.config, step.action.address()?));
        let slots = slots.fold(0, |bits, slot| bits | 1 << slot);
        if self.board.consumers(self.config, slots) != 0 {
            return None;
        }
        let idle = self.board.all_consumers(slots) & !slots;
        if idle == 0 || mutant == Mutant::IdleConsumersUnlocked {
            return Some(subject);
        }
        let idle = self.board.ids().filter(|slot| idle & 1 << slot != 0).filter_map(|slot| self.place(slot));
        let claims = together([&subject.claims, &claims_for(&idle.map(Touched::Function).collect::<Vec<_>>())]);
        Some(Subject { claims, ..subject })
    }
}
