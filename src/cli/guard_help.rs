//! What the help of `guard` says after its options.

pub(super) const GUARD: &str = "\
What it does:
Whoever opens a file of sysfs whose write can hang or corrupt the kernel when it meets another (remove, rescan, \
sriov_numvfs, reset, reset_subordinate, reset_method, resourceN_resize, driver_override, a slot's power, a driver's bind \
and unbind, new_id, drivers_probe) waits inside open until the guard has taken the locks that the same command of pcictl would \
take. The guard holds them until the file is closed. Commands of pcictl, and what runs under pcictl lock, carry their \
locks and go on at once; so does whoever only reads.

Examples:
  pcictl guard                       in the foreground, until a signal ends it
  pcictl guard --wait 5m             writers may wait for five minutes
  pcictl guard --report              hold up nobody, and tell what would have waited
  pcictl guard --stop-first --refuse mounted,management
                                     as pcictl remove does, for an echo
  pcictl guard --status              what it does now

Exit status:
  0    ended by a signal; --status: it is running
  1    failed; --status: none is running
  4    refused: this is a container
  75   another guard is running
  77   not permitted
  124  --status: it does not answer";
