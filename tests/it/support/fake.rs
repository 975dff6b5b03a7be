//! A kernel made of files: it does to an unpacked tree what the real one does to /sys, and can be told to fail.
//!
//! It knows what it has: which driver has which function, what was removed, how many VFs are on. It answers as
//! drivers/base/bus.c and drivers/pci/pci-sysfs.c do, and asserts what must never be asked of them: nobody removes a
//! function whose driver was not stopped, or what is above one that is at work.

mod arrival;
pub mod vf_settings;

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use pcictl::execute::executor::{Event, StepRunner};
use pcictl::host::sysfs::Sysfs;
use pcictl::pci::address::PciAddress;
use pcictl::plan::action::{Action, Attention, Step, StepRef};
use pcictl::plan::step_state::{interpret_result, is_done};

use super::Tree;
use super::dump::{Dump, Node};

/// What goes wrong, and at which of the kernel's calls, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The write cannot even be begun.
    NotBegun(Errno),
    /// The kernel says no, and did nothing.
    Refused(Errno),
    /// The device goes away before the write reaches it.
    Vanished,
    /// The writer is killed before it writes.
    KilledBefore,
    /// The writer is killed when the kernel is done, and nobody hears.
    KilledAfter,
    /// Somebody interrupts while the kernel is at it.
    Interrupted,
    /// Somebody interrupts when this write is the next one.
    InterruptedBefore,
    /// pcictl is killed before the write.
    CrashBefore,
    /// pcictl is killed when the kernel is done.
    CrashAfter,
}

/// What a scan finds where something was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comes {
    /// The device, as the kernel makes it: without VFs and overrides, its settings at their defaults.
    Same,
    /// The device, once so many scans have found nothing.
    Late(usize),
    /// A device with other IDs.
    Another,
}

/// What stands for SIGKILL: the program ends here, and what it held is let go.
pub struct Crash;

/// The machine, and what is to go wrong with it.
pub struct FakeKernel {
    tree: Rc<Tree>,
    dump: Rc<Dump>,
    state: Rc<RefCell<Script>>,
    running: VecDeque<(usize, StepRef, Step, Fault)>,
}

/// What somebody else does right after a call.
pub type Meanwhile = Box<dyn Fn(&FakeKernel)>;

/// What is to happen, and what did.
pub struct Script {
    pub fault: Fault,
    pub at: usize,
    pub comes: Comes,
    pub calls: usize,
    /// How often it was scanned, be it by a slot that was switched on.
    pub scans: usize,
    /// Every write that was made, as `VALUE > FILE`.
    pub writes: Vec<String>,
    /// Every function that was removed.
    pub removed: BTreeSet<String>,
    pub meanwhile: Option<(usize, Meanwhile)>,
    /// Somebody has asked to stop, and that stays so.
    pub is_interrupted: bool,
    /// Functions are reset with their drivers at work.
    pub keeps_drivers: bool,
}

impl Script {
    pub fn new(fault: Fault, at: usize, comes: Comes) -> Self {
        Self {
            fault,
            at,
            comes,
            calls: 0,
            scans: 0,
            writes: Vec::new(),
            removed: BTreeSet::new(),
            meanwhile: None,
            is_interrupted: false,
            keeps_drivers: false,
        }
    }
}

impl FakeKernel {
    pub fn new(tree: Rc<Tree>, dump: Rc<Dump>, state: Rc<RefCell<Script>>) -> Self {
        Self { tree, dump, state, running: VecDeque::new() }
    }

    fn sysfs(&self) -> Sysfs {
        Sysfs::open(Some(self.tree.path())).expect("the tree")
    }

    pub fn sys(&self, path: &str) -> PathBuf {
        self.tree.path().join("sys").join(path)
    }

    fn device(&self, address: PciAddress) -> PathBuf {
        self.sys(&format!("bus/pci/devices/{address}"))
    }

    fn is_there(&self, address: PciAddress) -> bool {
        self.device(address).is_symlink()
    }

    /// Makes a write, and answers as the kernel does.
    pub fn write(&self, action: &Action) -> Result<(), Errno> {
        match action {
            Action::Unbind { address, driver, .. } => self.unbind(*address, driver),
            Action::Bind { address, driver } => self.bind(*address, driver),
            Action::Remove { address } => self.remove(*address),
            // Whatever it finds, dev_rescan_store answers that all is well.
            Action::Rescan { .. } | Action::RescanAll => {
                let _ = self.scan();
                Ok(())
            }
            Action::SetVfs { address, count, .. } | Action::CreateVfs { address, count, .. } => {
                self.set_vfs(*address, *count)
            }
            Action::Override { address, driver, .. } => {
                // As the kernel prints a null pointer.
                self.set(*address, "driver_override", if driver.is_empty() { "(null)" } else { driver })
            }
            Action::Set { address, file, value, .. } => self.set(*address, file, value),
            Action::SetVf { address, setting, .. } => self.set_vf(*address, *setting),
            Action::Probe { address, .. } => self.probe(*address),
            Action::Reset { address, .. } => self.reset(&self.device(*address), "reset"),
            Action::ResetBelow { address } => self.reset(&self.device(*address), "reset_subordinate"),
            Action::SlotPower { slot, on, .. } => self.power(slot, *on),
            Action::SlotAttention { slot, value, .. } => self.attention(slot, *value),
        }
    }

    /// A file of the function takes what is written to it.
    fn set(&self, address: PciAddress, file: &str, value: &str) -> Result<(), Errno> {
        let path = self.device(address).join(file);
        if !path.is_file() {
            return Err(Errno::ENOENT);
        }
        fs::write(path, format!("{value}\n")).map_err(|_| Errno::EIO)
    }

    /// A function without a driver gets the one that takes it, if any does.
    fn probe(&self, address: PciAddress) -> Result<(), Errno> {
        if !self.is_there(address) {
            return Err(Errno::ENODEV);
        }
        let Some(driver) = self.override_of(address).or_else(|| self.usual_driver(address)) else { return Ok(()) };
        if self.device(address).join("driver").is_symlink() || !self.may_probe(address) {
            return Ok(());
        }
        self.bind(address, &driver)
    }

    fn override_of(&self, address: PciAddress) -> Option<String> {
        let text = fs::read_to_string(self.device(address).join("driver_override")).ok()?;
        Some(text.trim()).filter(|text| !text.is_empty() && *text != "(null)").map(str::to_owned)
    }

    /// The driver that a function has of itself: the one that it had when all was well, or, where that took an override,
    /// the one of its like.
    fn usual_driver(&self, address: PciAddress) -> Option<String> {
        if !self.original_override(address) {
            return self.original_driver(address);
        }
        let modalias = |path: &Path| match self.dump.0.get(&path.join("modalias")) {
            Some(Node::File { content, .. }) => Some(content.clone()),
            _ => None,
        };
        let own = modalias(&self.original_directory(address)?);
        let devices = self.sys("bus/pci/devices");
        let others = fs::read_dir(devices)
            .expect("devices")
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<PciAddress>().ok());
        let alike = |other: &PciAddress| {
            !self.original_override(*other) && self.original_directory(*other).and_then(|path| modalias(&path)) == own
        };
        others.filter(alike).find_map(|other| self.original_driver(other))
    }

    /// pci_device_can_probe in drivers/pci/pci-driver.c.
    fn may_probe(&self, address: PciAddress) -> bool {
        let device = self.device(address);
        let autoprobe = fs::read_to_string(device.join("physfn/sriov_drivers_autoprobe"));
        autoprobe.map_or(true, |text| text.trim() == "1") || self.override_of(address).is_some()
    }

    /// What is reset is not at work, unless that was asked for.
    fn reset(&self, device: &Path, file: &str) -> Result<(), Errno> {
        if !device.join(file).is_file() {
            return Err(Errno::ENOENT);
        }
        let bound = |path: &PathBuf| path.join("driver").is_symlink();
        let top = device.canonicalize().expect("there");
        if self.state.borrow().keeps_drivers {
            return Ok(());
        }
        assert!(file != "reset" || !bound(&top), "{} is reset at work", top.display());
        assert!(!any_below(&top, &bound), "something below {} is reset at work", top.display());
        Ok(())
    }

    /// The slot's power changes only from the other state, as in pciehp_sysfs_enable_slot; and nobody takes it from a
    /// device that is at work.
    fn power(&self, slot: &str, on: bool) -> Result<(), Errno> {
        let directory = self.sys(&format!("bus/pci/slots/{slot}"));
        let read = |file: &str| fs::read_to_string(directory.join(file)).map_err(|_| Errno::ENOENT);
        if read("power")?.trim() == if on { "1" } else { "0" } {
            return Err(Errno::ENODEV);
        }
        let set = |value: &str| fs::write(directory.join("power"), value).expect("a switch");
        set(if on { "1\n" } else { "0\n" });
        if !on {
            let device = read("address")?;
            let functions = (0..8).filter_map(|n| format!("{}.{n}", device.trim()).parse::<PciAddress>().ok());
            for function in functions.filter(|function| self.is_there(*function)) {
                self.remove(function)?;
            }
            return Ok(());
        }
        // A slot in which nothing is found is switched off again.
        self.scan().inspect_err(|_| set("0\n"))
    }

    /// set_attention_status in drivers/pci/hotplug/pciehp_core.c.
    fn attention(&self, slot: &str, value: Attention) -> Result<(), Errno> {
        let file = self.sys(&format!("bus/pci/slots/{slot}/attention"));
        if !file.is_file() {
            return Err(Errno::ENOENT);
        }
        let value = match value {
            Attention::Off => "0\n",
            Attention::On => "1\n",
            Attention::Blinking => "2\n",
        };
        fs::write(file, value).map_err(|_| Errno::EIO)
    }

    fn driver(&self, name: &str) -> Result<PathBuf, Errno> {
        let directory = self.sys(&format!("bus/pci/drivers/{name}"));
        if directory.is_dir() { Ok(directory) } else { Err(Errno::ENOENT) }
    }

    fn vfs(&self, address: PciAddress) -> usize {
        let is_there = |index: &usize| self.device(address).join(format!("virtfn{index}")).is_symlink();
        (0..).take_while(is_there).count()
    }

    fn unbind(&self, address: PciAddress, driver: &str) -> Result<(), Errno> {
        let of_driver = self.driver(driver)?.join(address.to_string());
        if !self.is_there(address) || !of_driver.is_symlink() {
            return Err(Errno::ENODEV);
        }
        fs::remove_file(self.device(address).join("driver")).expect("its driver goes");
        fs::remove_file(of_driver).expect("and forgets it");
        Ok(())
    }

    fn bind(&self, address: PciAddress, driver: &str) -> Result<(), Errno> {
        let directory = self.driver(driver)?;
        if !self.is_there(address) {
            return Err(Errno::ENODEV);
        }
        if self.device(address).join("driver").is_symlink() {
            return Err(Errno::EBUSY);
        }
        // An override names the one driver that matches; without it, one that only an override brings does not.
        let wanted = self.override_of(address).or_else(|| self.usual_driver(address));
        if wanted.as_deref() != Some(driver) || !self.may_probe(address) {
            return Err(Errno::ENODEV);
        }
        let depth =
            self.device(address).canonicalize().expect("there").strip_prefix(self.sys("")).expect("sys").iter().count();
        symlink(format!("{}bus/pci/drivers/{driver}", "../".repeat(depth)), self.device(address).join("driver"))
            .expect("a driver");
        symlink(self.device(address).canonicalize().expect("there"), directory.join(address.to_string())).expect("it");
        Ok(())
    }

    fn remove(&self, address: PciAddress) -> Result<(), Errno> {
        if !self.is_there(address) {
            return Err(Errno::ENOENT);
        }
        let top = self.tree.device(&address.to_string());
        let bound = |path: &PathBuf| path.join("driver").is_symlink();
        assert!(!bound(&top), "{address} is removed with its driver at work");
        assert!(!any_below(&top, &bound), "{address} is removed above a function at work");
        let before = self.tree.functions();
        self.tree.remove(&address.to_string());
        let now = self.tree.functions();
        self.state.borrow_mut().removed.extend(before.into_keys().filter(|function| !now.contains_key(function)));
        Ok(())
    }

    /// A VF goes with its PF, and a PF with its VFs.
    fn vanish(&self, action: &Action) {
        let Some(address) = action.address().filter(|address| self.is_there(*address)) else { return };
        let physical = self.device(address).join("physfn").canonicalize().ok();
        let physical = physical.and_then(|path| path.file_name()?.to_str()?.parse().ok()).unwrap_or(address);
        self.take_vfs(physical);
        self.tree.remove(&physical.to_string());
    }
}

fn any_below(directory: &PathBuf, test: &dyn Fn(&PathBuf) -> bool) -> bool {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    let mut below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path());
    below.any(|path| test(&path) || any_below(&path, test))
}

impl StepRunner for FakeKernel {
    fn begin(&mut self, mark: StepRef, step: &Step) -> Result<(), Errno> {
        let (call, fault) = {
            let mut script = self.state.borrow_mut();
            script.calls += 1;
            (script.calls - 1, if script.calls == script.at + 1 { script.fault } else { Fault::None })
        };
        match fault {
            Fault::NotBegun(errno) => return Err(errno),
            Fault::CrashBefore => std::panic::panic_any(Crash),
            _ => self.running.push_back((call, mark, step.clone(), fault)),
        }
        Ok(())
    }

    fn next_event(&mut self) -> Event {
        let (call, mark, step, fault) = self.running.pop_front().expect("somebody waits for nothing");
        if fault == Fault::Interrupted {
            self.state.borrow_mut().is_interrupted = true;
            self.running.push_front((call, mark, step, Fault::None));
            return Event::Interrupted;
        }
        let answer = self.answer(&step, fault);
        let meanwhile = self.state.borrow_mut().meanwhile.take();
        match meanwhile {
            Some((after, act)) if after == call => act(self),
            other => self.state.borrow_mut().meanwhile = other,
        }
        Event::Ended(mark, interpret_result(&self.sysfs(), &step.action, answer))
    }

    fn is_interrupted(&mut self) -> bool {
        let mut script = self.state.borrow_mut();
        script.is_interrupted |= script.fault == Fault::InterruptedBefore && script.calls >= script.at;
        script.is_interrupted
    }
}

impl FakeKernel {
    /// What the kernel answers, and does before that.
    fn answer(&self, step: &Step, fault: Fault) -> Result<(), Errno> {
        let killed = || match is_done(&self.sysfs(), &step.action) {
            Some(true) => Ok(()),
            _ => Err(Errno::ECANCELED),
        };
        let write = || {
            self.state.borrow_mut().writes.push(format!("{} > {}", step.value, step.file));
            self.write(&step.action)
        };
        match fault {
            Fault::Refused(errno) => Err(errno),
            Fault::KilledBefore => killed(),
            Fault::Vanished => {
                self.vanish(&step.action);
                Err(Errno::ENODEV)
            }
            Fault::KilledAfter => {
                let _ = write();
                killed()
            }
            Fault::CrashAfter => {
                let _ = write();
                std::panic::panic_any(Crash);
            }
            _ => write(),
        }
    }
}
