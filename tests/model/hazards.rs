//! The pairs that must never be under way at the same time, and what must never happen at all, by KERNEL.md's names.
//!
//! What depends on plans and locks, and not on the writes alone, is in `system`: D7, and a driver between an override and
//! its probe.

use crate::board::{Board, Config, Slot};
use crate::kernel::{Kind, Write};

pub const D1: &str = "D1: a removal above a rescan";
pub const D2: &str = "D2: a removal above a removal";
pub const D3: &str = "D3: a removal of a port or above it while the port's thread is at work";
pub const D4: &str = "D4: a removal above a change of VFs";
pub const D5: &str = "D5: a physical function with virtual ones is unbound below a rescan or removal";
pub const D7: &str = "D7: a driver was bound between the stop and the remove phase of a removal";
pub const D8: &str = "D8: two changes of virtual functions on one virtual bus";
pub const D9: &str = "D9: a reset walks a bus on which something is added or removed";
pub const D10: &str = "D10: a domain comes or goes with its driver while its buses are scanned or changed";
pub const D11: &str = "D11: a supplier's driver is stopped while another works on its consumer";
pub const D12: &str = "D12: windows of a bus are dealt out anew while another works on it";
pub const S: &str = "S: a physical function is removed while it has virtual ones";
pub const BETWEEN: &str = "a driver comes in between an override and its probe";

/// What is wrong with these writes under way at the same time.
pub fn hazard(board: &Board, config: Config, writes: &[Option<Write>]) -> Option<&'static str> {
    // Most states have nobody or one in the kernel.
    writes.iter().enumerate().find_map(|(index, write)| {
        let write = (*write)?;
        let alone = alone(board, config, write);
        let others = || writes.iter().enumerate().filter(|(at, _)| *at != index).filter_map(|(_, other)| *other);
        alone.or_else(|| others().find_map(|other| pair(board, config, write, other)))
    })
}

fn alone(board: &Board, config: Config, write: Write) -> Option<&'static str> {
    let takes_vfs = config.present & write.removes(board) & board.virtual_functions() != 0;
    (takes_vfs && write.stage >= 2).then_some(S)
}

fn pair(board: &Board, config: Config, write: Write, other: Write) -> Option<&'static str> {
    removal(board, config, write, other)
        .or_else(|| driver(board, config, write, other))
        .or_else(|| resources(board, config, write, other))
}

/// A removal and what is below it.
fn removal(board: &Board, config: Config, write: Write, other: Write) -> Option<&'static str> {
    let removed = write.removes(board);
    let below = other.slot().is_some_and(|slot| removed & 1 << slot != 0);
    if !below {
        return None;
    }
    match other.kind {
        Kind::Rescan(_) => Some(D1),
        Kind::SlotPower(..) => Some(D3),
        Kind::Bind(port) if other.thread().is_some() || board.will_switch_on(config, port) => Some(D3),
        Kind::Remove(_) if write.kind != other.kind => Some(D2),
        Kind::SetVfs(..) => Some(D4),
        _ => None,
    }
}

/// Drivers stopped or started, and virtual functions.
fn driver(board: &Board, config: Config, write: Write, other: Write) -> Option<&'static str> {
    let has_vfs = |physical: Slot| config.present & board.virtual_functions_of(physical) != 0;
    let comes_or_goes = |slots: u8| other.adds_or_removes(board) & slots != 0;
    match (write.kind, other.kind) {
        (Kind::SetVfs(one, _), Kind::SetVfs(another, _)) if board.share_virtual_bus(one, another) => return Some(D8),
        (Kind::Unbind(physical), _) if has_vfs(physical) && comes_or_goes(1 << physical) => return Some(D5),
        _ => {}
    }
    let domain = match write.kind {
        Kind::Unbind(slot) | Kind::Bind(slot) => board.in_domains_of(1 << slot),
        _ => 0,
    };
    // Who stops, binds or removes the endpoint itself takes its lock, and finds its domain whole or gone.
    let takes_its_lock = matches!(other.kind, Kind::Unbind(_) | Kind::Bind(_))
        || write.slot().is_some_and(|slot| other.removes(board) & 1 << slot != 0);
    if !takes_its_lock && comes_or_goes(domain) {
        return Some(D10);
    }
    supplier(board, config, write, other)
}

/// A driver that is stopped, and those that the kernel stops with it.
fn supplier(board: &Board, config: Config, write: Write, other: Write) -> Option<&'static str> {
    let stopped = match write.kind {
        Kind::Unbind(slot) => 1 << slot,
        _ => write.removes(board),
    };
    // One that is about to have its driver will lose it at once.
    let config = match other.kind {
        Kind::Bind(slot) => Config { bound: config.bound | 1 << slot, ..config },
        _ => config,
    };
    let consumers = board.consumers(config, stopped);
    let is_below = |slot: Slot| board.subtrees(consumers) & 1 << slot != 0;
    let works_on_it = other.slot().is_none_or(is_below) || other.adds_or_removes(board) & consumers != 0;
    (consumers != 0 && works_on_it).then_some(D11)
}

/// Buses that are walked or given other windows.
fn resources(board: &Board, config: Config, write: Write, other: Write) -> Option<&'static str> {
    let walked = match write.kind {
        Kind::ResetBelow(bridge) => board.below(Some(bridge)),
        Kind::Reset(slot) if board.bus_reset & 1 << slot != 0 => board.below(board.above(slot)),
        _ => 0,
    };
    if walked & other.adds_or_removes(board) != 0 {
        return Some(D9);
    }
    let resized = match write.kind {
        Kind::Rescan(bridge) if !board.is_domain(bridge) && board.is_empty(config, bridge) => board.above(bridge),
        Kind::SlotPower(port, true) => board.above(port),
        Kind::Bind(port) if write.thread().is_some() || board.will_switch_on(config, port) => board.above(port),
        _ => return None,
    };
    let works_there = |slot: Slot| board.subtree_of(resized) & 1 << slot != 0;
    other.slot().is_none_or(works_there).then_some(D12)
}
