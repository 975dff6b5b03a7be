//! What was left behind, on machines that are not stuck.

use super::*;

#[test]
fn leftovers_are_listed_with_what_helps() {
    let machine = Machine::new();
    fs::write(machine.tree.path().join("sys/bus/pci/drivers_autoprobe"), "0\n").unwrap();
    machine
        .doctor()
        .stdout(
            "\
warning: drivers_autoprobe is off: devices that come get no driver
  fix: echo 1 > /sys/bus/pci/drivers_autoprobe
healthy, with warnings
",
        )
        .status(1)
        .check();
}

#[test]
fn a_line_of_the_sites_list_that_protects_nothing_is_listed() {
    let machine = Machine::new();
    let list = machine.tree.path().join("etc/pcictl/protected.d");
    fs::create_dir_all(&list).unwrap();
    fs::write(list.join("site.conf"), "0000:77:00.0 the storage team's\n").unwrap();
    machine
        .doctor()
        .stdout(
            "\
warning: @/etc/pcictl/protected.d/site.conf:1: protects nothing: no device matches 0000:77:00.0 (the storage team's)
  fix: correct the line, or remove it if that device is gone for good
healthy, with warnings
",
        )
        .status(1)
        .check();
}

#[test]
fn a_function_without_its_driver_is_left_over_unless_somebody_is_at_work_on_it() {
    let machine = Machine { tree: Tree::load("guest-switch8") };
    let root = machine.tree.path();
    for (path, text) in [
        ("proc/self/stack", ""),
        ("proc/sys/kernel/osrelease", "6.12.0-test\n"),
        (
            "lib/modules/6.12.0-test/modules.alias",
            "alias pci:v00001234d000011E8sv*sd*bc*sc*i* slowpci\n\
             alias pci:v00008086d000029C0sv*sd*bc06sc00i00* intel_agp\n",
        ),
    ] {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    }
    fs::create_dir_all(root.join("sys/module/slowpci/drivers/pci:slowpci")).unwrap();
    // A driver of host bridges, which has declined this machine's.
    fs::create_dir_all(root.join("sys/module/intel_agp/drivers/pci:agpgart-intel")).unwrap();
    machine.doctor().stdout("healthy: no task is inside the kernel's PCI core\n").check();

    let device = machine.tree.device("0000:03:00.0");
    fs::remove_file(device.join("driver")).unwrap();
    machine
        .doctor()
        .stdout(
            "\
warning: 0000:03:00.0: has no driver, and module slowpci is loaded and has one for it
  fix: echo 0000:03:00.0 > /sys/bus/pci/drivers_probe, if nobody keeps it unbound on purpose
healthy, with warnings
",
        )
        .status(1)
        .check();

    machine.with(&slow_unbind(&[UNBIND.to_owned()])).doctor().stdout(SLOW_UNBIND_TOLD).check();
}
