//! How far an operator has come with the steps of its plan.

use crate::board::Slot;
use crate::plans::PlanId;

/// How many writes of one operator the kernel may have in hand at a time. The product's threads are more; a pair that
/// must not meet shows with two.
pub const HANDS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Work {
    pub plan: PlanId,
    /// A bit a step.
    pub done: u16,
    /// The writes that the kernel has in hand, sorted, free hands first: hands are alike, so only what they do counts,
    /// not which does it.
    pub hands: [Option<Hand>; HANDS],
}

/// A write that the kernel has in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hand {
    pub step: u8,
    pub stage: u8,
    /// What it is about: fixed when it begins, for the kernel then has the device and not its name.
    pub slot: Slot,
}

impl Work {
    pub fn new(plan: PlanId) -> Self {
        Self { plan, done: 0, hands: [None; HANDS] }
    }

    /// The steps that the kernel has in hand, a bit a step.
    pub fn in_hand(&self) -> u16 {
        self.hands.iter().flatten().fold(0, |bits, hand| bits | 1 << hand.step)
    }

    /// With a write begun, for which a hand must be free, or gone on.
    pub fn with(self, hand: Hand) -> Self {
        let mut work = self.without(hand.step);
        work.hands[0] = Some(hand);
        work.hands.sort_unstable();
        work
    }

    pub fn finished(self, step: u8) -> Self {
        Self { done: self.done | 1 << step, ..self.without(step) }
    }

    fn without(mut self, step: u8) -> Self {
        for hand in &mut self.hands {
            *hand = hand.filter(|hand| hand.step != step);
        }
        self.hands.sort_unstable();
        self
    }
}
