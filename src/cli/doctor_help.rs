//! The part of the doctor's help that comes after its options.

pub(super) const DOCTOR: &str = "\
Examples:
  pcictl doctor                      is it stuck or slow, and what helps
  pcictl doctor -j                   the same for a program
  pcictl doctor --format nagios      as a monitoring plugin
  pcictl doctor --format prometheus >pcictl.prom.new && mv pcictl.prom.new pcictl.prom
                                     for the textfile collector of node_exporter

Exit status:
  0    healthy
  1    something needs attention, or whether a driver ever ends cannot be told
  77   not permitted
  124  stuck

Exit status of other formats:
Each monitor has statuses of its own. With nagios and npd, what keeps pcictl from looking is unknown, and a line on standard \
output, too. An invalid command line is 2 with every format.
  nagios             0 OK, 1 warning: something needs attention, 2 critical: stuck, 3 unknown
  npd                0 no problem, 1 problem: stuck, 2 unknown; a problem may drain the node, so what
                     needs attention is 0, and its text tells
  prometheus         0 the metrics were printed, whatever they say; else as above, without metrics

What the metrics are:
What was not looked at has no line, instead of a 0.
  pcictl_stuck       deadlocks and endless waits in the kernel's PCI core
  pcictl_waiting_tasks
                     tasks that wait behind what is stuck
  pcictl_slow_drivers
                     drivers that have been stopping for long
  pcictl_leftovers   warnings: what was left behind or is set wrongly
  pcictl_interrupted_operations
                     operations that were interrupted; also counted in pcictl_leftovers
  pcictl_removed_devices
                     devices that were removed and are not back
  pcictl_health      1 for the state that holds: healthy, busy, leftovers, unknown, stuck";
