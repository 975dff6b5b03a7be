//! Vendor, device and class: what a function says it is.

/// `8086:10d3`.
pub(crate) fn ids_text(ids: Ids) -> String {
    format!("{:04x}:{:04x}", ids.vendor, ids.device)
}

/// `103c:3250`; `None` for a function without a subsystem id.
pub(crate) fn subsystem_text(ids: Ids) -> Option<String> {
    (ids.subsystem_vendor != 0).then(|| format!("{:04x}:{:04x}", ids.subsystem_vendor, ids.subsystem_device))
}

/// What a function says it is; from `modalias`, which the kernel answers from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ids {
    /// Vendor id.
    pub(crate) vendor: u16,
    /// Device id.
    pub(crate) device: u16,
    /// Subsystem vendor id.
    pub(crate) subsystem_vendor: u16,
    /// Subsystem id.
    pub(crate) subsystem_device: u16,
    /// The 24-bit class code, for example 0x010802.
    pub(crate) class: u32,
}

impl Ids {
    /// Reads what drivers/pci/pci-sysfs.c writes: `pci:vVVVVVVVVdDDDDDDDDsvSSSSSSSSsdSSSSSSSSbcCCscCCiCC`.
    pub fn from_modalias(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("pci:v")?;
        let (vendor, rest) = rest.split_once('d')?;
        let (device, rest) = rest.split_once("sv")?;
        let (subsystem_vendor, rest) = rest.split_once("sd")?;
        let (subsystem_device, rest) = rest.split_once("bc")?;
        let (base, rest) = rest.split_once("sc")?;
        let (sub, interface) = rest.split_once('i')?;
        let id = |text: &str| u32::from_str_radix(text, 16).ok().and_then(|id| u16::try_from(id).ok());
        let byte = |text: &str| u8::from_str_radix(text, 16).ok().map(u32::from);
        Some(Self {
            vendor: id(vendor)?,
            device: id(device)?,
            subsystem_vendor: id(subsystem_vendor)?,
            subsystem_device: id(subsystem_device)?,
            class: byte(base)? << 16 | byte(sub)? << 8 | byte(interface)?,
        })
    }

    /// Whether the class says PCI-to-PCI bridge, as ports are.
    pub(crate) fn is_pci_bridge(&self) -> bool {
        self.class >> 8 == 0x06_04
    }

    /// Whether the class says bridge (PCI-to-PCI, CardBus, host, ISA and the like).
    pub(crate) fn is_bridge(&self) -> bool {
        self.class >> 16 == 0x06
    }
}
