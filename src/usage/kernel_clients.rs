//! What the kernel itself does with a function, and no node, disk or interface shows: channels of a DMA engine that a
//! driver has, a cipher of an accelerator, the clock that the system's time came from, modules that sit on a driver.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::host::patience::read_each;
use crate::host::procfs::Procfs;
use crate::host::sysfs::Sysfs;
use crate::pci::address::PciAddress;
use crate::usage::model::{Danger, User};
use crate::usage::scope::{Scope, linked};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct KernelClients {
    /// Who uses the functions.
    pub(crate) users: Vec<User>,
    /// What could not be looked at.
    pub(crate) unchecked: Vec<String>,
    /// Functions whose users can be told by this.
    pub(crate) told: BTreeSet<PciAddress>,
}

impl KernelClients {
    /// Asks for all of them.
    pub(crate) fn read(sysfs: &Sysfs, proc: Option<&Procfs>, scope: &Scope, deadline: Instant) -> Self {
        let mut clients = Self::default();
        clients.channels(sysfs, scope, deadline);
        clients.clocks(sysfs, scope);
        // Ports, drives and virtual functions, of which there may be hundreds, are none of these classes, or stand with theirs.
        let is_other = |driver: &str| !matches!(driver, "pcieport" | "nvme");
        for (address, function) in scope.iter().filter(|(_, function)| function.physical.is_none()) {
            let Some(driver) = function.driver.as_deref().filter(|driver| is_other(driver)) else { continue };
            let class = function.class(sysfs).unwrap_or_default() >> 16;
            if matches!(class, DISPLAY | PROCESSOR | ENCRYPTION | ACCELERATOR) || driver == "nvidia" {
                let module = sysfs.link_name(&format!("bus/pci/drivers/{driver}/module")).ok().flatten();
                let module = module.unwrap_or_else(|| driver.replace('-', "_"));
                clients.modules(sysfs, address, driver, &module);
                if matches!(class, PROCESSOR | ENCRYPTION) {
                    clients.ciphers(sysfs, proc, address, &module);
                }
            }
        }
        clients
    }

    /// Channels of DMA engines with their number of clients. `in_use_show` (drivers/dma/dmaengine.c) takes the mutex that
    /// engines are registered and taken away under, so a child asks.
    fn channels(&mut self, sysfs: &Sysfs, scope: &Scope, deadline: Instant) {
        let directory = "class/dma";
        let own = linked(sysfs, directory).into_iter().filter_map(|(name, path)| Some((scope.owner(&path)?, name)));
        let own: Vec<(PciAddress, String)> = own.collect();
        if own.is_empty() {
            return;
        }
        self.told.extend(own.iter().map(|(address, _)| *address));
        let files: Vec<String> = own.iter().map(|(_, name)| format!("{directory}/{name}/in_use")).collect();
        let (texts, silent) = read_each(sysfs, &files, deadline);
        for ((address, name), text) in own.iter().zip(texts) {
            let clients = text.and_then(|text| text.trim().parse::<u32>().ok()).unwrap_or_default();
            if clients > 0 {
                let text = format!("{name} of {address}, a DMA channel, is in use by the kernel ({clients} clients)");
                self.users.push(User::new(Danger::Holders, *address, name.clone(), "dmaengine", text));
            }
        }
        for number in silent {
            self.unchecked
                .push(format!("whether the DMA channel {} is in use: the kernel does not answer", own[number].1));
        }
    }

    /// The clock that the system's time was set from and is kept in (drivers/rtc/sysfs.c answers from memory).
    fn clocks(&mut self, sysfs: &Sysfs, scope: &Scope) {
        for (name, path) in linked(sysfs, "class/rtc") {
            let Some(address) = scope.owner(&path) else { continue };
            self.told.insert(address);
            if sysfs.read(&format!("{path}/hctosys")).ok().flatten().as_deref().map(str::trim) == Some("1") {
                let text = format!("{name} is the clock that the system's time was set from");
                self.users.push(User::new(Danger::Holders, address, name, "system clock", text));
            }
        }
    }

    /// Modules that use the driver's own and drive nothing themselves: they are loaded for what they do with its devices.
    fn modules(&mut self, sysfs: &Sysfs, address: PciAddress, driver: &str, module: &str) {
        let holders = holders_of(sysfs, module);
        let drives = |name: &String| {
            sysfs.names(&format!("module/{name}/drivers")).ok().flatten().is_some_and(|drivers| !drivers.is_empty())
        };
        let clients: Vec<String> = holders.into_iter().filter(|name| !drives(name)).collect();
        if clients.is_empty() {
            return;
        }
        let count = sysfs.read(&format!("module/{module}/refcnt")).ok().flatten();
        let count = count.map_or_else(String::new, |count| format!("; {} references to it in all", count.trim()));
        let plural = if let [_] = clients.as_slice() { "kernel module" } else { "kernel modules" };
        let text = format!("{plural} {} sit on driver {driver} of {address}{count}", clients.join(", "));
        self.users.push(User::new(Danger::Holders, address, driver, clients.join(","), text));
    }

    /// Ciphers of an accelerator: each that somebody has taken counts more than its own reference (crypto/proc.c).
    fn ciphers(&mut self, sysfs: &Sysfs, proc: Option<&Procfs>, address: PciAddress, module: &str) {
        let text = proc.and_then(|proc| proc.text("crypto").ok().flatten()).unwrap_or_default();
        for entry in text.split("\n\n") {
            let field = |name: &str| {
                let mut lines = entry.lines().filter_map(|line| line.split_once(':'));
                lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
            };
            let (Some(of), Some(count)) = (field("module"), field("refcnt")) else { continue };
            let is_ours = of == module
                || holders_of(sysfs, module).iter().any(|holder| holder == of)
                || holders_of(sysfs, of).iter().any(|holder| holder == module);
            if !is_ours || of == "kernel" {
                continue;
            }
            self.told.insert(address);
            let name = field("driver").unwrap_or(of);
            if count.parse::<u32>().is_ok_and(|count| count > 1) {
                let text = format!("{name}, a cipher of {address}, is in use by the kernel ({count} references)");
                self.users.push(User::new(Danger::Holders, address, name, "crypto", text));
            }
        }
    }
}

/// Base classes (PCI Code and ID Assignment Specification).
const DISPLAY: u32 = 0x03;
const PROCESSOR: u32 = 0x0b;
const ENCRYPTION: u32 = 0x10;
const ACCELERATOR: u32 = 0x12;

/// The modules that use a module, and those that use them.
fn holders_of(sysfs: &Sysfs, module: &str) -> Vec<String> {
    let direct = |name: &str| sysfs.listed(&format!("module/{name}/holders"));
    let mut all = direct(module);
    let mut next = 0;
    while let Some(name) = all.get(next).cloned() {
        let new: Vec<String> = direct(&name).into_iter().filter(|name| name != module && !all.contains(name)).collect();
        all.extend(new);
        next += 1;
    }
    all
}
