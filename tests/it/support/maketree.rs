//! Makes sysfs trees of any size, for measuring how cost grows with the host.
//!
//! Always the same tree for the same number. Every tree begins with the same switch, [`SWITCH`] with eight functions
//! below it, so that what it costs to touch that can be compared between hosts. After it come host bridges of four kinds
//! by turns: GPUs behind a switch, VMD endpoints with a domain of their own, drives in hot-plug bays, and network cards
//! with 510 VFs.
//!
//! A tree holds the files that pcictl and lspci read, no more. Files of the same content share inodes, 32 names each:
//! 65,536 functions would take 3 GB otherwise. So make a new file in place of one that must differ; do not write into it.

use std::collections::HashMap;
use std::fmt::{self, Display, Write};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// The upstream port of the switch that is the same in every tree: nine functions with what is below.
pub const SWITCH: &str = "0000:01:00.0";

/// Fewer functions would cut the switch.
pub const SMALLEST: usize = 11;

/// How many names an inode gets at most.
const NAMES_AN_INODE: u32 = 32;

/// What a function is: everything that its files tell, but for its place.
#[derive(Debug)]
struct Kind {
    vendor: u16,
    device: u16,
    subsystem: (u16, u16),
    class: u32,
    driver: Option<&'static str>,
    /// Bits of its first memory region.
    memory: u32,
    /// Speed and width of its link.
    link: Option<(&'static str, u8)>,
}

const GEN3: &str = "8.0 GT/s PCIe";

#[rustfmt::skip]
mod kinds {
    use super::{GEN3, Kind};

    pub const HOST: Kind = Kind { vendor: 0x8086, device: 0x2020, subsystem: (0x15d9, 0x095d), class: 0x06_0000, driver: None, memory: 0, link: None };
    pub const ROOT_PORT: Kind = Kind { vendor: 0x8086, device: 0x2030, subsystem: (0x15d9, 0x095d), class: 0x06_0400, driver: Some("pcieport"), memory: 0, link: Some((GEN3, 16)) };
    pub const SWITCH_PORT: Kind = Kind { vendor: 0x10b5, device: 0x8747, subsystem: (0x10b5, 0x8747), class: 0x06_0400, driver: Some("pcieport"), memory: 18, link: Some((GEN3, 16)) };
    pub const GPU: Kind = Kind { vendor: 0x10de, device: 0x2204, subsystem: (0x10de, 0x1454), class: 0x03_0000, driver: Some("nvidia"), memory: 24, link: Some((GEN3, 16)) };
    pub const AUDIO: Kind = Kind { vendor: 0x10de, device: 0x1aef, subsystem: (0x10de, 0x1454), class: 0x04_0300, driver: Some("snd_hda_intel"), memory: 14, link: Some((GEN3, 16)) };
    pub const NVME: Kind = Kind { vendor: 0x144d, device: 0xa808, subsystem: (0x144d, 0xa801), class: 0x01_0802, driver: Some("nvme"), memory: 14, link: Some((GEN3, 4)) };
    pub const VMD: Kind = Kind { vendor: 0x8086, device: 0x201d, subsystem: (0x15d9, 0x095d), class: 0x01_0400, driver: Some("vmd"), memory: 25, link: None };
    pub const PF: Kind = Kind { vendor: 0x8086, device: 0x1592, subsystem: (0x8086, 0x0002), class: 0x02_0000, driver: Some("ice"), memory: 25, link: Some((GEN3, 16)) };
    pub const VF: Kind = Kind { vendor: 0x8086, device: 0x1889, subsystem: (0x8086, 0x0000), class: 0x02_0000, driver: Some("iavf"), memory: 17, link: Some((GEN3, 16)) };
}

#[derive(Debug, Clone, Copy)]
struct Address {
    domain: u32,
    bus: u8,
    /// Device and function, as the hardware counts.
    devfn: u8,
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{}", self.domain, self.bus, self.devfn >> 3, self.devfn & 7)
    }
}

/// A function of the tree to be made.
struct Function {
    address: Address,
    kind: &'static Kind,
    /// Relative to the root.
    directory: String,
    /// A bridge's secondary bus and the last one below it.
    buses: Option<(u8, u8)>,
    /// A VF's physical function, by its position, and its number there.
    physfn: Option<(usize, usize)>,
}

/// Makes a tree of exactly `count` functions below `root`, an empty directory. Memory-backed file systems are fastest.
pub fn make(root: &Path, count: usize) -> io::Result<()> {
    if count < SMALLEST {
        let what = format!("a tree has {SMALLEST} functions at least, not {count}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let mut layout = Layout::default();
    layout.fixed_part();
    while layout.functions.len() < count {
        layout.gpu_box();
        layout.vmd_host();
        layout.drive_bays();
        layout.network_host();
    }
    // What is cut off last stands on what came before: parents come before children, and PFs before VFs.
    layout.functions.truncate(count);
    let mut writer = Writer { root, shared: HashMap::new() };
    for name in ["devices", "drivers", "slots"] {
        fs::create_dir_all(root.join("sys/bus/pci").join(name))?;
    }
    writer.file("sys/bus/pci/rescan", "", 0o200)?;
    for function in &layout.functions {
        writer.function(function, &layout.functions)?;
    }
    Ok(())
}

/// Which function goes where.
#[derive(Default)]
struct Layout {
    functions: Vec<Function>,
    /// The next bus number that nobody has, and its domain.
    next: (u32, u16),
    vmds: u32,
}

impl Layout {
    /// Bus numbers in a row, in a domain where there is still room for them.
    fn take_buses(&mut self, count: u16) -> (u32, u8) {
        if self.next.1 + count > 256 {
            self.next = (self.next.0 + 1, 0);
        }
        let (domain, first) = self.next;
        self.next.1 += count;
        (domain, first as u8)
    }

    /// A function in `parent`, which is a directory; gives its own directory.
    fn add(&mut self, parent: &str, address: Address, kind: &'static Kind, buses: Option<(u8, u8)>) -> String {
        let directory = format!("{parent}/{address}");
        self.functions.push(Function { address, kind, directory: directory.clone(), buses, physfn: None });
        directory
    }

    /// A host bridge's directory, with the function that stands for the bridge itself.
    fn host(&mut self, domain: u32, bus: u8) -> String {
        let directory = format!("sys/devices/pci{domain:04x}:{bus:02x}");
        self.add(&directory, Address { domain, bus, devfn: 0 }, &kinds::HOST, None);
        directory
    }

    /// A root port with a switch of that many downstream ports, from bus `bus` on: their directories and buses.
    fn switch(&mut self, host: &str, port: Address, bus: u8, ports: u8) -> Vec<(String, u8)> {
        let last = bus + 1 + ports;
        let at = |bus, device: u8| Address { bus, devfn: device << 3, ..port };
        let root_port = self.add(host, port, &kinds::ROOT_PORT, Some((bus, last)));
        let upstream = self.add(&root_port, at(bus, 0), &kinds::SWITCH_PORT, Some((bus + 1, last)));
        let below = (0..ports).map(|n| (n, bus + 2 + n));
        below
            .map(|(n, below)| {
                let buses = Some((below, below));
                (self.add(&upstream, at(bus + 1, n), &kinds::SWITCH_PORT, buses), below)
            })
            .collect()
    }

    /// What is the same in every tree: a host bridge, a root port, and a switch with four drives.
    fn fixed_part(&mut self) {
        let (domain, bus) = self.take_buses(7);
        let host = self.host(domain, bus);
        for (port, bus) in self.switch(&host, Address { domain, bus, devfn: 1 << 3 }, bus + 1, 4) {
            self.add(&port, Address { domain, bus, devfn: 0 }, &kinds::NVME, None);
        }
    }

    /// Eight graphics cards behind one switch.
    fn gpu_box(&mut self) {
        let (domain, bus) = self.take_buses(11);
        let host = self.host(domain, bus);
        for (port, bus) in self.switch(&host, Address { domain, bus, devfn: 1 << 3 }, bus + 1, 8) {
            self.add(&port, Address { domain, bus, devfn: 0 }, &kinds::GPU, None);
            self.add(&port, Address { domain, bus, devfn: 1 }, &kinds::AUDIO, None);
        }
    }

    /// Eight drives in a domain of their own, below an endpoint.
    fn vmd_host(&mut self) {
        let (domain, bus) = self.take_buses(1);
        let host = self.host(domain, bus);
        let endpoint = self.add(&host, Address { domain, bus, devfn: 5 << 3 | 5 }, &kinds::VMD, None);
        let inner = 0x10000 + self.vmds;
        self.vmds += 1;
        self.drives(&format!("{endpoint}/pci{inner:04x}:00"), Address { domain: inner, bus: 0, devfn: 0 }, 8);
    }

    /// Sixteen drives, each at its root port.
    fn drive_bays(&mut self) {
        let (domain, bus) = self.take_buses(17);
        let host = self.host(domain, bus);
        self.drives(&host, Address { domain, bus, devfn: 1 << 3 }, 16);
    }

    fn drives(&mut self, host: &str, first_port: Address, count: u8) {
        for n in 0..count {
            let port = Address { devfn: first_port.devfn + (n << 3), ..first_port };
            let bus = port.bus + 1 + n;
            let directory = self.add(host, port, &kinds::ROOT_PORT, Some((bus, bus)));
            self.add(&directory, Address { bus, devfn: 0, ..port }, &kinds::NVME, None);
        }
    }

    /// Two physical functions with 255 virtual ones each, which fill their bus and all of a second, virtual one.
    fn network_host(&mut self) {
        let (domain, bus) = self.take_buses(3);
        let host = self.host(domain, bus);
        let port = Address { domain, bus, devfn: 1 << 3 };
        let directory = self.add(&host, port, &kinds::ROOT_PORT, Some((bus + 1, bus + 2)));
        let first = self.functions.len();
        for routing_id in 0..512_u16 {
            let address = Address { domain, bus: bus + 1 + (routing_id >> 8) as u8, devfn: routing_id as u8 };
            let kind = if routing_id < 2 { &kinds::PF } else { &kinds::VF };
            self.add(&directory, address, kind, None);
            if let Some(vf) = usize::from(routing_id).checked_sub(2) {
                self.functions[first + 2 + vf].physfn = Some((first + vf % 2, vf / 2));
            }
        }
    }
}

/// Puts functions on the disk.
struct Writer<'a> {
    root: &'a Path,
    /// By content: a file that has it, and how many names that has.
    shared: HashMap<String, (PathBuf, u32)>,
}

impl Writer<'_> {
    fn function(&mut self, function: &Function, all: &[Function]) -> io::Result<()> {
        let Function { address, kind, directory, .. } = function;
        let host = directory.rsplit_once('/').map_or("", |(parent, _)| parent);
        if !self.root.join(host).exists() {
            fs::create_dir_all(self.root.join(host))?;
            self.bus(host, address.domain, address.bus)?;
        }
        fs::create_dir(self.root.join(directory))?;
        self.attributes(function)?;
        self.link(&format!("{directory}/subsystem"), "sys/bus/pci")?;
        self.link(&format!("sys/bus/pci/devices/{address}"), directory)?;
        if let Some(driver) = kind.driver {
            let driver = format!("sys/bus/pci/drivers/{driver}");
            fs::create_dir_all(self.root.join(&driver))?;
            self.link(&format!("{directory}/driver"), &driver)?;
            self.link(&format!("{driver}/{address}"), directory)?;
        }
        if let Some((secondary, _)) = function.buses {
            self.bus(directory, address.domain, secondary)?;
        }
        if let Some((physical, number)) = function.physfn {
            let pf = &all[physical];
            self.link(&format!("{}/virtfn{number}", pf.directory), directory)?;
            self.link(&format!("{directory}/physfn"), &pf.directory)?;
            if address.bus != pf.address.bus && address.devfn == 0 {
                // The kernel hangs a virtual bus on the bridge of the physical one.
                self.bus(host, address.domain, address.bus)?;
            }
        }
        Ok(())
    }

    fn attributes(&mut self, function: &Function) -> io::Result<()> {
        let Kind { vendor, device, subsystem: (sub_vendor, sub_device), class, memory, link, .. } = *function.kind;
        let (base, sub, interface) = (class >> 16, class >> 8 & 0xff, class & 0xff);
        let directory = &function.directory;
        let mut put = |name: &str, content: &str| self.file(&format!("{directory}/{name}"), content, 0o444);
        put("vendor", &format!("{vendor:#06x}\n"))?;
        put("device", &format!("{device:#06x}\n"))?;
        put("subsystem_vendor", &format!("{sub_vendor:#06x}\n"))?;
        put("subsystem_device", &format!("{sub_device:#06x}\n"))?;
        put("class", &format!("{class:#08x}\n"))?;
        put("revision", "0x01\n")?;
        put("irq", if function.kind.driver.is_some() { "24\n" } else { "0\n" })?;
        put("numa_node", if function.address.bus < 128 { "0\n" } else { "1\n" })?;
        put("power_state", "D0\n")?;
        let ids = format!("v{vendor:08X}d{device:08X}sv{sub_vendor:08X}sd{sub_device:08X}");
        put("modalias", &format!("pci:{ids}bc{base:02X}sc{sub:02X}i{interface:02X}\n"))?;
        let mut regions = String::new();
        for region in 0..13 {
            let has_it = region == 0 && memory > 0;
            let (start, size, flags) = if has_it { (0xf000_0000_u64, 1 << memory, 0x40200) } else { (0, 1, 0) };
            writeln!(regions, "{start:#018x} {:#018x} {flags:#018x}", start + size - 1).map_err(io::Error::other)?;
        }
        put("resource", &regions)?;
        if let Some((speed, width)) = link {
            put("max_link_speed", &format!("{speed}\n"))?;
            put("max_link_width", &format!("{width}\n"))?;
            put("current_link_speed", &format!("{speed}\n"))?;
            put("current_link_width", &format!("{width}\n"))?;
        }
        self.file(&format!("{directory}/config"), &config_space(function), 0o644)?;
        if function.physfn.is_none() {
            self.file(&format!("{directory}/remove"), "", 0o200)?;
            self.file(&format!("{directory}/rescan"), "", 0o200)?;
        }
        Ok(())
    }

    /// A bus below a bridge or host bridge.
    fn bus(&mut self, bridge: &str, domain: u32, bus: u8) -> io::Result<()> {
        let name = format!("{domain:04x}:{bus:02x}");
        let directory = format!("{bridge}/pci_bus/{name}");
        fs::create_dir_all(self.root.join(&directory))?;
        self.file(&format!("{directory}/rescan"), "", 0o200)?;
        fs::create_dir_all(self.root.join("sys/class/pci_bus"))?;
        self.link(&format!("sys/class/pci_bus/{name}"), &directory)
    }

    /// A relative link at `path` to `target`; both are relative to the root and begin with `sys`.
    fn link(&self, path: &str, target: &str) -> io::Result<()> {
        let ups = "../".repeat(path.matches('/').count() - 1);
        symlink(format!("{ups}{}", target.strip_prefix("sys/").unwrap_or(target)), self.root.join(path))
    }

    fn file(&mut self, path: &str, content: &str, mode: u32) -> io::Result<()> {
        let target = self.root.join(path);
        // Empty files are those to be written: no two contents share a mode by accident.
        if let Some((same, names)) = self.shared.get_mut(content).filter(|(_, names)| *names < NAMES_AN_INODE) {
            *names += 1;
            return fs::hard_link(same, target);
        }
        fs::write(&target, content.chars().map(|byte| byte as u8).collect::<Vec<_>>())?;
        fs::set_permissions(&target, Permissions::from_mode(mode))?;
        self.shared.insert(content.into(), (target, 1));
        Ok(())
    }
}

/// The first 64 bytes of configuration space, a character a byte.
fn config_space(function: &Function) -> String {
    let Kind { vendor, device, subsystem, class, memory, .. } = *function.kind;
    let mut bytes = [0_u8; 64];
    let mut put = |at: usize, value: u16| bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    // A VF reads all ones here (PCIe, 9.3.4.1.1).
    let is_vf = function.physfn.is_some();
    put(0, if is_vf { 0xffff } else { vendor });
    put(2, if is_vf { 0xffff } else { device });
    put(4, 0x0406);
    put(6, 0x0010);
    put(8, (class << 8) as u16 | 1);
    put(10, (class >> 8) as u16);
    put(0x34, 0x40);
    if let Some((secondary, last)) = function.buses {
        put(0x0e, 1);
        put(0x18, u16::from_le_bytes([function.address.bus, secondary]));
        put(0x1a, u16::from(last));
    } else {
        put(0x2c, subsystem.0);
        put(0x2e, subsystem.1);
        put(0x12, if memory > 0 && !is_vf { 0xf000 } else { 0 });
    }
    bytes.iter().map(|byte| char::from(*byte)).collect()
}
