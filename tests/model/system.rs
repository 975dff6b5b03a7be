//! Operators, locks and the kernel as one transition system for the checker.
//!
//! Why stateright: what is to be shown is about every reachable state of a protocol between processes, kills included,
//! with a kernel that is no Rust code. loom and shuttle run real threads under their own std::sync, so they could show
//! neither flock nor the kernel, could not stop an operator anywhere, and loom's executions of three operators with
//! some thirty steps each do not end while shuttle draws at random. A state that was seen is not visited again here.
//!
//! An operator reads, takes its claims one by one through their gates, reads again, and starts over if the plan is not
//! the same; then it makes its writes, one by one or two side by side as its plan allows, and lets go. A kill lets go of
//! everything at once, unless a write is in the kernel's hands: that goes on, and so do the locks, until it is done.
//!
//! Nobody goes round in circles: an operator that is inside never goes back, starting over takes another plan, plans are
//! a function of what is read, and that changes only when somebody inside goes on (or at the one link flap). So "always
//! somebody can go on" says that everybody gets there.

use pcictl::lock::claims::Mode;
use pcictl::plan::action::Action;
use stateright::{Model, Property};

use crate::board::{Board, Config};
use crate::hazards::{BETWEEN, D7, hazard};
use crate::jobs::{Job, Mutant};
use crate::kernel::{Kind, Next, Write};
use crate::plans::{PlanId, PlannedStep, Plans};
use crate::work::{HANDS, Hand, Work};

/// How many operators there are.
pub const OPERATORS: usize = 3;

/// How far an operator has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Begins,
    /// Has so many of the plan's claims, and may be in the gate of the next.
    Locks {
        plan: PlanId,
        held: u8,
        in_gate: bool,
        again: bool,
    },
    /// Has them all and the tree is as planned.
    Works(Work),
    /// Was killed, or had a step fail, in the middle of other writes, which go on; no step begins any more.
    Dying(Work),
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operator {
    pub job: u8,
    pub phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub config: Config,
    pub operators: [Operator; OPERATORS],
    pub flapped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An operator goes on, with a step if it is at work.
    Goes(u8, u8),
    /// The same, and the kernel deals out other bus numbers to what comes back.
    GoesRenumbered(u8, u8),
    Killed(u8),
    /// The link below the root port goes down and up: all below it is new, with other bus numbers. Nobody's doing.
    Flap,
}

pub struct System {
    pub board: Board,
    pub jobs: Vec<Job>,
    pub mutant: Mutant,
    pub plans: Plans,
    pub starts: Vec<Config>,
    pub may_flap: bool,
    /// How many steps an operator has under way at a time. More than one costs many states, and shows only what steps of
    /// one operation do to each other.
    at_a_time: u8,
}

impl System {
    pub fn new(board: Board, jobs: Vec<Job>, starts: Vec<Config>, may_flap: bool, mutant: Mutant) -> Self {
        let plans = Plans::new(&board, &jobs, mutant);
        Self { board, jobs, mutant, plans, starts, may_flap, at_a_time: 1 }
    }

    /// Each operator has two steps under way, in any order that its plan allows.
    pub fn side_by_side(self) -> Self {
        Self { at_a_time: 2, ..self }
    }

    fn mode_held(&self, operator: &Operator, node: u8) -> Option<Mode> {
        let (plan, held) = match operator.phase {
            Phase::Locks { plan, held, .. } => (plan, usize::from(held)),
            Phase::Works(work) if !self.is_between_holds(&work) => (work.plan, usize::MAX),
            Phase::Dying(work) if self.mutant != Mutant::WriterDoesNotInherit => (work.plan, usize::MAX),
            _ => return None,
        };
        let claims = &self.plans.get(plan).claims;
        claims.iter().take(held).find(|(claimed, _)| *claimed == node).map(|(_, mode)| *mode)
    }

    /// Whether an operator has let go of its locks for the moment.
    fn is_between_holds(&self, work: &Work) -> bool {
        self.mutant == Mutant::HoldForEachStep && work.done != 0 && work.in_hand() == 0
    }

    /// Whether nobody else holds what excludes this.
    fn is_free(&self, state: &State, own: usize, node: u8, mode: Mode) -> bool {
        let excludes = |held: Mode| held == Mode::Exclusive || mode == Mode::Exclusive;
        !self.others(state, own).any(|other| self.mode_held(other, node).is_some_and(excludes))
    }

    fn others<'a>(&self, state: &'a State, own: usize) -> impl Iterator<Item = &'a Operator> + use<'a> {
        state.operators.iter().enumerate().filter(move |(index, _)| *index != own).map(|(_, operator)| operator)
    }

    /// The next of an operator's claims, if it still wants one.
    fn wanted(&self, operator: &Operator) -> Option<(u8, Mode)> {
        let Phase::Locks { plan, held, .. } = operator.phase else { return None };
        self.plans.get(plan).claims.get(usize::from(held)).copied()
    }

    /// The writes that the kernel has in hand for an operator.
    fn writes_of(&self, operator: &Operator) -> [Option<Write>; HANDS] {
        let (Phase::Works(work) | Phase::Dying(work)) = operator.phase else { return [None; HANDS] };
        let steps = &self.plans.get(work.plan).steps;
        work.hands.map(|hand| hand.map(|hand| Write::new(&steps[usize::from(hand.step)].action, hand.slot, hand.stage)))
    }

    pub fn writes(&self, state: &State) -> [Option<Write>; OPERATORS * HANDS] {
        let mut writes = [None; OPERATORS * HANDS];
        for (operator, of_it) in state.operators.iter().zip(writes.chunks_exact_mut(HANDS)) {
            of_it.copy_from_slice(&self.writes_of(operator));
        }
        writes
    }

    /// What comes of an operator going on; none if it has to wait or is done.
    fn goes(&self, state: &State, index: usize, step: u8) -> Option<State> {
        let operator = state.operators[index];
        let to = |phase: Phase| {
            let mut next = *state;
            next.operators[index].phase = phase;
            Some(next)
        };
        match operator.phase {
            Phase::Begins => to(self.planned(operator.job, state.config, false)),
            Phase::Locks { plan, held, in_gate, again } => {
                let Some((node, mode)) = self.wanted(&operator) else {
                    return to(self.looks_again(&operator, plan, state.config));
                };
                let somebody_in_gate = self.others(state, index).any(|other| {
                    matches!(other.phase, Phase::Locks { in_gate: true, .. })
                        && self.wanted(other).is_some_and(|w| w.0 == node)
                });
                match (in_gate, self.is_free(state, index, node, mode)) {
                    (false, _) if somebody_in_gate => None,
                    (_, true) => to(Phase::Locks { plan, held: held + 1, in_gate: false, again }),
                    (false, false) => to(Phase::Locks { plan, held, in_gate: true, again }),
                    (true, false) => None,
                }
            }
            Phase::Works(work) => self.works(state, index, work, step),
            Phase::Dying(work) => self.works(state, index, work, step).map(|mut next| {
                if let Phase::Works(work) = next.operators[index].phase {
                    next.operators[index].phase = no_more(work);
                }
                next
            }),
            Phase::Ended => None,
        }
    }

    fn planned(&self, job: u8, config: Config, again: bool) -> Phase {
        match self.plans.read(usize::from(job), config) {
            Some(plan) => Phase::Locks { plan, held: 0, in_gate: false, again },
            None => Phase::Ended,
        }
    }

    fn looks_again(&self, operator: &Operator, plan: PlanId, config: Config) -> Phase {
        let same = self.plans.read(usize::from(operator.job), config) == Some(plan);
        if same || self.mutant == Mutant::NoSecondRead {
            return Phase::Works(Work::new(plan));
        }
        self.planned(operator.job, config, true)
    }

    /// The steps that a phase can go on with, a bit a step; the first for what is no step.
    fn choices(&self, phase: Phase) -> u16 {
        let (Phase::Works(work) | Phase::Dying(work)) = phase else { return 1 };
        let in_hand = work.in_hand();
        let is_full = in_hand.count_ones() >= u32::from(self.at_a_time);
        let begins = if is_full || matches!(phase, Phase::Dying(_)) { 0 } else { self.ready(&work) };
        match in_hand | begins {
            0 if self.is_done(&work) => 1,
            choices => choices,
        }
    }

    fn is_done(&self, work: &Work) -> bool {
        work.done.count_ones() as usize == self.plans.get(work.plan).steps.len()
    }

    /// The steps that may begin: one by one in the plan's order, or side by side as what they wait for allows.
    fn ready(&self, work: &Work) -> u16 {
        let steps = &self.plans.get(work.plan).steps;
        let waits_for_none = |step: &PlannedStep| step.after & !work.done == 0;
        let free =
            (0..).zip(steps).filter(|(_, step)| waits_for_none(step)).fold(0, |bits, (index, _)| bits | 1 << index);
        let ready: u16 = free & !work.done & !work.in_hand();
        if self.at_a_time == 1 { ready & ready.wrapping_neg() } else { ready }
    }

    fn works(&self, state: &State, index: usize, work: Work, step: u8) -> Option<State> {
        let mut next = *state;
        let phase = &mut next.operators[index].phase;
        if self.is_done(&work) {
            *phase = Phase::Ended;
            return Some(next);
        }
        let plan = self.plans.get(work.plan);
        if self.is_between_holds(&work) && !plan.claims.iter().all(|claim| self.is_free(state, index, claim.0, claim.1))
        {
            return None;
        }
        let action = &plan.steps[usize::from(step)].action;
        let begun = work.hands.iter().position(|hand| hand.is_some_and(|hand| hand.step == step));
        let (slot, stage) = match begun.and_then(|hand| work.hands[hand]) {
            Some(hand) => (hand.slot, hand.stage),
            None => match Write::opens(&self.board, state.config, action) {
                Some(slot) => (slot, 0),
                None => {
                    *phase = does_not_open(work, step, action);
                    return Some(next);
                }
            },
        };
        let write = Write::new(action, slot, stage);
        let mut others = self.writes(state);
        if let Some(hand) = begun {
            others[index * HANDS + hand] = None;
        }
        match write.next(&self.board, state.config, &others) {
            Next::Waits => return None,
            Next::Stage(stage, config) => {
                *phase = Phase::Works(work.with(Hand { step, stage, slot }));
                next.config = config;
            }
            Next::Done(config) => {
                *phase = Phase::Works(work.finished(step));
                next.config = config;
            }
        }
        Some(next)
    }

    fn is_killed(&self, state: &State, index: usize) -> Option<State> {
        let mut next = *state;
        let operator = &mut next.operators[index];
        operator.phase = match operator.phase {
            Phase::Works(work) => no_more(work),
            Phase::Locks { .. } => Phase::Ended,
            // Killed before it has begun, it might as well not be there; killed twice is killed.
            Phase::Begins | Phase::Dying(_) | Phase::Ended => return None,
        };
        Some(next)
    }

    fn flaps(&self, state: &State) -> Option<State> {
        let below = self.board.subtree(self.board.renumbered_below);
        let quiet = self.writes(state).iter().all(Option::is_none);
        (quiet && state.config.present & 1 != 0).then(|| {
            let come = below & !self.board.virtual_functions();
            let (present, bound) = (state.config.present & !below | come, state.config.bound & !below | come);
            State { config: Config { present, bound, renumbered: !state.config.renumbered }, flapped: true, ..*state }
        })
    }

    /// All slots that an operator works on; a bit a slot.
    fn affected(&self, state: &State, operator: &Operator) -> u8 {
        let (Phase::Works(work) | Phase::Dying(work)) = operator.phase else { return 0 };
        let affected = self.plans.get(work.plan).affected;
        self.writes_of(operator).into_iter().flatten().fold(affected, |all, write| all | self.reaches(state, write))
    }

    /// What a write works on besides what it is about.
    fn reaches(&self, state: &State, write: Write) -> u8 {
        match write.kind {
            // The kernel makes room for an empty bus on the bus above it.
            Kind::Rescan(bridge) if self.board.is_empty(state.config, bridge) && !self.board.is_domain(bridge) => {
                self.board.above(bridge).map_or(0, |above| self.board.subtree(above))
            }
            Kind::Bind(port) if write.thread().is_some() || self.board.will_switch_on(state.config, port) => {
                self.board.subtree_of(self.board.above(port))
            }
            // It stops those that depend on a driver together with that.
            Kind::Unbind(slot) => self.board.subtrees(self.board.consumers(state.config, 1 << slot)),
            _ => 0,
        }
    }

    /// Two subtrees overlap if, and only if, they have a slot in common.
    fn is_exclusive(&self, state: &State) -> bool {
        let [a, b, c] = state.operators.each_ref().map(|operator| self.affected(state, operator));
        a & b == 0 && a & c == 0 && b & c == 0
    }

    /// What is wrong in a state, by KERNEL.md's names.
    pub fn hazard(&self, state: &State) -> Option<&'static str> {
        let of_writes = hazard(&self.board, state.config, &self.writes(state));
        of_writes.or_else(|| self.others_driver(state))
    }

    /// A driver that another operator bound where one had stopped it, or would have its own. (After a link flap it may be
    /// nobody's doing, and only a last look helps.)
    fn others_driver(&self, state: &State) -> Option<&'static str> {
        state.operators.iter().enumerate().find_map(|(index, operator)| {
            let (Phase::Works(work) | Phase::Dying(work)) = operator.phase else { return None };
            let plan = self.plans.get(work.plan);
            let removed = self.writes_of(operator).into_iter().flatten().fold(0, |all, w| all | w.removes(&self.board));
            if !state.flapped && removed & plan.stops & state.config.bound != 0 {
                return Some(D7);
            }
            let probed = plan.between_override_and_probe(work.done)?;
            let mut others = self.others(state, index).flat_map(|other| self.writes_of(other)).flatten();
            let is_alive = matches!(operator.phase, Phase::Works(_));
            (is_alive && others.any(|other| other.kind == Kind::Bind(probed))).then_some(BETWEEN)
        })
    }

    /// Whether nobody can go on although somebody is not done.
    fn is_stuck(&self, state: &State) -> bool {
        let open = state.operators.iter().any(|operator| operator.phase != Phase::Ended);
        let can_go = |index: usize| {
            bits(self.choices(state.operators[index].phase)).any(|step| self.goes(state, index, step).is_some())
        };
        open && !(0..OPERATORS).any(can_go)
    }
}

/// The numbers of the bits that are set.
fn bits(set: u16) -> impl Iterator<Item = u8> {
    (0..16).filter(move |bit| set & 1 << bit != 0)
}

/// What the kernel has in hand goes on, and nothing else.
fn no_more(work: Work) -> Phase {
    if work.in_hand() == 0 { Phase::Ended } else { Phase::Dying(work) }
}

/// A stopped driver and a function that is gone are as good as done; anything else ends the operation.
fn does_not_open(work: Work, step: u8, action: &Action) -> Phase {
    match action {
        Action::Unbind { .. } | Action::Remove { .. } => Phase::Works(work.finished(step)),
        _ => no_more(work),
    }
}

pub const NO_DEADLOCK: &str = "there is always somebody who can go on";
pub const EXCLUSION: &str = "nobody works in a subtree that another works in";
pub const NO_HAZARD: &str = "no hazard of the kernel is ever under way";

impl Model for System {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let jobs = u8::try_from(self.jobs.len()).expect("few jobs");
        let operator = |job: u8| Operator { job, phase: Phase::Begins };
        let mut states = Vec::new();
        for config in &self.starts {
            // Operators are alike, so only what they do counts, not who does it.
            for one in 0..jobs {
                for two in one..jobs {
                    for three in two..jobs {
                        let operators = [one, two, three].map(operator);
                        states.push(State { config: *config, operators, flapped: false });
                    }
                }
            }
        }
        states
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        for (index, operator) in (0..).zip(&state.operators) {
            if operator.phase == Phase::Ended {
                continue;
            }
            for step in bits(self.choices(operator.phase)) {
                events.push(Event::Goes(index, step));
                if matches!(operator.phase, Phase::Works(_) | Phase::Dying(_)) {
                    events.push(Event::GoesRenumbered(index, step));
                }
            }
            events.push(Event::Killed(index));
        }
        if self.may_flap && !state.flapped {
            events.push(Event::Flap);
        }
    }

    fn next_state(&self, state: &State, event: Event) -> Option<State> {
        match event {
            Event::Goes(index, step) => self.goes(state, usize::from(index), step),
            Event::GoesRenumbered(index, step) => {
                let mut next = self.goes(state, usize::from(index), step)?;
                let top = self.board.renumbered_below;
                (next.config.has(top) && !state.config.has(top)).then(|| {
                    next.config.renumbered = !next.config.renumbered;
                    next
                })
            }
            Event::Killed(index) => self.is_killed(state, usize::from(index)),
            Event::Flap => self.flaps(state),
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(NO_DEADLOCK, |model: &Self, state: &State| !model.is_stuck(state)),
            Property::always(EXCLUSION, |model: &Self, state: &State| model.is_exclusive(state)),
            Property::always(NO_HAZARD, |model: &Self, state: &State| model.hazard(state).is_none()),
            Property::sometimes("everybody waits for somebody in a gate", |_: &Self, state: &State| {
                state.operators.iter().filter(|o| matches!(o.phase, Phase::Locks { in_gate: true, .. })).count() == 2
            }),
            Property::sometimes("somebody starts over", |_: &Self, state: &State| {
                state.operators.iter().any(|o| matches!(o.phase, Phase::Locks { again: true, .. }))
            }),
            Property::sometimes("somebody dies in the middle of a removal", |model: &Self, state: &State| {
                state.operators.iter().any(|o| {
                    let writes = model.writes_of(o);
                    let removes = writes.iter().flatten().any(|write| matches!(write.kind, Kind::Remove(_)));
                    matches!(o.phase, Phase::Dying(_)) && removes
                })
            }),
            Property::sometimes("two work at a time", |_: &Self, state: &State| {
                state.operators.iter().filter(|o| matches!(o.phase, Phase::Works(_))).count() == 2
            }),
        ];
        if self.at_a_time > 1 {
            properties.push(Property::sometimes(
                "two steps of one operation are under way",
                |_: &Self, state: &State| {
                    let is_full = |work: &Work| work.hands.iter().all(Option::is_some);
                    state.operators.iter().any(|o| matches!(&o.phase, Phase::Works(work) if is_full(work)))
                },
            ));
        }
        properties
    }
}
