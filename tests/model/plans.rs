//! All plans of all jobs for all that can be read: planning is a function of these two.

use std::collections::HashMap;

use pcictl::lock::claims::{Claim, Mode};
use pcictl::pci::place::Place;
use pcictl::plan::action::{Action, in_sequence};

use crate::board::{Board, Config, Slot};
use crate::claims::in_order;
use crate::jobs::{Job, Mutant};
use crate::kernel::port_of;
use crate::subject::{Reading, Subject};

/// A job's plan for what was read; the same plan has the same number.
pub type PlanId = u16;

#[derive(Debug)]
pub struct Planned {
    /// Nodes by number, in the order in which they are taken.
    pub claims: Vec<(u8, Mode)>,
    pub steps: Vec<PlannedStep>,
    /// All slots that the job works on, whatever the locks say; a bit a slot.
    pub affected: u8,
    /// Those whose drivers it stops.
    pub stops: u8,
}

#[derive(Debug)]
pub struct PlannedStep {
    pub action: Action,
    /// The steps that must be done before; a bit a step.
    pub after: u16,
}

pub struct Plans {
    pub plans: Vec<Planned>,
    by_config: HashMap<Config, Vec<Option<PlanId>>>,
}

impl Plans {
    pub fn new(board: &Board, jobs: &[Job], mutant: Mutant) -> Self {
        let mut plans = Self { plans: Vec::new(), by_config: HashMap::new() };
        let mut known: HashMap<String, PlanId> = HashMap::new();
        let mut nodes: Vec<Place> = Vec::new();
        for config in board.configs() {
            let reading = Reading { board, config, read: board.topology(config) };
            let of_jobs = jobs.iter().map(|job| {
                let subject = Subject::of(&reading, job, mutant)?;
                let claims = in_order(&reading, &subject, job, mutant);
                // Two readings agree if the product's subjects do; what names are made of is part of the mutant.
                let id = *known.entry(format!("{subject:?} {claims:?}")).or_insert_with(|| {
                    plans.plans.push(planned(board, config, &subject, &claims, mutant, &mut nodes));
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

impl Planned {
    /// The function for which an override is written, while its probe is not done.
    pub fn between_override_and_probe(&self, done: u16) -> Option<Slot> {
        let is_done = |index: usize| done & 1 << index != 0;
        let has = |wanted: fn(&Action) -> bool, is: bool| {
            self.steps.iter().enumerate().any(|(index, step)| wanted(&step.action) && is_done(index) == is)
        };
        let between = has(|action| matches!(action, Action::Override { .. }), true)
            && has(|action| matches!(action, Action::Probe { .. }), false);
        // It is the one slot that such a plan is about.
        between.then(|| Slot::try_from(self.affected.trailing_zeros()).expect("a slot"))
    }
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
    let of_all = |of_one: fn(&Board, Config, &Action) -> u8| {
        steps.iter().fold(0, |all, step| all | of_one(board, config, &step.action))
    };
    Planned { claims, affected: of_all(affected), stops: of_all(stops), steps }
}

/// The steps of a job, each with those that it waits for, or as the mutant has them.
fn steps(subject: &Subject, mutant: Mutant) -> Vec<PlannedStep> {
    let steps = in_sequence(subject.phases.iter().map(Vec::as_slice));
    let sets_vfs = |index: usize| matches!(steps[index].action, Action::SetVfs { .. });
    let is_forgotten =
        |index: usize, before: usize| mutant == Mutant::VfsUnordered && sets_vfs(index) && sets_vfs(before);
    let planned = steps.iter().enumerate().map(|(index, step)| {
        let after = step.after.iter().filter(|before| !is_forgotten(index, **before));
        PlannedStep { action: step.action.clone(), after: after.fold(0, |bits, before| bits | 1 << before) }
    });
    planned.collect()
}

/// The slots that an action works on.
fn affected(board: &Board, config: Config, action: &Action) -> u8 {
    let Some(slot) = slot_of(board, config, action) else {
        return match action {
            Action::Rescan { bus } => board.subtree_of(board.bridge_to(config, *bus).flatten()),
            Action::RescanAll => board.all(),
            _ => 0,
        };
    };
    match action {
        Action::SlotPower { on: true, .. } => board.subtree_of(board.above(slot)),
        Action::Reset { .. } if board.bus_reset & 1 << slot != 0 => board.subtree_of(board.above(slot)),
        _ => board.subtree(slot),
    }
}

/// The slot whose driver an action stops, as a bit.
fn stops(board: &Board, config: Config, action: &Action) -> u8 {
    let is_unbind = matches!(action, Action::Unbind { .. });
    slot_of(board, config, action).filter(|_| is_unbind).map_or(0, |slot| 1 << slot)
}

fn slot_of(board: &Board, config: Config, action: &Action) -> Option<Slot> {
    match action {
        Action::SlotPower { slot, .. } => Some(port_of(slot)),
        _ => board.at(config, action.address()?),
    }
}
