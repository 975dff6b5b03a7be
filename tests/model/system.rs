//! Operators, locks and the kernel as one transition system for the checker.
//!
//! Why stateright: what is to be shown is about every reachable state of a protocol between processes, kills included,
//! with a kernel that is no Rust code. loom and shuttle run real threads under their own std::sync, so they could show
//! neither flock nor the kernel, could not stop an operator anywhere, and loom's executions of three operators with
//! some thirty steps each do not end while shuttle draws at random. A state that was seen is not visited again here.
//!
//! An operator reads, takes its claims one by one through their gates, reads again, and starts over if the plan is not
//! the same; then it makes its writes and lets go. A kill lets go of everything at once, unless a write is in the
//! kernel's hands: that goes on, and so do the locks, until it is done.
//!
//! Nobody goes round in circles: an operator that is inside never goes back, starting over takes another plan, plans are
//! a function of what is read, and that changes only when somebody inside goes on (or at the one link flap). So "always
//! somebody can go on" says that everybody gets there.

use pcictl::lock::claims::Mode;
use pcictl::plan::action::Action;
use stateright::{Model, Property};

use crate::board::{Board, Config, Slot};
use crate::jobs::{Job, Mutant, PlanId, Plans};
use crate::kernel::{Kind, NOWHERE, Next, Write, hazard};

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
    Works {
        plan: PlanId,
        step: u8,
        stage: u8,
    },
    /// Was killed in the middle of a write, which goes on.
    Dying {
        plan: PlanId,
        step: u8,
        stage: u8,
    },
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operator {
    pub job: u8,
    pub phase: Phase,
    /// What the write in hand is about: fixed when it begins, for the kernel then has the device and not its name.
    pub slot: Slot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub config: Config,
    pub operators: [Operator; OPERATORS],
    pub flapped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Goes(u8),
    /// The same, and the kernel deals out other bus numbers to what comes back.
    GoesRenumbered(u8),
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
}

impl System {
    pub fn new(board: Board, jobs: Vec<Job>, starts: Vec<Config>, may_flap: bool, mutant: Mutant) -> Self {
        let plans = Plans::new(&board, &jobs, mutant);
        Self { board, jobs, mutant, plans, starts, may_flap }
    }

    fn mode_held(&self, operator: &Operator, node: u8) -> Option<Mode> {
        let (plan, held) = match operator.phase {
            Phase::Locks { plan, held, .. } => (plan, usize::from(held)),
            Phase::Works { plan, .. } => (plan, usize::MAX),
            Phase::Dying { plan, .. } if self.mutant != Mutant::WriterDoesNotInherit => (plan, usize::MAX),
            _ => return None,
        };
        let claims = &self.plans.get(plan).claims;
        claims.iter().take(held).find(|(claimed, _)| *claimed == node).map(|(_, mode)| *mode)
    }

    fn others<'a>(&self, state: &'a State, own: usize) -> impl Iterator<Item = &'a Operator> + use<'a> {
        state.operators.iter().enumerate().filter(move |(index, _)| *index != own).map(|(_, operator)| operator)
    }

    /// The next of an operator's claims, if it still wants one.
    fn wanted(&self, operator: &Operator) -> Option<(u8, Mode)> {
        let Phase::Locks { plan, held, .. } = operator.phase else { return None };
        self.plans.get(plan).claims.get(usize::from(held)).copied()
    }

    /// The write that the kernel has in hand for an operator.
    fn write(&self, operator: &Operator) -> Option<Write> {
        let (Phase::Works { plan, step, stage } | Phase::Dying { plan, step, stage }) = operator.phase else {
            return None;
        };
        let action = self.plans.get(plan).actions.get(usize::from(step)).filter(|_| stage > 0)?;
        Some(Write::new(action, operator.slot, stage))
    }

    pub fn writes(&self, state: &State) -> [Option<Write>; OPERATORS] {
        state.operators.each_ref().map(|operator| self.write(operator))
    }

    /// What comes of an operator going on; none if it has to wait or is done.
    fn goes(&self, state: &State, index: usize) -> Option<State> {
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
                let excludes = |held: Mode| held == Mode::Exclusive || mode == Mode::Exclusive;
                let is_free = !self.others(state, index).any(|other| self.mode_held(other, node).is_some_and(excludes));
                match (in_gate, is_free) {
                    (false, _) if somebody_in_gate => None,
                    (_, true) => to(Phase::Locks { plan, held: held + 1, in_gate: false, again }),
                    (false, false) => to(Phase::Locks { plan, held, in_gate: true, again }),
                    (true, false) => None,
                }
            }
            Phase::Works { plan, step, stage } => self.works(state, index, plan, step, stage),
            Phase::Dying { plan, step, stage } => self.works(state, index, plan, step, stage).map(|mut next| {
                next.operators[index].phase = match next.operators[index].phase {
                    Phase::Works { plan, step: same, stage } if same == step && stage > 0 => {
                        Phase::Dying { plan, step, stage }
                    }
                    _ => Phase::Ended,
                };
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
            return Phase::Works { plan, step: 0, stage: 0 };
        }
        self.planned(operator.job, config, true)
    }

    fn works(&self, state: &State, index: usize, plan: PlanId, step: u8, stage: u8) -> Option<State> {
        let mut next = *state;
        let operator = &mut next.operators[index];
        let Some(action) = self.plans.get(plan).actions.get(usize::from(step)) else {
            operator.phase = Phase::Ended;
            return Some(next);
        };
        if stage == 0 {
            match Write::opens(&self.board, state.config, action) {
                Some(slot) => operator.slot = slot,
                // A stopped driver and a function that is gone are as good as done; anything else ends the operation.
                None => {
                    let already = matches!(action, Action::Unbind { .. } | Action::Remove { .. });
                    operator.phase =
                        if already { Phase::Works { plan, step: step + 1, stage: 0 } } else { Phase::Ended };
                    return Some(next);
                }
            }
        }
        let write = Write::new(action, operator.slot, stage);
        let mut others = self.writes(state);
        others[index] = None;
        match write.next(&self.board, state.config, &others) {
            Next::Waits => return None,
            Next::Stage(stage) => {
                operator.phase = Phase::Works { plan, step, stage };
                next.config = Write { stage, ..write }.stops(&self.board, state.config);
            }
            Next::Done(config) => {
                operator.phase = Phase::Works { plan, step: step + 1, stage: 0 };
                operator.slot = NOWHERE;
                next.config = config;
            }
        }
        Some(next)
    }

    fn is_killed(&self, state: &State, index: usize) -> Option<State> {
        let mut next = *state;
        let operator = &mut next.operators[index];
        operator.phase = match operator.phase {
            Phase::Works { plan, step, stage: stage @ 1.. } => Phase::Dying { plan, step, stage },
            Phase::Locks { .. } | Phase::Works { .. } => Phase::Ended,
            // Killed before it has begun, it might as well not be there; killed twice is killed.
            Phase::Begins | Phase::Dying { .. } | Phase::Ended => return None,
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
        let (Phase::Works { plan, .. } | Phase::Dying { plan, .. }) = operator.phase else { return 0 };
        let affected = self.plans.get(plan).affected;
        // The kernel makes room for an empty bus on the bus above it.
        match self.write(operator).map(|write| write.kind) {
            Some(Kind::Rescan(bridge)) if self.board.on_bus(Some(bridge)) & state.config.present == 0 => {
                let above = self.board.slots[usize::from(bridge)].above;
                affected | above.map_or(0, |above| self.board.subtree(above))
            }
            _ => affected,
        }
    }

    /// Two subtrees overlap if, and only if, they have a slot in common.
    fn is_exclusive(&self, state: &State) -> bool {
        let [a, b, c] = state.operators.each_ref().map(|operator| self.affected(state, operator));
        a & b == 0 && a & c == 0 && b & c == 0
    }

    /// Whether nobody can go on although somebody is not done.
    fn is_stuck(&self, state: &State) -> bool {
        let open = state.operators.iter().any(|operator| operator.phase != Phase::Ended);
        open && (0..OPERATORS).all(|index| self.goes(state, index).is_none())
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
        let operator = |job: u8| Operator { job, phase: Phase::Begins, slot: NOWHERE };
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
            match operator.phase {
                Phase::Ended => {}
                Phase::Works { .. } | Phase::Dying { .. } => {
                    events.extend([Event::Goes(index), Event::GoesRenumbered(index), Event::Killed(index)]);
                }
                Phase::Begins | Phase::Locks { .. } => events.extend([Event::Goes(index), Event::Killed(index)]),
            }
        }
        if self.may_flap && !state.flapped {
            events.push(Event::Flap);
        }
    }

    fn next_state(&self, state: &State, event: Event) -> Option<State> {
        match event {
            Event::Goes(index) => self.goes(state, usize::from(index)),
            Event::GoesRenumbered(index) => {
                let mut next = self.goes(state, usize::from(index))?;
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
        vec![
            Property::always(NO_DEADLOCK, |model: &Self, state: &State| !model.is_stuck(state)),
            Property::always(EXCLUSION, |model: &Self, state: &State| model.is_exclusive(state)),
            Property::always(NO_HAZARD, |model: &Self, state: &State| {
                hazard(&model.board, state.config, &model.writes(state)).is_none()
            }),
            Property::sometimes("everybody waits for somebody in a gate", |_: &Self, state: &State| {
                state.operators.iter().filter(|o| matches!(o.phase, Phase::Locks { in_gate: true, .. })).count() == 2
            }),
            Property::sometimes("somebody starts over", |_: &Self, state: &State| {
                state.operators.iter().any(|o| matches!(o.phase, Phase::Locks { again: true, .. }))
            }),
            Property::sometimes("somebody dies in the middle of a removal", |model: &Self, state: &State| {
                state.operators.iter().any(|o| {
                    matches!(o.phase, Phase::Dying { .. })
                        && model.write(o).is_some_and(|write| matches!(write.kind, Kind::Remove(_)))
                })
            }),
            Property::sometimes("two work at a time", |_: &Self, state: &State| {
                state.operators.iter().filter(|o| matches!(o.phase, Phase::Works { .. })).count() == 2
            }),
        ]
    }
}
