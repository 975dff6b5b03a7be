//! The part of each help of `pcictl slot` that comes after the options, in the form of [`help`](crate::cli::help).

/// How to name a slot.
macro_rules! slot_names {
    () => {
        "Slots:
  7, 0-2, slot:7     the slot's name, as pcictl slot list prints it
  0000:03:00.0       the address of what is or was in it, or another name of a function in it

"
    };
}

pub(super) const SLOT: &str = "\
Examples:
  pcictl slot list                   slots, and what is in them
  pcictl slot off -n 7               the plan: who uses what is in it, what would be done
  pcictl slot off 7                  stop its drivers, then switch its power off
  pcictl slot on 7                   switch it on, and compare what comes with what was there
  pcictl slot identify --for 60 7    have its light blink for a minute";

pub(super) const SLOT_LIST: &str = "\
Examples:
  pcictl slot list                   without asking any hardware
  pcictl slot list --status          with power, adapter, latch and attention";

pub(super) const SLOT_SHOW: &str = concat!(
    slot_names!(),
    "Examples:
  pcictl slot show 7
  pcictl slot show 0000:03:00.0      the slot that a function sits in"
);

pub(super) const SLOT_ON: &str = concat!(
    slot_names!(),
    "What it locks:
The bridge above the port, for the kernel may deal out anew the windows of the bus that the port is on; for a slot of a \
root bus the host bridge.

What it can break:
Nothing that works. The kernel looks for what is in the slot and gives it to its drivers; pcictl waits until it is ready \
and compares it with what was there, as rescan does.

",
    when_it_hangs!("The kernel"),
    "Examples:
  pcictl slot on 7
  pcictl slot on --restore --settle 60 7
                                     wait longer, and restore VFs and driver overrides

Exit status:
  0    it is on, and what was in it is as it was
  1    failed; or the slot's power cannot be switched, or nothing is plugged in
  3    no such slot
  4    refused: a bridge does not answer or was reset, or the PCI core is stuck
  6    it is on, and something is missing or not as it was
",
    exit_writing!()
);

pub(super) const SLOT_OFF: &str = concat!(
    slot_names!(),
    "What it locks:
The port that leads to the slot, with everything below it; for a slot of a root bus the host bridge.

What it can break:
Whoever uses what is in the slot, and so it refuses as remove does. Drivers are stopped first, from the bottom up; only \
then the power is switched, upon which the kernel removes all that is in the slot. If a driver does not stop, or the \
kernel refuses, drivers and VFs are put back. A port without a power controller leaves the slot its power; pcictl says so.

",
    when_it_hangs!("An unbind"),
    "Examples:
  pcictl slot off -n 7               print the plan
  pcictl slot off 7                  before the card is pulled

Exit status:
  0    what was in it is removed, or it was off already
  1    failed, the drivers that were stopped are bound again; or the slot's power cannot be switched
  3    no such slot
  4    refused: in use or protected
  5    partly done
",
    exit_writing!()
);

pub(super) const SLOT_IDENTIFY: &str = concat!(
    slot_names!(),
    "What it locks:
The port, shared and only for the moment of each write: others may work on the slot, and switch it off, while its light \
blinks.

What it can break:
Nothing. The light is the slot's attention indicator or, on Linux 6.13 and newer, the locate light of its enclosure. With \
--for it shows afterwards what it showed before, also if pcictl is interrupted; if it is killed, pcictl recover sees to it.

",
    when_it_hangs!("The kernel"),
    "Examples:
  pcictl slot identify --for 60 7    for a minute
  pcictl slot identify 7             until it is switched off
  pcictl slot identify --off 7

Exit status:
  0    done, or so already
  1    failed; or the slot has no such light
  3    no such slot
",
    exit_writing!()
);
