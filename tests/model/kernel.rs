//! The kernel's side of a write, cut where somebody else can come in between (KERNEL.md has the sources).
//!
//! RRL is the one mutex, pci_rescan_remove_lock; DL a device's own lock; AR the reference that a writer has to the sysfs
//! file it is in, which the removal of that file waits for. Who holds which follows from how far each write has come:
//!
//! | write | 1 | 2 | 3 | done |
//! | --- | --- | --- | --- | --- |
//! | remove | begun, its own AR dropped | has RRL | drivers stopped, under their DLs | nobody in a file below: gone |
//! | rescan | AR | RRL | | what is plugged is there, drivers bound |
//! | sriov_numvfs | AR, DL | RRL | | VFs made or gone |
//! | unbind | DL | | | driver stopped |
//!
//! `/sys/bus/pci/rescan` is as rescan, without AR: no removal drains that file.

use pcictl::plan::action::Action;

use crate::board::{Board, Config, Slot};

/// For a file that belongs to no slot.
pub const NOWHERE: Slot = Slot::MAX;

/// A write that the kernel has in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    pub kind: Kind,
    pub stage: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Remove(Slot),
    Rescan(Slot),
    RescanAll,
    SetVfs(Slot, bool),
    Unbind(Slot),
}

/// What comes of going on with a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Waits,
    Stage(u8),
    Done(Config),
}

impl Write {
    /// The slot that an action is about, as the kernel finds it when the file is opened; none if it is not there.
    pub fn opens(board: &Board, config: Config, action: &Action) -> Option<Slot> {
        match action {
            Action::Remove { address } => board.at(config, *address),
            Action::Unbind { address, .. } | Action::SetVfs { address, .. } => {
                board.at(config, *address).filter(|slot| config.is_bound(*slot))
            }
            // Nothing in this machine removes a host bridge, so nobody drains its file either.
            Action::Rescan { bus } => Some(board.bridge_to(config, *bus)?.unwrap_or(NOWHERE)),
            Action::RescanAll => Some(NOWHERE),
            other => panic!("no operator here does that: {other:?}"),
        }
    }

    /// An action on an opened file.
    pub fn new(action: &Action, slot: Slot, stage: u8) -> Self {
        let kind = match action {
            Action::Remove { .. } => Kind::Remove(slot),
            Action::Unbind { .. } => Kind::Unbind(slot),
            Action::SetVfs { count, .. } => Kind::SetVfs(slot, *count > 0),
            Action::Rescan { .. } | Action::RescanAll if slot == NOWHERE => Kind::RescanAll,
            Action::Rescan { .. } => Kind::Rescan(slot),
            other => panic!("no operator here does that: {other:?}"),
        };
        Self { kind, stage }
    }

    pub fn has_rrl(self) -> bool {
        self.stage >= 2
    }

    /// The slot in one of whose files the writer is, so that it cannot go away.
    pub fn reference(self) -> Option<Slot> {
        match self.kind {
            Kind::Rescan(slot) | Kind::SetVfs(slot, _) => Some(slot),
            Kind::Remove(_) | Kind::RescanAll | Kind::Unbind(_) => None,
        }
    }

    pub fn device_lock(self) -> Option<Slot> {
        match self.kind {
            Kind::SetVfs(slot, _) | Kind::Unbind(slot) => Some(slot),
            Kind::Remove(_) | Kind::Rescan(_) | Kind::RescanAll => None,
        }
    }

    /// Goes on, with the writes of others as they are; a write that has not begun is at stage 0.
    pub fn next(self, board: &Board, config: Config, others: &[Option<Write>]) -> Next {
        let others = || others.iter().flatten();
        let rrl_is_free = !others().any(|other| other.has_rrl());
        let locked = |slots: u8| others().filter_map(|o| o.device_lock()).any(|slot| slots & 1 << slot != 0);
        let referenced = |slots: u8| others().filter_map(|o| o.reference()).any(|slot| slots & 1 << slot != 0);
        let to = |condition: bool, next: Next| if condition { next } else { Next::Waits };
        match (self.kind, self.stage) {
            (Kind::Remove(_) | Kind::Rescan(_), 0) => Next::Stage(1),
            (Kind::RescanAll, 0) => to(rrl_is_free, Next::Stage(2)),
            (Kind::SetVfs(slot, _) | Kind::Unbind(slot), 0) => to(!locked(1 << slot), Next::Stage(1)),
            (Kind::Remove(_) | Kind::Rescan(_) | Kind::SetVfs(..), 1) => to(rrl_is_free, Next::Stage(2)),
            // Stopping takes each device's lock in turn.
            (Kind::Remove(slot), 2) => to(!locked(board.subtree(slot)), Next::Stage(3)),
            (Kind::Remove(slot), _) => {
                let gone = board.subtree(slot);
                let config = Config { present: config.present & !gone, bound: config.bound & !gone, ..config };
                to(!referenced(gone), Next::Done(config))
            }
            (Kind::Rescan(slot), _) => Next::Done(found(board, config, board.subtree(slot) & !(1 << slot))),
            (Kind::RescanAll, _) => Next::Done(found(board, config, board.all())),
            (Kind::SetVfs(slot, on), _) => {
                let vfs = board.virtual_functions_of(slot);
                let add = if on { vfs & !config.present } else { 0 };
                let take = if on { 0 } else { vfs };
                let present = config.present & !take | add;
                Next::Done(Config { present, bound: config.bound & !take | add, ..config })
            }
            (Kind::Unbind(slot), _) => Next::Done(Config { bound: config.bound & !(1 << slot), ..config }),
        }
    }

    /// Removal has stopped every driver below once its last stage begins.
    pub fn stops(self, board: &Board, config: Config) -> Config {
        match (self.kind, self.stage) {
            (Kind::Remove(slot), 3) => Config { bound: config.bound & !board.subtree(slot), ..config },
            _ => config,
        }
    }
}

/// What a scan finds among these slots: everything that is plugged and not a virtual function; drivers take it at once.
fn found(board: &Board, config: Config, slots: u8) -> Config {
    let new = slots & !config.present & !board.virtual_functions();
    Config { present: config.present | new, bound: config.bound | new, ..config }
}

/// The pairs that must never be under way at the same time, and what must never happen at all, by KERNEL.md's names.
pub fn hazard(board: &Board, config: Config, writes: &[Option<Write>]) -> Option<&'static str> {
    for (index, write) in writes.iter().enumerate().filter_map(|(index, write)| Some((index, (*write)?))) {
        let others = || writes.iter().enumerate().filter(|(at, _)| *at != index).filter_map(|(_, other)| *other);
        if let Kind::SetVfs(physical, _) = write.kind {
            let shares =
                |other: Write| matches!(other.kind, Kind::SetVfs(slot, _) if board.share_virtual_bus(physical, slot));
            if others().any(shares) {
                return Some("D8: two changes of virtual functions on one virtual bus");
            }
        }
        if let Kind::Unbind(physical) = write.kind {
            let has_vfs = config.present & board.virtual_functions_of(physical) != 0;
            let changes = |other: Write| match other.kind {
                Kind::Remove(slot) | Kind::Rescan(slot) => board.is_at_or_below(physical, slot),
                Kind::RescanAll => true,
                Kind::SetVfs(..) | Kind::Unbind(_) => false,
            };
            if has_vfs && others().any(changes) {
                return Some("D5: a physical function with virtual ones is unbound below a rescan or removal");
            }
        }
        let Kind::Remove(removed) = write.kind else { continue };
        if config.present & board.subtree(removed) & board.virtual_functions() != 0 && write.stage >= 2 {
            return Some("S: a physical function is removed while it has virtual ones");
        }
        for other in others() {
            let below = |slot: Slot| board.is_at_or_below(slot, removed);
            match other.kind {
                Kind::Rescan(slot) if below(slot) => return Some("D1: a removal above a rescan"),
                Kind::Remove(slot) if below(slot) && slot != removed => return Some("D2: a removal above a removal"),
                Kind::SetVfs(slot, _) if below(slot) => return Some("D4: a removal above a change of VFs"),
                _ => {}
            }
        }
    }
    None
}
