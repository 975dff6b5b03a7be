//! The doctor on made /proc trees: what it claims, what it does not, and with which status it ends. The stacks are those of
//! guests (6.1, 6.12) in which it happened; those of D3, D4 and nvidia follow the kernel's sources.

mod leftovers;
mod monitors;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::support::run::Run;
use crate::support::{Tree, timeless};

const UPSTREAM: &str = "devices/pci0000:00/0000:00:03.0/0000:01:00.0";

/// The innermost first, as /proc shows it.
pub const REMOVER_DRAINS: &[&str] = &[
    "kernfs_drain+0x11a/0x130",
    "__kernfs_remove.part.0+0x128/0x240",
    "kernfs_remove_by_name_ns+0x5e/0xb0",
    "remove_files+0x2b/0x70",
    "sysfs_remove_group+0x38/0x80",
    "sysfs_remove_groups+0x29/0x50",
    "device_remove_attrs+0xa6/0xf0",
    "device_del+0x172/0x3e0",
    "pci_remove_bus_device+0x6f/0x110",
    "pci_remove_bus_device+0x2e/0x110",
    "pci_stop_and_remove_bus_device_locked+0x1a/0x30",
    "remove_store+0x79/0x90",
    "kernfs_fop_write_iter+0x13b/0x1f0",
    "vfs_write+0x236/0x3f0",
    "ksys_write+0x6b/0xf0",
    "do_syscall_64+0x55/0xb0",
    "entry_SYSCALL_64_after_hwframe+0x6e/0xd8",
];

const RESCANNER_WAITS: &[&str] = &[
    "dev_rescan_store+0x68/0xa0",
    "kernfs_fop_write_iter+0x13b/0x1f0",
    "vfs_write+0x236/0x3f0",
    "ksys_write+0x6b/0xf0",
    "do_syscall_64+0x55/0xb0",
];

const SLOW_UNBIND: &[&str] = &[
    "msleep+0x2d/0x40",
    "slow_remove+0x3b/0x60 [slowpci]",
    "pci_device_remove+0x33/0xa0",
    "device_release_driver_internal+0x19a/0x200",
    "unbind_store+0xa1/0xb0",
    "kernfs_fop_write_iter+0x13b/0x1f0",
    "vfs_write+0x236/0x3f0",
];

/// What is said of a writer that is not pcictl.
const RAW: &str = "writes to the kernel past pcictl's locks
  fix: run it as: pcictl lock SELECTOR -- COMMAND";

/// What helps where nothing else does.
const REBOOT: &str = "nothing but a reboot ends this. An ordinary reboot may hang as well: save what you can, sync, and if \
             it hangs: echo 1 > /proc/sys/kernel/sysrq; echo b > /proc/sysrq-trigger";

/// A machine whose /proc says what a test wants.
struct Machine {
    tree: Tree,
}

pub struct Task<'a> {
    pub pid: u32,
    pub comm: &'a str,
    pub command: &'a [&'a str],
    pub state: char,
    pub stack: &'a [&'a str],
    pub files: &'a [String],
}

impl Machine {
    fn new() -> Self {
        Self { tree: Tree::parse("sys/bus/pci/devices:\nsys/class:\nproc/self:\n  stack =\n") }
    }

    fn with(self, task: &Task) -> Self {
        write_task(&self.tree, task);
        self
    }

    fn doctor(&self) -> Run {
        Run::words("doctor --color never").on(&self.tree)
    }
}

/// Writes what /proc says of a task.
pub fn write_task(tree: &Tree, task: &Task) {
    let process = tree.path().join(format!("proc/{}", task.pid));
    let thread = process.join(format!("task/{}", task.pid));
    fs::create_dir_all(&thread).unwrap();
    fs::create_dir_all(process.join("fd")).unwrap();
    let stat = format!("{} ({}) {} 1 1 1 0 -1 0\n", task.pid, task.comm, task.state);
    let stack: String = task.stack.iter().map(|frame| format!("[<0>] {frame}\n")).collect();
    let wchan = task.stack.first().map_or("0", |frame| frame.split('+').next().unwrap());
    for directory in [&process, &thread] {
        fs::write(directory.join("stat"), &stat).unwrap();
        fs::write(directory.join("comm"), format!("{}\n", task.comm)).unwrap();
    }
    fs::write(process.join("cmdline"), task.command.join("\0")).unwrap();
    fs::write(thread.join("stack"), stack).unwrap();
    fs::write(thread.join("wchan"), wchan).unwrap();
    fs::write(thread.join("status"), "voluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t1\n").unwrap();
    for (number, file) in task.files.iter().enumerate() {
        symlink(file, process.join(format!("fd/{number}"))).unwrap();
    }
}

fn echo<'a>(pid: u32, stack: &'a [&'a str], files: &'a [String]) -> Task<'a> {
    Task { pid, comm: "sh", command: &["sh", "-c", "runbook"], state: 'D', stack, files }
}

const UNBIND: &str = "/sys/bus/pci/drivers/slowpci/unbind";

/// pcictl's own process, which waits for a slow driver.
fn slow_unbind(files: &[String]) -> Task<'_> {
    let command = &["pcictl kernel-write /sys/bus/pci/drivers/slowpci/unbind 0000:03:00.0 (77)"];
    Task { pid: 77, comm: "pcictl-write", command, state: 'D', stack: SLOW_UNBIND, files }
}

fn file(path: &str) -> [String; 1] {
    [format!("/sys/{UPSTREAM}/{path}")]
}

#[test]
fn nobody_at_work_is_healthy() {
    let sleeper =
        Task { pid: 9, comm: "dd", command: &["dd"], state: 'D', stack: &["folio_wait_bit+0x1/0x2"], files: &[] };
    let machine = Machine::new().with(&sleeper);
    machine.doctor().stdout("healthy: no task is inside the kernel's PCI core\n").check();
}

#[test]
fn a_removal_above_a_rescan_is_a_proven_cycle_and_only_a_reboot_helps() {
    let (above, below) = (file("remove"), file("0000:02:01.0/rescan"));
    let elsewhere = ["/sys/devices/pci0000:00/0000:00:04.0/remove".to_owned()];
    let machine = Machine::new()
        .with(&echo(101, REMOVER_DRAINS, &above))
        .with(&echo(102, RESCANNER_WAITS, &below))
        .with(&echo(103, &["pci_stop_and_remove_bus_device_locked+0x12/0x30", "remove_store+0x79/0x90"], &elsewhere));
    machine
        .doctor()
        .stdout(format!(
            "\
stuck: a removal and a write below it wait for each other; every PCI removal, rescan and hotplug event on \
    this machine waits for it (1 already do)
  pid 101 (sh -c runbook), removing 0000:01:00.0, has the PCI core's mutex, waits for others to leave the \
    sysfs files of the device
  pid 102 (sh -c runbook), rescanning 0000:02:01.0, waits for the PCI core's mutex
  the removal of /sys/devices/pci0000:00/0000:00:03.0/0000:01:00.0 waits until \
    /sys/devices/pci0000:00/0000:00:03.0/0000:01:00.0/0000:02:01.0/rescan, which lies below it, is left
  fix: {REBOOT}
busy: pid 103 (sh -c runbook), removing 0000:00:04.0, waits for the PCI core's mutex
raw: pid 101 (sh -c runbook) {RAW}
raw: pid 102 (sh -c runbook) {RAW}
raw: pid 103 (sh -c runbook) {RAW}
stuck
"
        ))
        .status(124)
        .check();
}

#[test]
fn the_same_functions_without_the_same_place_prove_nothing() {
    let (above, beside) = (file("remove"), ["/sys/devices/pci0000:00/0000:00:04.0/rescan".to_owned()]);
    let machine = || Machine::new().with(&echo(101, REMOVER_DRAINS, &above));
    machine()
        .with(&echo(102, RESCANNER_WAITS, &beside))
        .doctor()
        .stdout(format!(
            "\
busy: pid 101 (sh -c runbook), removing 0000:01:00.0, has the PCI core's mutex, waits for others to leave the \
    sysfs files of the device
busy: pid 102 (sh -c runbook), rescanning 0000:00:04.0, waits for the PCI core's mutex
raw: pid 101 (sh -c runbook) {RAW}
raw: pid 102 (sh -c runbook) {RAW}
healthy: operations in progress are slow, not stuck
"
        ))
        .check();
    // A name that only begins the same is no place below.
    let longer = [format!("/sys/{UPSTREAM}1/rescan")];
    machine()
        .with(&echo(102, RESCANNER_WAITS, &longer))
        .doctor()
        .stdout(format!(
            "\
busy: pid 101 (sh -c runbook), removing 0000:01:00.0, has the PCI core's mutex, waits for others to leave the \
    sysfs files of the device
busy: pid 102 (sh -c runbook), rescanning 0000:00:03.0, waits for the PCI core's mutex
raw: pid 101 (sh -c runbook) {RAW}
raw: pid 102 (sh -c runbook) {RAW}
healthy: operations in progress are slow, not stuck
"
        ))
        .check();
}

/// What is said of a driver that is slow to stop, and of nothing else.
const SLOW_UNBIND_TOLD: &str = "\
busy: pid 77 (pcictl kernel-write /sys/bus/pci/drivers/slowpci/unbind 0000:03:00.0), unbinding \
    0000:03:00.0, has a device's lock, waits for driver slowpci to stop the device
  fix: wait; a slow driver takes its time, and no signal speeds it up
healthy: operations in progress are slow, not stuck
";

#[test]
fn a_slow_driver_is_named_and_is_not_stuck() {
    Machine::new().with(&slow_unbind(&[UNBIND.to_owned()])).doctor().stdout(SLOW_UNBIND_TOLD).check();
}

/// A thread of process 77, which hangs in the kernel.
fn write_thread(tree: &Tree, tid: u32) -> PathBuf {
    let task = Task { pid: tid, comm: "pcictl-write", command: &[], state: 'D', stack: SLOW_UNBIND, files: &[] };
    write_task(tree, &task);
    let [made, thread] = [format!("proc/{tid}"), format!("proc/77/task/{tid}")].map(|path| tree.path().join(path));
    fs::rename(made.join(format!("task/{tid}")), &thread).unwrap();
    fs::remove_dir_all(made).unwrap();
    thread
}

const TWO_UNBINDS: &str = "pcictl kernel-write /sys/bus/pci/drivers/slowpci/unbind 0000:03:00.0 (78), \
    /sys/bus/pci/drivers/slowpci/unbind 0000:04:00.0 (79)";

const TWO_UNBINDS_TOLD: &str = "\
busy: pid 77, thread 78 (pcictl kernel-write /sys/bus/pci/drivers/slowpci/unbind 0000:03:00.0), unbinding \
    0000:03:00.0, has a device's lock, waits for driver slowpci to stop the device
  fix: wait; a slow driver takes its time, and no signal speeds it up
busy: pid 77, thread 79 (pcictl kernel-write /sys/bus/pci/drivers/slowpci/unbind 0000:04:00.0), unbinding \
    0000:04:00.0, has a device's lock, waits for driver slowpci to stop the device
  fix: wait; a slow driver takes its time, and no signal speeds it up
healthy: operations in progress are slow, not stuck
";

/// Each thread is told with its own write, which no open file tells, be it that the process was killed and its first thread
/// has ended.
#[test]
fn every_write_of_a_writer_is_told_with_its_own_device() {
    let files = [UNBIND.to_owned()];
    for is_killed in [false, true] {
        let (command, state) = if is_killed { (&[][..], 'Z') } else { (&[TWO_UNBINDS][..], 'S') };
        let stack = &["__skb_wait_for_more_packets+0x1/0x2"];
        let files = if is_killed { &[] } else { &files[..] };
        let machine = Machine::new().with(&Task { pid: 77, comm: "pcictl-write", command, state, stack, files });
        for tid in [78, 79] {
            let thread = write_thread(&machine.tree, tid);
            fs::write(thread.join("cmdline"), TWO_UNBINDS).unwrap();
            fs::create_dir(thread.join("fd")).unwrap();
            symlink(UNBIND, thread.join("fd/9")).unwrap();
        }
        machine.doctor().stdout(TWO_UNBINDS_TOLD).check();
    }
}

/// A share that is mounted: its driver waits for the last mount to go.
const REMOVING_A_SHARE: &[&str] = &[
    "msleep+0x2d/0x40",
    "p9_virtio_remove+0x6b/0x110 [9pnet_virtio]",
    "virtio_dev_remove+0x3b/0xc0 [virtio]",
    "device_release_driver_internal+0x19a/0x200",
    "bus_remove_device+0xc1/0x130",
    "device_del+0x15c/0x3a0",
    "virtio_pci_remove+0x3c/0x80 [virtio_pci]",
    "pci_device_remove+0x33/0xa0",
    "device_release_driver_internal+0x19a/0x200",
    "unbind_store+0xa1/0xb0",
    "kernfs_fop_write_iter+0x13b/0x1f0",
];

#[test]
fn a_driver_that_has_been_stopping_for_long_is_unknown_and_its_users_are_told() {
    let tree = Tree::load("functions");
    let unbind = "/sys/bus/pci/drivers/virtio-pci/unbind";
    let command = &["pcictl kernel-write /sys/bus/pci/drivers/virtio-pci/unbind 0000:00:03.0 (77)"];
    let files = [unbind.to_owned()];
    let task = Task { pid: 77, comm: "pcictl-write", command, state: 'D', stack: REMOVING_A_SHARE, files: &files };
    write_task(&tree, &task);
    fs::create_dir_all(tree.path().join("proc/self")).unwrap();
    fs::write(tree.path().join("proc/self/stack"), "").unwrap();
    let stat = "77 (pcictl-write) D 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 90000 0\n";
    fs::write(tree.path().join("proc/77/stat"), stat).unwrap();
    let doctor = |uptime: &str, status: i32| {
        fs::write(tree.path().join("proc/uptime"), uptime).unwrap();
        let run = Run::words("doctor --color never").on(&tree).status(status).text();
        assert!(run.contains("waits for driver 9pnet_virtio (in p9_virtio_remove) to stop the device"), "{run}");
        run
    };
    let text = doctor("975.20 1.0\n", 1);
    for line in [
        "in p9_virtio_remove [9pnet_virtio] for up to 75 s: whether it ends cannot be told",
        "mounted: /media/share is mounted from share (9p), which comes through virtio2",
        "unknown: a driver has been stopping for long and may never end",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert!(doctor("905.20 1.0\n", 0).ends_with("healthy: operations in progress are slow, not stuck\n"));
}

/// A driver that sleeps and looks again is caught between two sleeps at times.
#[test]
fn a_driver_that_runs_is_at_work_too() {
    let files = [UNBIND.to_owned()];
    let task = slow_unbind(&files);
    let run = Machine::new().with(&Task { state: 'R', ..task }).doctor().text();
    assert!(run.contains("waits for driver slowpci to stop the device"), "{run}");
    // Whoever only reads is not.
    let reads = ["pci_read_config+0x1/0x2", "kernfs_fop_read_iter+0x1/0x2", "vfs_read+0x1/0x2"];
    let reader = Task { state: 'R', ..echo(78, &reads, &files) };
    Machine::new().with(&reader).doctor().stdout("healthy: no task is inside the kernel's PCI core\n").check();
}

#[test]
fn vfio_names_who_has_the_device_and_that_closing_it_helps() {
    let stack = [
        "vfio_unregister_group_dev+0x9c/0x140 [vfio]",
        "vfio_pci_core_unregister_device+0x1e/0x80 [vfio_pci_core]",
        "vfio_pci_remove+0x15/0x20 [vfio_pci]",
        "pci_device_remove+0x33/0xa0",
        "device_release_driver_internal+0x19a/0x200",
        "unbind_store+0xa1/0xb0",
        "kernfs_fop_write_iter+0x13b/0x1f0",
    ];
    let files = ["/sys/bus/pci/drivers/vfio-pci/unbind".to_owned()];
    let nodes = ["/dev/vfio/12".to_owned(), "/dev/vfio/vfio".to_owned(), "anon_inode:[vfio-device]".to_owned()];
    let guest =
        Task { pid: 500, comm: "qemu", command: &["qemu", "-name", "vm1"], state: 'S', stack: &[], files: &nodes };
    let waiter = Task { state: 'S', ..echo(101, &stack, &files) };
    let machine = Machine::new().with(&waiter).with(&guest);
    let expected = format!(
        "\
stuck: vfio waits until user space closes a device
  pid 101 (sh -c runbook), unbinding a PCI device, has a device's lock, waits for user space to close the \
    vfio device
  pid 500 (qemu -name vm1) has /dev/vfio/12, anon_inode:[vfio-device] open
  fix: end that process, or let it close the device; then this goes on by itself
raw: pid 101 (sh -c runbook) {RAW}
stuck
"
    );
    machine.doctor().stdout(expected.clone()).status(124).check();

    // Before Linux 5.16 x86 names no function there.
    fs::write(machine.tree.path().join("proc/101/task/101/wchan"), "0").unwrap();
    machine.doctor().stdout(expected.clone()).status(124).check();

    // Where no such driver is there, nobody is asked.
    let devices = |text: &str| fs::write(machine.tree.path().join("proc/devices"), text).unwrap();
    devices("Character devices:\n  1 mem\n511 vfio\n\nBlock devices:\n  7 loop\n");
    machine.doctor().stdout(expected).status(124).check();
    devices("Character devices:\n  1 mem\n\nBlock devices:\n  7 loop\n");
    machine.doctor().stdout("healthy: no task is inside the kernel's PCI core\n").check();
}

/// ACPI's worker lets go of two bridges at once that were removed meanwhile (raw-surprise-deadlock).
#[test]
fn a_worker_of_acpi_that_waits_for_itself_is_stuck() {
    let worker = [
        "__mutex_lock.constprop.0+0x2a1/0x4d0",
        "free_bridge+0x95/0x150",
        "free_bridge+0x12a/0x150",
        "acpiphp_hotplug_notify+0x103/0x290",
        "acpi_device_hotplug+0x9e/0x3c0",
        "acpi_hotplug_work_fn+0x3d/0x50",
    ];
    let of_acpi = |stack| Task { pid: 60, comm: "kworker/u4:5", command: &[], state: 'D', stack, files: &[] };
    Machine::new()
        .with(&of_acpi(&worker))
        .doctor()
        .stdout(format!(
            "\
stuck: a task waits for itself; every PCI removal, rescan and hotplug event on this machine waits for it
  kernel thread 60 (kworker/u4:5), switching a slot of a PCI device, waits for ACPI's lock of slots
  it waits for the lock that it has itself: a card came or went while the bridges above it were removed
  fix: {REBOOT}
stuck
"
        ))
        .status(124)
        .check();
    // One that has no second bridge in hand waits for another.
    Machine::new()
        .with(&of_acpi(&[worker[0], worker[1], worker[3]]))
        .doctor()
        .stdout(
            "\
busy: kernel thread 60 (kworker/u4:5), switching a slot of a PCI device, waits for ACPI's lock of slots
healthy: operations in progress are slow, not stuck
",
        )
        .check();
}

#[test]
fn the_other_cycles_are_told_apart() {
    let remove = file("remove");
    // D3: the port's interrupt thread is waited for, and waits.
    let remover = [
        "kthread_stop+0x62/0x1d0",
        "free_irq+0x1d8/0x350",
        "pciehp_remove+0x27/0x40",
        "pcie_port_remove_service+0x3d/0x50",
        "device_release_driver_internal+0x19a/0x200",
        "pci_device_remove+0x33/0xa0",
        "pci_stop_bus_device+0x6c/0x90",
        "pci_stop_and_remove_bus_device_locked+0x16/0x30",
        "remove_store+0x79/0x90",
    ];
    let thread = ["pciehp_unconfigure_device+0x3c/0x1a0", "pciehp_disable_slot+0x6b/0x100", "pciehp_ist+0x13c/0x1b0"];
    let irq = Task { pid: 60, comm: "irq/24-pciehp", command: &[], state: 'D', stack: &thread, files: &[] };
    Machine::new()
        .with(&echo(101, &remover, &remove))
        .with(&irq)
        .doctor()
        .stdout(format!(
            "\
stuck: a removal and a hotplug event below it wait for each other; every PCI removal, rescan and hotplug \
    event on this machine waits for it
  pid 101 (sh -c runbook), removing 0000:01:00.0, has the PCI core's mutex, waits for the thread of an \
    interrupt to end
  kernel thread 60 (irq/24-pciehp), switching a slot of a PCI device, waits for the PCI core's mutex
  the removal waits until irq/24-pciehp ends, and that waits for the removal
  fix: {REBOOT}
raw: pid 101 (sh -c runbook) {RAW}
stuck
"
        ))
        .status(124)
        .check();

    // D4: who changes the VFs of a device has its lock.
    let remover = [
        "device_release_driver_internal+0x25/0x200",
        "pci_stop_bus_device+0x6c/0x90",
        "pci_stop_and_remove_bus_device_locked+0x16/0x30",
        "remove_store+0x79/0x90",
    ];
    let changer = [
        "sriov_add_vfs+0x30/0x90",
        "sriov_enable+0x250/0x430",
        "nvme_sriov+0x1/0x2 [nvme]",
        "sriov_numvfs_store+0xbf/0x190",
        "kernfs_fop_write_iter+0x13b/0x1f0",
    ];
    let vfs = file("sriov_numvfs");
    Machine::new()
        .with(&echo(101, &remover, &remove))
        .with(&echo(102, &changer, &vfs))
        .doctor()
        .stdout(format!(
            "\
stuck: a removal and a change of VFs wait for each other; every PCI removal, rescan and hotplug event on this \
    machine waits for it
  pid 101 (sh -c runbook), removing 0000:01:00.0, has the PCI core's mutex, waits for the lock of a device
  pid 102 (sh -c runbook), changing the VFs of 0000:01:00.0, has a device's lock, waits for the PCI core's mutex
  the writer of /sys/devices/pci0000:00/0000:00:03.0/0000:01:00.0/sriov_numvfs has the lock of that device, \
    and the removal of it waits for that lock
  fix: {REBOOT}
raw: pid 101 (sh -c runbook) {RAW}
raw: pid 102 (sh -c runbook) {RAW}
stuck
"
        ))
        .status(124)
        .check();

    // S: the mutex is wanted inside itself.
    let own = [
        "sriov_del_vfs+0x20/0x90",
        "sriov_disable+0x37/0xd0",
        "nvme_remove+0x1/0x2 [nvme]",
        "pci_device_remove+0x33/0xa0",
        "device_release_driver_internal+0x19a/0x200",
        "pci_stop_and_remove_bus_device_locked+0x16/0x30",
        "remove_store+0x79/0x90",
    ];
    Machine::new()
        .with(&echo(101, &own, &remove))
        .doctor()
        .stdout(format!(
            "\
stuck: a task waits for itself; every PCI removal, rescan and hotplug event on this machine waits for it
  pid 101 (sh -c runbook), removing 0000:01:00.0, has the PCI core's mutex, waits for the PCI core's mutex
  it waits for the mutex that it has itself
  fix: {REBOOT}
raw: pid 101 (sh -c runbook) {RAW}
stuck
"
        ))
        .status(124)
        .check();

    let nvidia = [
        "nv_pci_remove_helper+0x11d/0x3e0 [nvidia]",
        "pci_device_remove+0x33/0xa0",
        "device_release_driver_internal+0x19a/0x200",
        "unbind_store+0xa1/0xb0",
    ];
    Machine::new()
        .with(&echo(101, &nvidia, &remove))
        .doctor()
        .stdout(format!(
            "\
stuck: the nvidia driver waits until its users are gone
  pid 101 (sh -c runbook), unbinding 0000:01:00.0, has a device's lock, waits for user space to let go of the \
    nvidia device
  fix: end what uses the device (nvidia-smi, lsof /dev/nvidia*, the persistence daemon); with some \
    versions of the driver only a reboot helps
raw: pid 101 (sh -c runbook) {RAW}
stuck
"
        ))
        .status(124)
        .check();
}

#[test]
fn what_is_no_proc_at_all_is_survived() {
    let machine = Machine::new();
    let proc = machine.tree.path().join("proc");
    for name in ["1", "2/task/2", "3/task/3", "4294967296/task/1", "x"] {
        fs::create_dir_all(proc.join(name)).unwrap();
    }
    fs::write(proc.join("2/task/2/stat"), b"2 (\xff) D").unwrap();
    fs::write(proc.join("2/task/2/stack"), b"[<0>\n[<0>] \n\xff\xff [x\n").unwrap();
    fs::write(proc.join("3/task/3/stat"), "3 no parentheses").unwrap();
    machine.doctor().stdout("healthy: no task is inside the kernel's PCI core\n").check();
}
