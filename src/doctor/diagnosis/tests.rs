use std::slice::from_ref;

use crate::doctor::diagnosis::{Diagnosis, Finding, REBOOT, Stuck, Trouble, is_written};
use crate::doctor::task::{Frame, Snapshot, Task, VfioUser};
use crate::host::procfs::ProcessRef;

/// Its parent is a port, so that a file of it names two devices.
const DEVICE: &str = "devices/pci0000:00/0000:00:03.0/0000:01:00.0";

const VFIO: &str = "vfio_unregister_group_dev vfio_pci_remove pci_device_remove";

fn stack(functions: &str) -> Vec<Frame> {
    functions.split(' ').map(|function| Frame { function: function.to_owned(), module: None }).collect()
}

fn files(of_device: &str) -> Vec<String> {
    vec![format!("{DEVICE}{of_device}")]
}

/// A shell that stands still in these functions, the innermost first, and has a file of the device open.
fn task(tid: u32, functions: &str, file: &str) -> Task {
    Task {
        pid: tid,
        tid,
        comm: "sh".to_owned(),
        command: "sh -c runbook".to_owned(),
        state: 'D',
        wchan: None,
        stack: stack(functions),
        files: files(file),
        under_pcictl: false,
        still: true,
        seconds: None,
    }
}

fn remover(functions: &str) -> Task {
    task(101, &format!("{functions} pci_stop_and_remove_bus_device_locked remove_store"), "/remove")
}

fn diagnose(tasks: &[Task]) -> Diagnosis {
    Diagnosis::of(&Snapshot { tasks: tasks.to_vec(), ..Snapshot::default() })
}

fn only(diagnosis: &Diagnosis) -> &Stuck {
    let [stuck] = &diagnosis.stuck[..] else { panic!("{:?}", diagnosis.stuck) };
    stuck
}

fn troubles(tasks: &[Task]) -> Vec<(Trouble, Vec<u32>)> {
    diagnose(tasks).stuck.into_iter().map(|stuck| (stuck.trouble, stuck.members)).collect()
}

/// What is said of one task, after a change of it.
fn finding(change: impl FnOnce(&mut Task)) -> Finding {
    let mut task = task(101, "dev_rescan_store kernfs_fop_write_iter", "/rescan");
    change(&mut task);
    diagnose(&[task]).tasks.remove(0)
}

/// What it is about, and a change by which that alone is different.
type Change<T> = (&'static str, fn(&mut T));

/// Healthy tasks show nearly all signs of a cycle, and who is told of one reboots: each sign must count.
fn is_cycle_by_all_signs(trouble: Trouble, pair: &[Task; 2], signs: &[Change<[Task; 2]>]) {
    let diagnosis = diagnose(pair);
    let stuck = only(&diagnosis);
    assert_eq!((stuck.trouble, &stuck.members[..]), (trouble, &[101, 102][..]));
    assert!(stuck.blocks_all && stuck.helps == REBOOT && stuck.evidence.len() == 3, "{stuck:?}");
    for (sign, take_away) in signs {
        let mut pair = pair.clone();
        take_away(&mut pair);
        assert_eq!(troubles(&pair), [], "without this: {sign}");
    }
}

#[test]
fn a_removal_and_a_write_below_it_are_a_cycle_by_all_signs_only() {
    let writer = task(102, "dev_rescan_store kernfs_fop_write_iter", "/0000:02:01.0/rescan");
    let signs: &[Change<[Task; 2]>] = &[
        ("the remover stands still", |pair| pair[0].still = false),
        ("it has the mutex", |pair| pair[0].stack = stack("kernfs_drain remove_store")),
        ("it waits for files", |pair| pair[0].stack = remover("msleep").stack),
        ("it writes to `remove`", |pair| pair[0].files = files("/rescan")),
        ("the writer stands still", |pair| pair[1].still = false),
        ("it is in its file", |pair| pair[1].stack = stack("dev_rescan_store vfs_write")),
        ("it waits for the mutex", |pair| pair[1].stack = stack("msleep kernfs_fop_write_iter")),
        ("its file is below", |pair| pair[1].files = vec!["devices/pci0000:00/0000:00:04.0/rescan".to_owned()]),
        ("its file is no longer name", |pair| pair[1].files = files("1/rescan")),
    ];
    is_cycle_by_all_signs(Trouble::RemoveAgainstFile, &[remover("kernfs_drain"), writer], signs);
}

#[test]
fn a_removal_and_the_interrupt_thread_of_a_port_are_a_cycle_by_all_signs_only() {
    let irq = Task {
        comm: "irq/24-pciehp".to_owned(),
        command: String::new(),
        files: Vec::new(),
        ..task(102, "pciehp_unconfigure_device pciehp_disable_slot pciehp_ist", "")
    };
    let signs: &[Change<[Task; 2]>] = &[
        ("the remover stands still", |pair| pair[0].still = false),
        ("it has the mutex", |pair| pair[0].stack = stack("kthread_stop free_irq pciehp_remove remove_store")),
        ("it waits for a thread", |pair| pair[0].stack = remover("msleep pciehp_remove").stack),
        ("it stops hotplug", |pair| pair[0].stack = remover("kthread_stop free_irq nvme_remove").stack),
        ("the thread stands still", |pair| pair[1].still = false),
        ("it waits for the mutex", |pair| pair[1].stack = stack("msleep pciehp_ist")),
        ("it is of hotplug", |pair| pair[1].stack = stack("pci_lock_rescan_remove irq_thread")),
        ("it is of an interrupt", |pair| pair[1].comm = "kworker/0:1".to_owned()),
    ];
    // Kernels differ in which of these is on the stack.
    for function in ["pciehp_remove", "pcie_port_device_remove", "pciehp_release_ctrl"] {
        let remover = remover(&format!("kthread_stop free_irq {function}"));
        is_cycle_by_all_signs(Trouble::RemoveAgainstHotplug, &[remover, irq.clone()], signs);
    }
}

#[test]
fn a_removal_and_a_change_of_vfs_are_a_cycle_by_all_signs_only() {
    let changer = task(102, "sriov_add_vfs sriov_numvfs_store kernfs_fop_write_iter", "/sriov_numvfs");
    let signs: &[Change<[Task; 2]>] = &[
        ("the remover stands still", |pair| pair[0].still = false),
        ("it has the mutex", |pair| pair[0].stack = stack("device_release_driver_internal remove_store")),
        ("it waits for a device's lock", |pair| pair[0].stack = remover("msleep").stack),
        ("it writes to `remove`", |pair| pair[0].files = files("/rescan")),
        ("the changer stands still", |pair| pair[1].still = false),
        ("it changes VFs", |pair| pair[1].stack = stack("sriov_add_vfs kernfs_fop_write_iter")),
        ("it waits for the mutex", |pair| pair[1].stack = stack("msleep sriov_numvfs_store")),
        ("its file is below", |pair| pair[1].files = files("1/sriov_numvfs")),
    ];
    let remover = remover("device_release_driver_internal");
    is_cycle_by_all_signs(Trouble::RemoveAgainstVfs, &[remover, changer], signs);
}

#[test]
fn a_task_waits_for_itself_if_it_has_what_it_waits_for() {
    let cases = [
        ("sriov_del_vfs pci_stop_and_remove_bus_device_locked remove_store", true),
        ("sriov_del_vfs remove_store", false),
        ("msleep pci_stop_and_remove_bus_device_locked remove_store", false),
        // Who frees one bridge waits for another task, and who frees two and sleeps elsewhere has the lock.
        ("free_bridge acpiphp_hotplug_notify acpi_device_hotplug acpi_hotplug_work_fn", false),
        ("free_bridge free_bridge acpiphp_hotplug_notify", true),
        ("free_bridge free_bridge free_bridge acpiphp_hotplug_notify", true),
        ("msleep free_bridge free_bridge acpiphp_hotplug_notify", false),
    ];
    for (functions, is_stuck) in cases {
        let task = task(101, functions, "/remove");
        let diagnosis = diagnose(from_ref(&task));
        let expected = is_stuck.then(|| (Trouble::AgainstItself, vec![101]));
        assert_eq!(troubles(from_ref(&task)), Vec::from_iter(expected), "{functions}");
        let is_final = |stuck: &Stuck| stuck.blocks_all && stuck.helps == REBOOT && stuck.evidence.len() == 2;
        assert!(diagnosis.stuck.iter().all(is_final), "{diagnosis:?}");
        assert_eq!(troubles(&[Task { still: false, ..task }]), [], "{functions}");
    }
}

#[test]
fn who_waits_for_vfio_is_told_as_many_users_as_can_be_seen() {
    let user = |pid: u32| {
        let process = ProcessRef { pid, uid: None, command: "qemu".to_owned() };
        VfioUser { process, nodes: vec!["/dev/vfio/12".to_owned(), "anon_inode:[vfio-device]".to_owned()] }
    };
    let one = "pid 500 (qemu) has /dev/vfio/12, anon_inode:[vfio-device] open";
    let other = "pid 501 (qemu) has /dev/vfio/12, anon_inode:[vfio-device] open";
    let unseen = "end the process that has the vfio device open; it cannot be seen from here";
    let known = "end that process, or let it close the device; then this goes on by itself";
    let several = "end the one of these processes that has the device, or let it close it; then this goes on by itself";
    // The waiter is 101: what it has open itself is not what it waits for.
    let cases: [(&[u32], &[&str], &str); 4] = [
        (&[], &[], unseen),
        (&[101], &[], unseen),
        (&[101, 500], &[one], known),
        (&[500, 501], &[one, other], several),
    ];
    for (users, evidence, helps) in cases {
        let tasks = vec![task(101, VFIO, "/remove")];
        let vfio_users = users.iter().map(|pid| user(*pid)).collect();
        let diagnosis = Diagnosis::of(&Snapshot { tasks, vfio_users, sees_stacks: true });
        let stuck = only(&diagnosis);
        assert_eq!((stuck.trouble, &stuck.members[..]), (Trouble::Vfio, &[101][..]));
        assert_eq!(stuck.evidence[1..], *evidence);
        assert_eq!(stuck.helps, helps);
    }
}

#[test]
fn who_waits_for_users_blocks_all_only_with_the_mutex() {
    for (functions, trouble) in [(VFIO, Trouble::Vfio), ("nv_pci_remove pci_device_remove", Trouble::Nvidia)] {
        for (task, blocks_all) in [(remover(functions), true), (task(101, functions, "/remove"), false)] {
            let diagnosis = diagnose(from_ref(&task));
            let stuck = only(&diagnosis);
            assert_eq!((stuck.trouble, stuck.blocks_all), (trouble, blocks_all));
            assert!(stuck.helps.starts_with("end ") && !stuck.helps.contains("sysrq"), "{}", stuck.helps);
            assert_eq!(troubles(&[Task { still: false, ..task }]), []);
        }
    }
}

#[test]
fn behind_a_blocked_mutex_stands_who_waits_for_it_and_is_no_member() {
    let waiter = |tid: u32, file: &str| task(tid, "dev_rescan_store kernfs_fop_write_iter", file);
    let harmless = task(100, VFIO, "/remove");
    let slow = Task { files: Vec::new(), ..task(106, "msleep slow_remove pci_device_remove", "") };
    let others =
        [harmless, waiter(102, "/0000:02:01.0/rescan"), waiter(103, "1/rescan"), waiter(104, "2/rescan"), slow];
    // Without a blocked mutex they wait for somebody who goes on.
    let diagnosis = diagnose(&others);
    assert_eq!((diagnosis.stuck.len(), diagnosis.blocking(), diagnosis.behind()), (1, None, 0));
    let diagnosis = diagnose(&[&others[..], &[remover("kernfs_drain")]].concat());
    assert_eq!(diagnosis.blocking().unwrap().members, [101, 102]);
    assert_eq!((diagnosis.stuck.len(), diagnosis.behind()), (2, 2));
}

#[test]
fn raw_is_a_write_by_hand_past_the_locks() {
    assert!(finding(|_| ()).raw);
    let not_raw: [Change<Task>; 5] = [
        ("hotplug", |task| task.stack = stack("pciehp_disable_slot kernfs_fop_write_iter")),
        ("no work on a device", |task| task.stack = stack("pci_read_config kernfs_fop_read_iter")),
        ("a thread of the kernel", |task| task.command.clear()),
        ("under the locks", |task| task.under_pcictl = true),
        ("what changes no device", |task| task.files = files("/config")),
    ];
    for (what, change) in not_raw {
        assert!(!finding(change).raw, "{what}");
    }
    let names = ["remove", "rescan", "unbind", "bind", "drivers_probe", "sriov_numvfs", "reset", "power"];
    assert!(names.iter().all(|name| is_written(&format!("{DEVICE}/{name}")) && is_written(name)));
    // The directory is no file, whatever its name.
    assert!(["", "remove/", "reset/x", "reset_method", "vendor"].iter().all(|name| !is_written(name)));
}

#[test]
fn the_device_is_that_of_the_own_write_or_of_a_file_that_is_written() {
    let device = |command: &str, files: &[&str]| {
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        let finding = finding(|task| (task.command, task.files) = (command.to_owned(), files));
        finding.device.map(|device| device.to_string()).unwrap_or_default()
    };
    let (unbind, remove) = ("bus/pci/drivers/nvme/unbind", format!("{DEVICE}/remove"));
    let one = "pcictl kernel-write /sys/bus/pci/drivers/nvme/unbind 0000:03:00.0";
    assert_eq!(device("sh -c runbook", &[&remove]), "0000:01:00.0");
    assert_eq!(device("sh -c runbook", &["devices/pci0000:00/0000:00:04.0/config", &remove]), "0000:01:00.0");
    assert_eq!(device("sh -c runbook", &["devices/pci0000:00/0000:00:04.0/config"]), "");
    assert_eq!(device(one, &[unbind, &remove]), "0000:03:00.0");
    assert_eq!(device("pcictl kernel-write", &[unbind, &remove]), "0000:01:00.0");
    // Only pcictl's writer says in its command line what it writes.
    assert_eq!(device("sh unbind 0000:03:00.0", &[unbind, &remove]), "0000:01:00.0");
    // Which of several writes is this thread's is not known here.
    let two = format!("{one} (77), /sys/bus/pci/drivers/nvme/unbind 0000:04:00.0 (78)");
    assert_eq!(device(&two, &[unbind]), "");
}

#[test]
fn a_finding_says_what_it_has_and_what_it_waits_for() {
    let said = |functions: &str, file: &str| diagnose(&[task(101, functions, file)]).tasks[0].in_words();
    let ways = [
        ("kernfs_drain pci_stop_and_remove_bus_device_locked remove_store", ", has the PCI core's mutex"),
        (
            "kernfs_drain device_release_driver_internal pci_stop_and_remove_bus_device_locked remove_store",
            ", has the PCI core's mutex",
        ),
        ("kernfs_drain device_release_driver_internal remove_store", ", has a device's lock"),
        ("kernfs_drain remove_store", ""),
    ];
    for (functions, has) in ways {
        let waits = "waits for others to leave the sysfs files of the device";
        assert_eq!(said(functions, "/remove"), format!("pid 101 (sh -c runbook), removing 0000:01:00.0{has}, {waits}"));
    }
    assert!(said("kernfs_drain remove_store", "/config").contains("removing a PCI device, waits for"));
}
