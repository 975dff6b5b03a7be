//! The doctor on made /proc trees: what it claims, what it does not, and with which status it ends. The stacks are those of
//! guests (6.1, 6.12) in which it happened; those of D3, D4 and nvidia follow the kernel's sources.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use support::{Tree, pcictl, scratch_directory};

const UPSTREAM: &str = "devices/pci0000:00/0000:00:03.0/0000:01:00.0";

/// The innermost first, as /proc shows it.
const REMOVER_DRAINS: &[&str] = &[
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

/// A machine whose /proc says what a test wants.
struct Machine {
    tree: Tree,
}

struct Task<'a> {
    pid: u32,
    comm: &'a str,
    command: &'a [&'a str],
    state: char,
    stack: &'a [&'a str],
    files: &'a [String],
}

impl Machine {
    fn new() -> Self {
        Self { tree: Tree::parse("sys/bus/pci/devices:\nsys/class:\nproc/self:\n  stack =\n") }
    }

    fn with(self, task: &Task) -> Self {
        let process = self.tree.path().join(format!("proc/{}", task.pid));
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
        self
    }

    /// What it prints, and its status.
    fn doctor(&self) -> (String, i32) {
        let run = scratch_directory();
        let root = self.tree.path().to_str().unwrap();
        let output = pcictl(["doctor", "--color", "never", "--sysroot", root], run.path()).output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
    }
}

fn echo<'a>(pid: u32, stack: &'a [&'a str], files: &'a [String]) -> Task<'a> {
    Task { pid, comm: "sh", command: &["sh", "-c", "runbook"], state: 'D', stack, files }
}

const UNBIND: &str = "/sys/bus/pci/drivers/slowpci/unbind";

/// pcictl's own process, which waits for a slow driver.
fn slow_unbind(files: &[String]) -> Task<'_> {
    let command = &["pcictl", "kernel-write", UNBIND, "0000:03:00.0", "do-0", "3,4"];
    Task { pid: 77, comm: "pcictl-write", command, state: 'D', stack: SLOW_UNBIND, files }
}

fn file(path: &str) -> [String; 1] {
    [format!("/sys/{UPSTREAM}/{path}")]
}

#[test]
fn nobody_at_work_is_healthy() {
    let sleeper =
        Task { pid: 9, comm: "dd", command: &["dd"], state: 'D', stack: &["folio_wait_bit+0x1/0x2"], files: &[] };
    let (out, status) = Machine::new().with(&sleeper).doctor();
    assert_eq!((out.as_str(), status), ("healthy: nobody is inside the kernel's PCI core\n", 0));
}

#[test]
fn a_removal_above_a_rescan_is_a_proven_cycle_and_only_a_reboot_helps() {
    let (above, below) = (file("remove"), file("0000:02:01.0/rescan"));
    let elsewhere = ["/sys/devices/pci0000:00/0000:00:04.0/remove".to_owned()];
    let (out, status) = Machine::new()
        .with(&echo(101, REMOVER_DRAINS, &above))
        .with(&echo(102, RESCANNER_WAITS, &below))
        .with(&echo(103, &["pci_stop_and_remove_bus_device_locked+0x12/0x30", "remove_store+0x79/0x90"], &elsewhere))
        .doctor();
    assert_eq!(status, 124);
    for line in [
        "stuck: a removal and a write below it wait for each other; every PCI removal, rescan and hotplug event of this \
         machine waits for that (1 do already)\n",
        "  pid 101 (sh -c runbook), removing 0000:01:00.0, has the PCI core's mutex, waits for others to leave the sysfs \
         files of the device\n",
        "  pid 102 (sh -c runbook), rescanning 0000:02:01.0, waits for the PCI core's mutex\n",
        "  what helps: nothing but a reboot ends this.",
        "busy: pid 103 (sh -c runbook), removing 0000:00:04.0, waits for the PCI core's mutex\n",
        "raw: pid 101 (sh -c runbook) writes to the kernel past pcictl's locks",
    ] {
        assert!(out.contains(line), "no {line:?} in:\n{out}");
    }
}

#[test]
fn the_same_functions_without_the_same_place_prove_nothing() {
    let (above, beside) = (file("remove"), ["/sys/devices/pci0000:00/0000:00:04.0/rescan".to_owned()]);
    let machine = || Machine::new().with(&echo(101, REMOVER_DRAINS, &above));
    let (out, status) = machine().with(&echo(102, RESCANNER_WAITS, &beside)).doctor();
    assert_eq!(status, 0, "{out}");
    // A name that only begins the same is no place below.
    let longer = [format!("/sys/{UPSTREAM}1/rescan")];
    assert_eq!(machine().with(&echo(102, RESCANNER_WAITS, &longer)).doctor().1, 0);
}

#[test]
fn a_slow_driver_is_named_and_is_not_stuck() {
    let (out, status) = Machine::new().with(&slow_unbind(&[UNBIND.to_owned()])).doctor();
    assert_eq!(status, 0);
    assert!(
        out.contains("unbinding 0000:03:00.0, has a device's lock, waits for driver slowpci to stop the device"),
        "{out}"
    );
    assert!(out.ends_with("healthy: what is under way is slow at most\n"), "{out}");
    assert!(!out.contains("raw:"), "{out}");
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
    let (out, status) = Machine::new().with(&waiter).with(&guest).doctor();
    assert_eq!(status, 124);
    assert!(out.contains("pid 500 (qemu -name vm1) has /dev/vfio/12, anon_inode:[vfio-device] open"), "{out}");
    assert!(out.contains("what helps: end that process, or let it close the device"), "{out}");
    assert!(!out.contains("every PCI removal"), "{out}");
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
    let (out, status) = Machine::new().with(&echo(101, &remover, &remove)).with(&irq).doctor();
    assert_eq!(status, 124, "{out}");
    assert!(out.contains("a removal and a hotplug event below it wait for each other"), "{out}");

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
    let (out, status) = Machine::new().with(&echo(101, &remover, &remove)).with(&echo(102, &changer, &vfs)).doctor();
    assert_eq!(status, 124, "{out}");
    assert!(out.contains("a removal and a change of VFs wait for each other"), "{out}");

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
    let (out, status) = Machine::new().with(&echo(101, &own, &remove)).doctor();
    assert_eq!(status, 124, "{out}");
    assert!(out.contains("a task waits for itself"), "{out}");

    let nvidia = [
        "nv_pci_remove_helper+0x11d/0x3e0 [nvidia]",
        "pci_device_remove+0x33/0xa0",
        "device_release_driver_internal+0x19a/0x200",
        "unbind_store+0xa1/0xb0",
    ];
    let (out, status) = Machine::new().with(&echo(101, &nvidia, &remove)).doctor();
    assert_eq!(status, 124, "{out}");
    assert!(out.contains("the nvidia driver waits until its users are gone"), "{out}");
}

#[test]
fn leftovers_are_listed_with_what_helps() {
    let machine = Machine::new();
    fs::write(machine.tree.path().join("sys/bus/pci/drivers_autoprobe"), "0\n").unwrap();
    let (out, status) = machine.doctor();
    assert_eq!(status, 5);
    assert!(out.contains("leftover: drivers_autoprobe is off"), "{out}");
    assert!(out.contains("echo 1 > /sys/bus/pci/drivers_autoprobe"), "{out}");
}

#[test]
fn a_function_without_its_driver_is_left_over_unless_somebody_is_at_work_on_it() {
    let machine = Machine { tree: Tree::load("guest-switch8") };
    let root = machine.tree.path();
    for (path, text) in [
        ("proc/self/stack", ""),
        ("proc/sys/kernel/osrelease", "6.12.0-test\n"),
        ("lib/modules/6.12.0-test/modules.alias", "alias pci:v00001234d000011E8sv*sd*bc*sc*i* slowpci\n"),
    ] {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    }
    fs::create_dir_all(root.join("sys/module/slowpci/drivers/pci:slowpci")).unwrap();
    assert_eq!(machine.doctor().1, 0);

    let device = machine.tree.device("0000:03:00.0");
    fs::remove_file(device.join("driver")).unwrap();
    let (out, status) = machine.doctor();
    assert_eq!(status, 5, "{out}");
    assert!(out.contains("0000:03:00.0: has no driver, and module slowpci is loaded and has one for it"), "{out}");
    assert!(out.contains("echo 0000:03:00.0 > /sys/bus/pci/drivers_probe"), "{out}");

    let (out, status) = machine.with(&slow_unbind(&[UNBIND.to_owned()])).doctor();
    assert_eq!(status, 0, "{out}");
    assert!(!out.contains("leftover"), "{out}");
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
    assert_eq!(machine.doctor().1, 0);
    assert!(Path::new(machine.tree.path()).exists());
}
