//! What operators do, planned by the product's own code from what they read.

use std::collections::{BTreeMap, HashMap};

use pcictl::lock::claims::{Claim, Claims, Mode};
use pcictl::pci::place::Place;
use pcictl::plan::action::{Action, Plan, Step, in_sequence};
use pcictl::plan::claims_for::{Touched, claims_for};
use pcictl::plan::remove::{Removal, plan_removal};
use pcictl::plan::rescan::plan_rescan;
use pcictl::resolve::scan_target::ScanTarget;
use pcictl::topology::model::FunctionId;

use crate::board::{Board, Config, Kind, Read, Slot};

/// A command as an operator types it; slots stand for selectors that follow the device, like `slot:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// In the order in which they are typed.
    Remove(&'static [Slot]),
    /// Scan the bus below a bridge.
    Rescan(Slot),
    /// Bring back what is plugged into a slot.
    BringBack(Slot),
    RescanAll,
    Replug(Slot),
    /// Switch the virtual functions of a physical one on or off.
    SetVfs(Slot, usize),
    Unbind(Slot),
    /// A script's own write, under `pcictl lock`.
    RawRemove(Slot),
}

/// What to break, to see that the model would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    None,
    NoLocks,
    Unsorted,
    NoSecondRead,
    NamesByAddress,
    /// The process that writes to the kernel does not keep the locks when pcictl is killed.
    WriterDoesNotInherit,
    /// A change of virtual functions takes the physical one, wherever the virtual ones sit.
    VfsLockTheirFunction,
    /// Nothing orders the changes of virtual functions within one operation.
    VfsUnordered,
}

/// A job's plan for what was read; the same plan has the same number.
pub type PlanId = u16;

#[derive(Debug)]
pub struct Planned {
    /// Nodes by number, in the order in which they are taken.
    pub claims: Vec<(u8, Mode)>,
    pub steps: Vec<PlannedStep>,
    /// All slots that the job works on, whatever the locks say; a bit a slot.
    pub affected: u8,
}

#[derive(Debug)]
pub struct PlannedStep {
    pub action: Action,
    /// The steps that must be done before; a bit a step.
    pub after: u16,
}

/// All plans of all jobs for all that can be read: planning is a function of these two.
pub struct Plans {
    pub plans: Vec<Planned>,
    by_config: HashMap<Config, Vec<Option<PlanId>>>,
}

/// What one reading came to, in the product's own types: a second reading is compared with it as `hold` does.
#[derive(Debug)]
struct Subject {
    removal: Option<Removal>,
    other: Option<Plan>,
    targets: Vec<ScanTarget>,
    claims: Claims,
}

impl Plans {
    pub fn new(board: &Board, jobs: &[Job], mutant: Mutant) -> Self {
        let mut plans = Self { plans: Vec::new(), by_config: HashMap::new() };
        let mut known: HashMap<String, PlanId> = HashMap::new();
        let mut nodes: Vec<Place> = Vec::new();
        for config in board.configs() {
            let read = board.topology(config);
            let of_jobs = jobs.iter().map(|job| {
                let subject = subject(board, config, &read, job)?;
                let claims = in_order(board, config, &read, &subject, job, mutant);
                // Two readings agree if the product's subjects do; what names are made of is part of the mutant.
                let id = *known.entry(format!("{subject:?} {claims:?}")).or_insert_with(|| {
                    let planned = planned(board, config, &subject, &claims, mutant, &mut nodes);
                    plans.plans.push(planned);
                    PlanId::try_from(plans.plans.len() - 1).expect("few plans")
                });
                Some(id)
            });
            let of_jobs = of_jobs.collect();
            plans.by_config.insert(config, of_jobs);
        }
        plans
    }

    /// What a job would do now; none if there is nothing to do or nothing is there to do it to.
    pub fn read(&self, job: usize, config: Config) -> Option<PlanId> {
        self.by_config[&config][job]
    }

    pub fn get(&self, id: PlanId) -> &Planned {
        &self.plans[usize::from(id)]
    }
}

fn subject(board: &Board, config: Config, read: &Read, job: &Job) -> Option<Subject> {
    let id = |slot: Slot| read.ids[usize::from(slot)];
    let mut subject = Subject { removal: None, other: None, targets: Vec::new(), claims: Claims::default() };
    match job {
        Job::Remove(slots) => {
            let ids: Vec<FunctionId> = slots.iter().filter_map(|slot| id(*slot)).collect();
            let removal = plan_removal(&read.topology, &ids).ok().filter(|removal| !removal.tops.is_empty())?;
            subject.claims = removal.claims().clone();
            subject.removal = Some(removal);
        }
        Job::Replug(slot) => {
            let removal = plan_removal(&read.topology, &[id(*slot)?]).ok()?;
            let above = board.slots[usize::from(*slot)].above;
            let stays = board.on_bus(above) & config.present & !(1 << slot);
            let (plan, targets) = plan_rescan(vec![target(board, config, read, above, stays == 0)]);
            let both = removal.claims().tops().iter().chain(plan.claims.tops());
            subject.claims = Claims::changing(both.cloned().collect());
            (subject.removal, subject.other, subject.targets) = (Some(removal), Some(plan), targets);
        }
        Job::Rescan(_) | Job::BringBack(_) | Job::RescanAll => {
            let targets = match job {
                Job::RescanAll => vec![ScanTarget::all()],
                Job::Rescan(bridge) => {
                    vec![scan(board, config, read, Some(*bridge).filter(|_| id(*bridge).is_some())?)]
                }
                _ => vec![scan_for(board, config, read, job)],
            };
            let (plan, targets) = plan_rescan(targets);
            subject.claims = plan.claims.clone();
            (subject.other, subject.targets) = (Some(plan), targets);
        }
        Job::SetVfs(slot, count) => {
            let was = usize::from(config.present & board.virtual_functions_of(*slot) != 0);
            let (address, idle_overrides) = (board.address(config, *slot), BTreeMap::new());
            let action = Action::SetVfs { address, count: *count, was, autoprobe: false, idle_overrides };
            id(*slot).filter(|_| config.is_bound(*slot) && was != *count)?;
            single(&mut subject, read, action)?;
        }
        Job::RawRemove(slot) => {
            let action = Action::Remove { address: board.address(config, *slot) };
            single(&mut subject, read, action)?;
        }
        Job::Unbind(slot) => {
            let action = Action::Unbind {
                address: board.address(config, *slot),
                driver: "driver".to_owned(),
                driver_override: None,
            };
            id(*slot).filter(|_| config.is_bound(*slot))?;
            single(&mut subject, read, action)?;
        }
    }
    Some(subject)
}

/// One write, with the claims that the product's table has for it; none if its function is not there.
fn single(subject: &mut Subject, read: &Read, action: Action) -> Option<()> {
    subject.claims = claims_for(&[Touched::by_action(&read.topology, &action)?]);
    let step = Step { action, file: String::new(), value: String::new(), after: Vec::new() };
    subject.other = Some(Plan { steps: vec![step], claims: subject.claims.clone() });
    Some(())
}

fn scan(board: &Board, config: Config, read: &Read, bridge: Slot) -> ScanTarget {
    target(board, config, read, Some(bridge), board.on_bus(Some(bridge)) & config.present == 0)
}

/// The bus that can bring a slot back: that of the nearest bridge above it that is there.
fn scan_for(board: &Board, config: Config, read: &Read, job: &Job) -> ScanTarget {
    let Job::BringBack(slot) = job else { panic!("not that job") };
    let mut above = board.slots[usize::from(*slot)].above;
    while let Some(bridge) = above.filter(|bridge| !config.has(*bridge)) {
        above = board.slots[usize::from(bridge)].above;
    }
    match above {
        Some(bridge) => scan(board, config, read, bridge),
        None => target(board, config, read, None, false),
    }
}

fn target(board: &Board, config: Config, read: &Read, bridge: Option<Slot>, empty: bool) -> ScanTarget {
    let place = match bridge.and_then(|bridge| read.ids[usize::from(bridge)]) {
        Some(id) => read.topology.place(id),
        None => read.topology.host_bridge_place(read.host),
    };
    let bus = bridge.map_or_else(|| "0000:00".parse().ok(), |bridge| Some(board.secondary(config, bridge)));
    ScanTarget { bus, bridge: board.path(config, bridge), place, empty, why: String::new() }
}

/// The claims in the order of the product, or as the mutant has them.
fn in_order(board: &Board, config: Config, read: &Read, subject: &Subject, job: &Job, mutant: Mutant) -> Vec<Claim> {
    match mutant {
        Mutant::NoLocks => Vec::new(),
        Mutant::Unsorted => as_typed(read, subject, job),
        Mutant::VfsLockTheirFunction => functions_only(read, subject, job),
        Mutant::NamesByAddress => {
            let named = subject.claims.tops().iter().map(|top| by_address(board, config, read, top));
            Claims::changing(named.collect()).in_order().to_vec()
        }
        _ => subject.claims.in_order().to_vec(),
    }
}

/// Target after target, each with what is above it.
fn as_typed(read: &Read, subject: &Subject, job: &Job) -> Vec<Claim> {
    let Job::Remove(slots) = job else { return subject.claims.in_order().to_vec() };
    let mut claims: Vec<Claim> = Vec::new();
    for id in slots.iter().filter_map(|slot| read.ids[usize::from(*slot)]) {
        let one = Claims::changing(vec![read.topology.place(id)]);
        claims.extend(one.in_order().iter().filter(|claim| !claims.contains(claim)).cloned().collect::<Vec<_>>());
    }
    claims
}

/// The functions that are named, and not what their virtual ones share with others.
fn functions_only(read: &Read, subject: &Subject, job: &Job) -> Vec<Claim> {
    let slots = match job {
        Job::Remove(slots) => slots,
        Job::SetVfs(slot, _) => std::slice::from_ref(slot),
        _ => return subject.claims.in_order().to_vec(),
    };
    let ids = slots.iter().filter_map(|slot| read.ids[usize::from(*slot)]);
    Claims::changing(ids.map(|id| read.topology.place(id)).collect()).in_order().to_vec()
}

/// The chain of addresses in the place of the chain of plugs, as the directories of sysfs nest.
fn by_address(board: &Board, config: Config, read: &Read, place: &Place) -> Place {
    let is_there = |slot: &Slot| read.ids[usize::from(*slot)].is_some_and(|id| read.topology.place(id) == *place);
    let Some(slot) = board.ids().find(is_there) else { return place.clone() };
    let above = match (board.slots[usize::from(slot)].kind, board.slots[usize::from(slot)].above) {
        (Kind::Virtual(_), Some(physical)) => board.slots[usize::from(physical)].above,
        (_, above) => above,
    };
    let path = board.path(config, above);
    let chain = path.trim_start_matches("devices/");
    Place::from_chain(&format!("{chain}/{}", board.address(config, slot))).expect("a chain")
}

fn planned(
    board: &Board,
    config: Config,
    subject: &Subject,
    claims: &[Claim],
    mutant: Mutant,
    nodes: &mut Vec<Place>,
) -> Planned {
    let mut number = |place: &Place| {
        let known = nodes.iter().position(|node| node == place).unwrap_or_else(|| {
            nodes.push(place.clone());
            nodes.len() - 1
        });
        u8::try_from(known).expect("few nodes")
    };
    let claims = claims.iter().map(|claim| (number(&claim.place), claim.mode)).collect();
    let steps = steps(subject, mutant);
    let affected = steps.iter().map(|step| match &step.action {
        Action::RescanAll => board.all(),
        Action::Rescan { bus } => board.bridge_to(config, *bus).flatten().map_or(board.all(), |top| board.subtree(top)),
        action => action.address().and_then(|address| board.at(config, address)).map_or(0, |top| board.subtree(top)),
    });
    let affected = affected.fold(0, |all, subtree| all | subtree);
    Planned { claims, steps, affected }
}

/// The steps of a job, each with those that it waits for, or as the mutant has them.
fn steps(subject: &Subject, mutant: Mutant) -> Vec<PlannedStep> {
    let removal = subject.removal.as_ref().map(Removal::all_steps).unwrap_or_default();
    let other = subject.other.as_ref().map(|plan| plan.steps.as_slice()).unwrap_or_default();
    let steps = in_sequence([removal.as_slice(), other]);
    let sets_vfs = |index: usize| matches!(steps[index].action, Action::SetVfs { .. });
    let is_forgotten =
        |index: usize, before: usize| mutant == Mutant::VfsUnordered && sets_vfs(index) && sets_vfs(before);
    let planned = steps.iter().enumerate().map(|(index, step)| {
        let after = step.after.iter().filter(|before| !is_forgotten(index, **before));
        PlannedStep { action: step.action.clone(), after: after.fold(0, |bits, before| bits | 1 << before) }
    });
    planned.collect()
}
