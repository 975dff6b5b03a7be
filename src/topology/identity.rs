//! What one function is, and which driver has it.

use std::io;
use std::sync::Arc;

use crate::error::Error;
use crate::host::sysfs::last_step;
use crate::pci::address::PciAddress;
use crate::pci::ids::Ids;
use crate::topology::model::FunctionId;
use crate::topology::reader::{Loader, Location};

impl Loader<'_> {
    pub(super) fn device_ids(&mut self, id: FunctionId, address: PciAddress, location: Location) -> Option<Ids> {
        let Some(of) = self.topology.function(id).virtual_of else { return self.ids(address, location) };
        if let Some(ids) = self.virtual_ids.get(&of.physical) {
            return Some(*ids);
        }
        let ids = self.ids(address, location)?;
        self.virtual_ids.insert(of.physical, ids);
        Some(ids)
    }

    pub(super) fn ids(&mut self, address: PciAddress, location: Location) -> Option<Ids> {
        let file = location.file("modalias");
        match location.dir.read(&file, |text| Ids::from_modalias(text).ok_or_else(|| text.to_owned())) {
            // Gone between the listing and the read: normal.
            Ok(None) => self.ids_one_by_one(address, location),
            Ok(Some(Ok(ids))) => Some(ids),
            Ok(Some(Err(text))) => {
                let file = self.sysfs.display(&location.dir.join(&file));
                self.trouble(address, format!("{address}: what it is cannot be told: {file} reads {text:?}"));
                None
            }
            Err(error) => {
                self.unreadable(address, &location.dir.join(&file), &error);
                None
            }
        }
    }

    /// A dumped tree may lack `modalias`; the kernel always has it.
    fn ids_one_by_one(&mut self, address: PciAddress, location: Location) -> Option<Ids> {
        let parse = |text: &str| u32::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        let number = |name: &str| location.dir.read(&location.file(name), parse).ok().flatten().flatten();
        let short = |name: &str| number(name).and_then(|id| u16::try_from(id).ok());
        let found = short("vendor").zip(short("device")).zip(number("class"));
        if let Some(((vendor, device), class)) = found {
            let subsystem_vendor = short("subsystem_vendor").unwrap_or(0);
            let subsystem_device = short("subsystem_device").unwrap_or(0);
            return Some(Ids { vendor, device, subsystem_vendor, subsystem_device, class });
        }
        if location.dir.exists(location.name) {
            let file = self.sysfs.display(&location.path());
            self.trouble(
                address,
                format!(
                    "{address}: what it is cannot be told: {file} has neither modalias nor vendor, device and class"
                ),
            );
        }
        None
    }

    pub(super) fn driver(&mut self, address: PciAddress, location: Location) -> Option<Arc<str>> {
        let file = location.file("driver");
        let drivers = &mut self.drivers;
        let found = location.dir.link(&file, |target| {
            let name = last_step(target);
            if let Some(known) = drivers.get(name) {
                return Arc::clone(known);
            }
            let name: Arc<str> = name.into();
            drivers.insert(Arc::clone(&name));
            name
        });
        found.unwrap_or_else(|error| {
            self.unreadable(address, &location.dir.join(&file), &error);
            None
        })
    }

    fn unreadable(&mut self, address: PciAddress, file: &str, error: &io::Error) {
        let doing = format!("{address}: what it is cannot be told: {}", self.sysfs.display(file));
        self.failed(Error::io(doing, error).about(address));
    }
}
