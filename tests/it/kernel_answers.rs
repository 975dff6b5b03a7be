//! The kernel made of files answers as the real one does: the list of a guest case (tests/guest/cases/kernel-answers.sh),
//! which real kernels are asked, is gone through here as well.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use pcictl::pci::address::PciAddress;
use pcictl::plan::action::Action;

use crate::support::dump::Order;
use crate::support::fake::{Comes, FakeKernel, Fault, Script};
use crate::support::{Tree, load_dump, repository};

const EDU: &str = "0000:02:00.0";
const PF: &str = "0000:01:00.0";

#[test]
fn the_fake_kernel_answers_as_real_ones_do() {
    let case = repository().join("tests/guest/cases/kernel-answers.sh");
    let case = fs::read_to_string(case).unwrap();
    let (_, list) = case.split_once("<<ANSWERS\n").unwrap();
    let (list, _) = list.split_once("ANSWERS\n").unwrap();

    let dump = Rc::new(load_dump("guest-sriov"));
    let tree = Rc::new(Tree::unpack(&dump, Order::FirstFirst));
    let script = Rc::new(RefCell::new(Script::new(Fault::None, 0, Comes::Same)));
    let kernel = FakeKernel::new(Rc::clone(&tree), dump, script);
    let mut asked = 0;
    for line in list.lines() {
        let [write, who, value, wanted, then] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let address: PciAddress = if who == "edu" { EDU } else { PF }.parse().unwrap();
        let driver = value.to_owned();
        let action = match write {
            "unbind" => Action::Unbind { address, driver, driver_override: None },
            "bind" => Action::Bind { address, driver },
            "remove" => Action::Remove { address },
            "rescan" => Action::RescanAll,
            "vfs" => Action::set_vfs(address, value.parse().unwrap(), 0, false),
            other => panic!("{other}"),
        };
        let answer = match kernel.write(&action) {
            Ok(()) => "ok".to_owned(),
            Err(errno) => format!("{errno:?}"),
        };
        let device = tree.path().join("sys/bus/pci/devices").join(address.to_string());
        let came = if write == "vfs" { vfs_of(&device).to_string() } else { state(&device) };
        assert_eq!(format!("{answer} {came}"), format!("{wanted} {then}"), "{line}");
        asked += 1;
    }
    assert!(asked > 15, "{asked} questions");
}

fn state(device: &Path) -> String {
    if !device.exists() {
        return "gone".to_owned();
    }
    let driver = fs::read_link(device.join("driver"));
    driver.map_or("none".to_owned(), |link| link.file_name().unwrap().to_str().unwrap().to_owned())
}

fn vfs_of(device: &Path) -> usize {
    let entries = fs::read_dir(device).unwrap().flatten();
    entries.filter(|entry| entry.file_name().to_str().unwrap().starts_with("virtfn")).count()
}
