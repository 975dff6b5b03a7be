//! A kernel made of files: it does to an unpacked tree what the real one does to /sys, and can be told to fail.
//!
//! It knows what it has: which driver has which function, what was removed, how many VFs are on. It answers as
//! drivers/base/bus.c and drivers/pci/pci-sysfs.c do, and asserts what must never be asked of them: nobody removes a
//! function whose driver was not stopped, or what is above one that is at work.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::rc::Rc;

use nix::errno::Errno;
use pcictl::execute::executor::{Event, StepRunner};
use pcictl::host::sysfs::Sysfs;
use pcictl::pci::address::PciAddress;
use pcictl::plan::action::{Action, Step, StepRef};
use pcictl::plan::step_state::{interpret_result, is_done};

use super::Tree;
use super::dump::Dump;

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
    /// The helper is killed before it writes.
    KilledBefore,
    /// The helper is killed when the kernel is done, and nobody hears.
    KilledAfter,
    /// Somebody interrupts while the kernel is at it.
    Interrupted,
    /// pcictl is killed before the write.
    CrashBefore,
    /// pcictl is killed when the kernel is done.
    CrashAfter,
}

/// What stands for SIGKILL: the program ends here, and what it held is let go.
pub struct Crash;

/// The machine, and what is to go wrong with it.
pub struct FakeKernel {
    tree: Rc<Tree>,
    dump: Rc<Dump>,
    state: Rc<RefCell<Script>>,
    running: VecDeque<(StepRef, Step, Fault)>,
}

/// The fault, and how many calls there were.
#[derive(Debug)]
pub struct Script {
    pub fault: Fault,
    pub at: usize,
    pub calls: usize,
}

impl FakeKernel {
    pub fn new(tree: Rc<Tree>, dump: Rc<Dump>, state: Rc<RefCell<Script>>) -> Self {
        Self { tree, dump, state, running: VecDeque::new() }
    }

    fn sysfs(&self) -> Sysfs {
        Sysfs::open(Some(self.tree.path())).expect("the tree")
    }

    fn sys(&self, path: &str) -> PathBuf {
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
            Action::Rescan { .. } | Action::RescanAll => self.rescan(),
            Action::SetVfs { address, count: 0, .. } => self.take_vfs(*address),
            // The links come back with the functions; which of several PFs it was for does not matter here.
            Action::SetVfs { address, count, .. } if self.is_there(*address) => match self.vfs(*address) {
                0 => self.rescan(),
                vfs if vfs == *count => Ok(()),
                _ => Err(Errno::EBUSY),
            },
            Action::SetVfs { .. } => Err(Errno::ENOENT),
            Action::Override { address, driver } => self.set(*address, "driver_override", driver),
            Action::Set { address, file, value, .. } => self.set(*address, file, value),
            Action::Probe { address } => self.probe(*address),
            Action::Reset { address } => self.reset(&self.device(*address), "reset"),
            Action::ResetBelow { address } => self.reset(&self.device(*address), "reset_subordinate"),
            Action::SlotPower { slot, on } => self.power(slot, *on),
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

    /// The driver that the override names, else the one that it had when all was well.
    fn probe(&self, address: PciAddress) -> Result<(), Errno> {
        if !self.is_there(address) {
            return Err(Errno::ENODEV);
        }
        if self.device(address).join("driver").is_symlink() {
            return Ok(());
        }
        let text = fs::read_to_string(self.device(address).join("driver_override")).unwrap_or_default();
        let wanted = Some(text.trim()).filter(|text| !text.is_empty() && *text != "(null)").map(str::to_owned);
        let usual = || Some(self.original(address, "driver")?.rsplit('/').next()?.to_owned());
        match wanted.or_else(usual) {
            Some(driver) => self.bind(address, &driver),
            None => Ok(()),
        }
    }

    /// What is reset is not at work.
    fn reset(&self, device: &std::path::Path, file: &str) -> Result<(), Errno> {
        if !device.join(file).is_file() {
            return Err(Errno::ENOENT);
        }
        let bound = |path: &PathBuf| path.join("driver").is_symlink();
        let top = device.canonicalize().expect("there");
        assert!(file != "reset" || !bound(&top), "{} is reset at work", top.display());
        assert!(!any_below(&top, &bound), "something below {} is reset at work", top.display());
        Ok(())
    }

    /// The slot's power changes only from the other state, as pciehp_sysfs_enable_slot does.
    fn power(&self, slot: &str, on: bool) -> Result<(), Errno> {
        let file = self.sys(&format!("bus/pci/slots/{slot}/power"));
        let was = fs::read_to_string(&file).map_err(|_| Errno::ENOENT)?;
        if was.trim() == if on { "1" } else { "0" } {
            return Err(Errno::EINVAL);
        }
        fs::write(&file, if on { "1\n" } else { "0\n" }).map_err(|_| Errno::EIO)?;
        // What sits in a slot that is on is found at once.
        if on { self.rescan() } else { Ok(()) }
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
        // Every function sits as deep as its original link says, whichever driver that named.
        let link = self.original(address, "driver").ok_or(Errno::ENODEV)?;
        let up = link.rsplit_once('/').expect("a path").0;
        symlink(format!("{up}/{driver}"), self.device(address).join("driver")).expect("a driver");
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
        self.tree.remove(&address.to_string());
        Ok(())
    }

    /// What is not there comes back as it was, drivers and all. (Real VFs would not, before somebody sets their number.)
    fn rescan(&self) -> Result<(), Errno> {
        let missing = self.dump.0.iter().filter(|(path, _)| !self.tree.path().join(path).is_symlink());
        let missing = missing.filter(|(path, _)| !self.tree.path().join(path).exists());
        let missing = Dump(missing.map(|(path, node)| (path.clone(), node.clone())).collect());
        missing.unpack(self.tree.path(), &super::trees_dir(), super::dump::Order::FirstFirst).expect("it comes back");
        Ok(())
    }

    fn take_vfs(&self, address: PciAddress) -> Result<(), Errno> {
        if !self.is_there(address) {
            return Err(Errno::ENOENT);
        }
        assert!(self.device(address).join("driver").is_symlink(), "nobody could take the VFs of {address}");
        for index in 0..self.vfs(address) {
            let link = self.device(address).join(format!("virtfn{index}"));
            let target = fs::read_link(&link).expect("a virtual function");
            self.tree.remove(target.file_name().expect("a name").to_str().expect("text"));
            let _ = fs::remove_file(link);
        }
        Ok(())
    }

    /// Where a link of the function pointed when all was well.
    fn original(&self, address: PciAddress, name: &str) -> Option<String> {
        let ends = format!("/{address}/{name}");
        let node = self.dump.0.iter().find(|(path, _)| path.to_string_lossy().ends_with(&ends));
        match node {
            Some((_, super::dump::Node::Link(target))) => Some(target.clone()),
            _ => None,
        }
    }

    fn vanish(&self, action: &Action) {
        if let Some(address) = action.address().filter(|address| self.is_there(*address)) {
            self.tree.remove(&address.to_string());
        }
    }
}

fn any_below(directory: &PathBuf, test: &dyn Fn(&PathBuf) -> bool) -> bool {
    let entries = fs::read_dir(directory).expect("a directory").flatten();
    let mut below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path());
    below.any(|path| test(&path) || any_below(&path, test))
}

impl StepRunner for FakeKernel {
    fn begin(&mut self, mark: StepRef, step: &Step) -> Result<(), Errno> {
        let fault = {
            let mut script = self.state.borrow_mut();
            script.calls += 1;
            if script.calls == script.at + 1 { script.fault } else { Fault::None }
        };
        match fault {
            Fault::NotBegun(errno) => return Err(errno),
            Fault::CrashBefore => std::panic::panic_any(Crash),
            _ => self.running.push_back((mark, step.clone(), fault)),
        }
        Ok(())
    }

    fn next_event(&mut self) -> Event {
        let (mark, step, fault) = self.running.pop_front().expect("somebody waits for nothing");
        let killed = |kernel: &Self| {
            let done = is_done(&kernel.sysfs(), &step.action) == Some(true);
            if done { Ok(()) } else { Err(Errno::ECANCELED) }
        };
        let answer = match fault {
            Fault::Interrupted => {
                self.running.push_front((mark, step, Fault::None));
                return Event::Interrupted;
            }
            Fault::Refused(errno) => Err(errno),
            Fault::KilledBefore => killed(self),
            Fault::Vanished => {
                self.vanish(&step.action);
                Err(Errno::ENODEV)
            }
            Fault::KilledAfter => {
                let _ = self.write(&step.action);
                killed(self)
            }
            Fault::CrashAfter => {
                let _ = self.write(&step.action);
                std::panic::panic_any(Crash);
            }
            _ => self.write(&step.action),
        };
        Event::Ended(mark, interpret_result(&self.sysfs(), &step.action, answer))
    }
}
