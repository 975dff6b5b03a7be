//! What operators do, and what can be broken to see that the model would notice.

use crate::board::Slot;

/// A command as an operator types it; slots stand for selectors that follow the device, like `slot:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// In the order in which they are typed.
    Remove(&'static [Slot]),
    /// A removal that is given up when all is stopped: what was stopped is put back.
    RemoveAndRollBack(Slot),
    /// Scan the bus below a bridge.
    Rescan(Slot),
    /// Bring back what is plugged into a slot.
    BringBack(Slot),
    RescanAll,
    Replug(Slot),
    /// Switch the virtual functions of a physical one on or off.
    SetVfs(Slot, usize),
    Unbind(Slot),
    Bind(Slot),
    /// Say which driver may have a function, and have it probed.
    OverrideAndProbe(Slot),
    /// Reset a function, in the one way that it has.
    Reset(Slot),
    /// Reset the bus below a bridge.
    ResetBelow(Slot),
    /// Stop all that is in a port's slot, and switch it off.
    SlotOff(Slot),
    SlotOn(Slot),
    /// A replug with the slot's power off and on in between.
    PowerCycle(Slot),
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
    /// The power of slots is switched by hand, outside of the protocol.
    SlotsUnlocked,
    /// Drivers are bound by hand.
    BindsUnlocked,
    /// Buses are reset by hand.
    ResetsUnlocked,
    /// All buses are scanned by hand.
    ScanOfAllUnlocked,
    /// A reset takes the function that it is asked for, whatever else it hits.
    ResetLocksItsFunction,
    /// What brings a slot or an empty bus to life takes the port, and not the bus above it.
    BusAboveForgotten,
    /// A domain's nodes stand beside the endpoint that it is below, as its own root bus would have it.
    DomainBesideItsEndpoint,
    /// A supplier is stopped although it has consumers elsewhere.
    ConsumersIgnored,
    /// Consumers that have no driver yet may get one meanwhile.
    IdleConsumersUnlocked,
    /// Locks are let go of after each step, and taken again for the next.
    HoldForEachStep,
}
