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
//! | unbind | DL | | | driver stopped, and those of its consumers |
//! | bind, drivers_probe | DL | port: its thread has begun | port: RRL | driver at work; port: what is plugged is there |
//! | driver_override | AR, DL | | | written |
//! | reset | AR, DL of the bridge above | DL | | done |
//! | reset_subordinate | AR, DL of all, or none | | | done |
//! | slot on | its thread has begun | RRL | | what is plugged is there |
//! | slot off | its thread has begun | RRL | drivers stopped, under their DLs | nobody in a file below: gone |
//!
//! `/sys/bus/pci/rescan` is as rescan, without AR: no removal drains that file. The thread is pciehp's IRQ thread: a
//! writer of `power` waits for it, and so does whoever stops the port's driver (free_irq in pcie_shutdown_notification).
//! A driver like vmd's takes its domain away, and makes it, without RRL (vmd_remove, vmd_enable_domain).

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
    /// By its driver's `bind` or by `drivers_probe`.
    Bind(Slot),
    Override(Slot),
    Reset(Slot),
    ResetBelow(Slot),
    /// The power of a port's slot.
    SlotPower(Slot, bool),
}

/// What comes of going on with a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Waits,
    Stage(u8, Config),
    Done(Config),
}

/// How the actions of plans name the slot that belongs to a port.
pub fn slot_name(port: Slot) -> String {
    port.to_string()
}

/// The port whose slot has this name.
pub fn port_of(name: &str) -> Slot {
    name.parse().expect("the name of a slot")
}

impl Write {
    /// The slot that an action is about, as the kernel finds it when the file is opened; none if it is not there.
    pub fn opens(board: &Board, config: Config, action: &Action) -> Option<Slot> {
        match action {
            Action::Remove { address }
            | Action::Override { address, .. }
            | Action::Reset { address, .. }
            | Action::ResetBelow { address } => board.at(config, *address),
            Action::Unbind { address, .. } | Action::SetVfs { address, .. } | Action::CreateVfs { address, .. } => {
                board.at(config, *address).filter(|slot| config.is_bound(*slot))
            }
            Action::Bind { address, .. } | Action::Probe { address, .. } => {
                board.at(config, *address).filter(|slot| !config.is_bound(*slot))
            }
            // The port's driver makes the slot's directory.
            Action::SlotPower { slot, .. } => Some(port_of(slot)).filter(|port| config.is_bound(*port)),
            // Nothing in this machine removes a host bridge, so nobody drains its file either.
            Action::Rescan { bus } => Some(board.bridge_to(config, *bus)?.unwrap_or(NOWHERE)),
            Action::RescanAll => Some(NOWHERE),
            other @ (Action::Set { .. } | Action::SetVf { .. } | Action::SlotAttention { .. }) => {
                panic!("no operator here does that: {other:?}")
            }
        }
    }

    /// An action on an opened file.
    pub fn new(action: &Action, slot: Slot, stage: u8) -> Self {
        let kind = match action {
            Action::Remove { .. } => Kind::Remove(slot),
            Action::Unbind { .. } => Kind::Unbind(slot),
            Action::Bind { .. } | Action::Probe { .. } => Kind::Bind(slot),
            Action::Override { .. } => Kind::Override(slot),
            Action::SetVfs { count, .. } | Action::CreateVfs { count, .. } => Kind::SetVfs(slot, *count > 0),
            Action::Reset { .. } => Kind::Reset(slot),
            Action::ResetBelow { .. } => Kind::ResetBelow(slot),
            Action::SlotPower { on, .. } => Kind::SlotPower(slot, *on),
            Action::Rescan { .. } | Action::RescanAll if slot == NOWHERE => Kind::RescanAll,
            Action::Rescan { .. } => Kind::Rescan(slot),
            other => panic!("no operator here does that: {other:?}"),
        };
        Self { kind, stage }
    }

    /// The slot that it is about; none for all of them.
    pub fn slot(self) -> Option<Slot> {
        match self.kind {
            Kind::Remove(slot)
            | Kind::Rescan(slot)
            | Kind::SetVfs(slot, _)
            | Kind::Unbind(slot)
            | Kind::Bind(slot)
            | Kind::Override(slot)
            | Kind::Reset(slot)
            | Kind::ResetBelow(slot)
            | Kind::SlotPower(slot, _) => Some(slot),
            Kind::RescanAll => None,
        }
    }

    fn has_rrl(self) -> bool {
        match self.kind {
            Kind::Remove(_) | Kind::Rescan(_) | Kind::RescanAll | Kind::SetVfs(..) | Kind::SlotPower(..) => {
                self.stage >= 2
            }
            Kind::Bind(_) => self.stage >= 3,
            Kind::Unbind(_) | Kind::Override(_) | Kind::Reset(_) | Kind::ResetBelow(_) => false,
        }
    }

    /// The slots in whose files the writer is, so that they cannot go away. (Whoever is in a slot's `power` waits for the
    /// thread, and is waited for with it.)
    fn references(self) -> u8 {
        match self.kind {
            Kind::Rescan(slot)
            | Kind::SetVfs(slot, _)
            | Kind::Override(slot)
            | Kind::Reset(slot)
            | Kind::ResetBelow(slot) => 1 << slot,
            Kind::Remove(_) | Kind::RescanAll | Kind::Unbind(_) | Kind::Bind(_) | Kind::SlotPower(..) => 0,
        }
    }

    fn device_locks(self, board: &Board) -> u8 {
        match (self.kind, self.stage) {
            (Kind::SetVfs(slot, _) | Kind::Unbind(slot) | Kind::Override(slot), _) | (Kind::Bind(slot), 1) => 1 << slot,
            (Kind::Reset(slot), 1) => bit(board.above(slot)),
            (Kind::Reset(slot), _) => bit(board.above(slot)) | 1 << slot,
            (Kind::ResetBelow(bridge), _) => board.subtree(bridge),
            (Kind::Remove(_) | Kind::Rescan(_) | Kind::RescanAll | Kind::Bind(_) | Kind::SlotPower(..), _) => 0,
        }
    }

    /// The port whose IRQ thread it keeps busy.
    pub fn thread(self) -> Option<Slot> {
        match (self.kind, self.stage) {
            (Kind::SlotPower(port, _), _) | (Kind::Bind(port), 2..) => Some(port),
            _ => None,
        }
    }

    /// The slots that it takes away by a removal, which holds RRL for it.
    pub fn removes(self, board: &Board) -> u8 {
        match self.kind {
            Kind::Remove(top) => board.subtree(top),
            Kind::SlotPower(port, false) => board.below(Some(port)),
            _ => 0,
        }
    }

    /// The slots that may come or go by it.
    pub fn adds_or_removes(self, board: &Board) -> u8 {
        match self.kind {
            Kind::Remove(top) => board.subtree(top),
            Kind::Rescan(bridge) | Kind::SlotPower(bridge, _) => board.below(Some(bridge)),
            Kind::RescanAll => board.all(),
            Kind::SetVfs(physical, _) => board.virtual_functions_of(physical),
            Kind::Bind(port) if board.is_hotplug(port) => board.below(Some(port)),
            Kind::Bind(slot) | Kind::Unbind(slot) => board.in_domains_of(1 << slot),
            Kind::Override(_) | Kind::Reset(_) | Kind::ResetBelow(_) => 0,
        }
    }

    /// Goes on, with the writes of others as they are; a write that has not begun is at stage 0.
    pub fn next(self, board: &Board, config: Config, others: &[Option<Write>]) -> Next {
        let world = World { board, config, others };
        let to = |stage: u8| Next::Stage(stage, config);
        let when = |condition: bool, next: Next| if condition { next } else { Next::Waits };
        match (self.kind, self.stage) {
            (Kind::Remove(_) | Kind::Rescan(_), 0) => to(1),
            (Kind::RescanAll, 0) => when(world.rrl_is_free(), to(2)),
            (Kind::SetVfs(slot, _) | Kind::Unbind(slot) | Kind::Bind(slot) | Kind::Override(slot), 0) => {
                when(!world.is_locked(1 << slot), to(1))
            }
            (Kind::Reset(slot), 0) => when(!world.is_locked(bit(board.above(slot))), to(1)),
            // It tries the locks and gives up if one is taken (pci_bus_trylock).
            (Kind::ResetBelow(bridge), 0) if world.is_locked(board.subtree(bridge)) => Next::Done(config),
            (Kind::ResetBelow(_), 0) => to(1),
            (Kind::SlotPower(port, _), 0) => when(!world.has_thread(1 << port), to(1)),
            (Kind::Remove(_) | Kind::Rescan(_) | Kind::SetVfs(..) | Kind::SlotPower(..), 1) => {
                when(world.rrl_is_free(), to(2))
            }
            (Kind::Bind(_), 2) => when(world.rrl_is_free(), to(3)),
            (Kind::Reset(slot), 1) => when(!world.is_locked(1 << slot), to(2)),
            // Stopping takes each device's lock in turn.
            (Kind::Remove(_) | Kind::SlotPower(_, false), 2) => match world.stopped(self.removes(board)) {
                Some(config) => Next::Stage(3, config),
                None => Next::Waits,
            },
            (Kind::Remove(_) | Kind::SlotPower(_, false), _) => {
                let gone = self.removes(board);
                when(world.is_left(gone), Next::Done(without(config, gone)))
            }
            (Kind::Rescan(slot) | Kind::SlotPower(slot, true), _) => {
                Next::Done(found(board, config, board.below(Some(slot))))
            }
            (Kind::RescanAll, _) => Next::Done(found(board, config, board.all())),
            (Kind::SetVfs(slot, on), _) => Next::Done(with_vfs(board, config, slot, on)),
            (Kind::Unbind(slot), _) => world.stopped_by_unbind(slot).map_or(Next::Waits, Next::Done),
            (Kind::Bind(slot), 1) => bound(board, config, slot),
            (Kind::Bind(slot), _) => Next::Done(found(board, config, board.below(Some(slot)))),
            (Kind::Override(_) | Kind::Reset(_) | Kind::ResetBelow(_), _) => Next::Done(config),
        }
    }
}

/// What a write finds when it wants to go on.
struct World<'a> {
    board: &'a Board,
    config: Config,
    others: &'a [Option<Write>],
}

impl World<'_> {
    fn others(&self) -> impl Iterator<Item = Write> {
        self.others.iter().flatten().copied()
    }

    fn rrl_is_free(&self) -> bool {
        !self.others().any(Write::has_rrl)
    }

    fn is_locked(&self, slots: u8) -> bool {
        self.others().any(|other| other.device_locks(self.board) & slots != 0)
    }

    fn has_thread(&self, ports: u8) -> bool {
        self.others().filter_map(Write::thread).any(|port| ports & 1 << port != 0)
    }

    /// Whether nobody is in a file of these any more, nor has their locks (kill_device takes each).
    fn is_left(&self, slots: u8) -> bool {
        !self.is_locked(slots) && !self.others().any(|other| other.references() & slots != 0)
    }

    /// With the drivers of these stopped, and those of their consumers; none while somebody has to be waited for.
    fn stopped(&self, slots: u8) -> Option<Config> {
        let consumers = self.board.consumers(self.config, slots);
        let all = slots | consumers;
        if self.is_locked(all) || self.has_thread(all & self.config.bound) {
            return None;
        }
        let config = Config { bound: self.config.bound & !all, ..self.config };
        Some(without(config, self.board.in_domains_of(all)))
    }

    /// As when one driver is stopped under a lock that is held already; a domain goes with it, as in a removal.
    fn stopped_by_unbind(&self, slot: Slot) -> Option<Config> {
        let domain = self.board.in_domains_of(1 << slot);
        // Whoever is in a file of the domain's root bus, too: it goes with the domain.
        let in_root_bus = |other: Write| domain != 0 && other.references() & 1 << slot != 0;
        if self.others().any(in_root_bus) || !self.is_left(domain) {
            return None;
        }
        self.stopped(1 << slot | domain)
    }
}

fn bit(slot: Option<Slot>) -> u8 {
    slot.map_or(0, |slot| 1 << slot)
}

fn without(config: Config, gone: u8) -> Config {
    Config { present: config.present & !gone, bound: config.bound & !gone, ..config }
}

/// What a scan finds among these slots: everything that is plugged and not a virtual function; drivers take it at once.
/// (A slot without power has nothing to be found. Here its card is found all the same, which is worse.)
fn found(board: &Board, config: Config, slots: u8) -> Config {
    let no_driver = config.present & !config.bound;
    let new = slots & !config.present & !board.virtual_functions() & !board.in_domains_of(no_driver);
    // Parents come before children, and no child without its parent.
    board.ids().filter(|slot| new & 1 << slot != 0).fold(config, |config, slot| {
        let leads_there = board.above(slot).is_none_or(|above| config.has(above));
        let come = if leads_there { 1 << slot } else { 0 };
        Config { present: config.present | come, bound: config.bound | come, ..config }
    })
}

/// A driver has taken a function, unless that is gone, or what it depends on has no driver (device_links_check_suppliers).
/// A port whose bus is empty although something is plugged has its thread switch the slot on (pciehp_check_presence).
fn bound(board: &Board, config: Config, slot: Slot) -> Next {
    let lacks = |(supplier, consumer): &(Slot, Slot)| *consumer == slot && !config.is_bound(*supplier);
    if !config.has(slot) || board.links.iter().any(lacks) {
        return Next::Done(config);
    }
    let config = Config { bound: config.bound | 1 << slot, ..config };
    if board.will_switch_on(config, slot) {
        return Next::Stage(2, config);
    }
    Next::Done(found(board, config, board.in_domains_of(1 << slot)))
}

fn with_vfs(board: &Board, config: Config, physical: Slot, on: bool) -> Config {
    let vfs = board.virtual_functions_of(physical);
    let add = if on { vfs & !config.present } else { 0 };
    let take = if on { 0 } else { vfs };
    Config { present: config.present & !take | add, bound: config.bound & !take | add, ..config }
}
