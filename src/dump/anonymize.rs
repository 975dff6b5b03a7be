//! Replacements for what names people, machines and parts: the same one for the same thing throughout one dump, and
//! another one in the next.
//!
//! What a reader compares stays comparable: a MAC address becomes one that is administered locally, an IP address keeps its
//! first octet (two for IPv6) and lies in the same networks as before, a UUID has the form of one. Addresses of functions,
//! ids, kernel names of devices (`nvme0n1`, `eth0`) and names of programs stay. What cannot be replaced piece by piece is
//! left out by whoever copies it. Not promised: that nobody finds out which kind of machine it was.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::pci::address::PciAddress;
use crate::verify::record::DeviceRecord;

/// How many octets of an address of each kind stay.
const KEPT4: u32 = 8;

const KEPT6: u32 = 16;

/// Replaces names for one dump.
#[derive(Debug, Default)]
pub(crate) struct Anonymizer {
    key: RandomState,
}

impl Anonymizer {
    fn hash(&self, kind: &str, text: impl AsRef<[u8]>) -> u64 {
        self.key.hash_one((kind, text.as_ref()))
    }

    /// A name that somebody chose: of a volume, a pool, a directory.
    pub(crate) fn name(&self, name: &str) -> String {
        if name.is_empty() { String::new() } else { format!("name-{:08x}", self.hash("name", name) as u32) }
    }

    /// A serial number.
    pub(crate) fn serial(&self, serial: &str) -> String {
        let serial = serial.trim();
        if serial.is_empty() {
            String::new()
        } else {
            format!("SN{:012X}", self.hash("serial", serial) & 0xffff_ffff_ffff)
        }
    }

    /// Any text: MAC addresses, UUIDs, IP addresses and interface names made of a MAC address are replaced.
    pub(crate) fn text(&self, text: &str) -> String {
        let mut written = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            if length == 0 {
                let next = rest.chars().next().map_or(1, char::len_utf8);
                written.push_str(&rest[..next]);
                rest = &rest[next..];
                continue;
            }
            // `10.0.0.0/8` is one thing; `eth0/address` is not.
            let word = &rest[..length];
            let (digits, after) = match rest[length..].strip_prefix('/') {
                Some(after) => {
                    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
                    (after[..digits].parse::<u32>().ok(), digits + 1)
                }
                None => (None, 0),
            };
            match digits.and_then(|digits| self.network(word, digits)) {
                Some(network) => {
                    written.push_str(&network);
                    rest = &rest[length + after..];
                }
                None => {
                    written.push_str(&self.word(word));
                    rest = &rest[length..];
                }
            }
        }
        written
    }

    fn network(&self, word: &str, length: u32) -> Option<String> {
        if let Ok(address) = word.parse::<Ipv4Addr>() {
            return (length <= 32).then(|| format!("{}/{length}", self.ipv4(address, length)));
        }
        let address = word.parse::<Ipv6Addr>().ok().filter(|_| length <= 128)?;
        Some(format!("{}/{length}", self.ipv6(address, length)))
    }

    /// A word without separators around it. A sentence's end may hang on it.
    fn word(&self, word: &str) -> String {
        let core = word.trim_matches(['.', ':', '-']);
        if core.len() < 7 || PciAddress::from_sysfs_name(core).is_some() {
            return match word.parse::<Ipv6Addr>() {
                Ok(address) => self.ipv6(address, 128).to_string(),
                Err(_) => word.to_owned(),
            };
        }
        let new = self.core(core).or_else(|| Some(self.ipv6(word.parse().ok()?, 128).to_string()));
        match (new, word.parse::<Ipv6Addr>()) {
            (Some(new), Ok(_)) => new,
            (Some(new), Err(_)) => word.replacen(core, &new, 1),
            (None, _) => word.to_owned(),
        }
    }

    fn core(&self, core: &str) -> Option<String> {
        if let Ok(address) = core.parse::<Ipv4Addr>() {
            return Some(self.ipv4(address, 32).to_string());
        }
        if let Ok(address) = core.parse::<Ipv6Addr>() {
            return Some(self.ipv6(address, 128).to_string());
        }
        for separator in [':', '-'] {
            if let Some(bytes) = octets(core, separator) {
                let text: Vec<String> = self.octets(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
                return Some(text.join(&separator.to_string()));
            }
        }
        if let Some(name) = self.named_by_mac(core) {
            return Some(name);
        }
        if let Some(identifier) = self.identifier(core) {
            return Some(identifier);
        }
        // A UUID may hang on other words: `CRYPT-LUKS2-UUID-name`, `nqn.2014-08.org.nvmexpress:uuid:UUID`.
        let start =
            (0..core.len().saturating_sub(35)).find(|start| core.get(*start..start + 36).is_some_and(is_uuid))?;
        Some(format!("{}{}{}", &core[..start], self.uuid(&core[start..start + 36]), &core[start + 36..]))
    }

    /// Interfaces that udev names by their MAC address.
    fn named_by_mac(&self, word: &str) -> Option<String> {
        let digits = ["enx", "wlx", "wwx"].iter().find_map(|prefix| word.strip_prefix(prefix))?;
        let bytes: Option<Vec<u8>> = (digits.len() == 12 && digits.is_ascii())
            .then(|| (0..6).map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).ok()).collect())?;
        let mac: String = self.octets(&bytes?).iter().map(|byte| format!("{byte:02x}")).collect();
        Some(format!("{}{mac}", &word[..3]))
    }

    /// World-wide names: `eui.0025385...`, `naa.5000c500...`, `nvme.144d-...`.
    fn identifier(&self, word: &str) -> Option<String> {
        let (kind, rest) = word.split_once('.')?;
        let is_name = matches!(kind, "eui" | "naa" | "nvme") && rest.len() >= 8;
        is_name.then(|| format!("{kind}.{:016x}", self.hash("wwn", rest)))
    }

    /// A UUID of the same form.
    fn uuid(&self, uuid: &str) -> String {
        let uuid = uuid.to_ascii_lowercase();
        if uuid.bytes().all(|byte| matches!(byte, b'0' | b'-')) {
            return uuid;
        }
        let (high, low) = (self.hash("uuid", &uuid), self.hash("uuid'", &uuid));
        let digits = format!("{high:016x}{low:016x}");
        format!("{}-{}-4{}-8{}-{}", &digits[..8], &digits[8..12], &digits[13..16], &digits[17..20], &digits[20..])
    }

    /// Six octets become a MAC address that is administered locally; longer ones are replaced one by one.
    fn octets(&self, bytes: &[u8]) -> Vec<u8> {
        if bytes.iter().all(|byte| *byte == 0) || bytes.iter().all(|byte| *byte == 0xff) {
            return bytes.to_owned();
        }
        let mut new: Vec<u8> = Vec::with_capacity(bytes.len() + 8);
        for round in 0..bytes.len().div_ceil(8) {
            new.extend(self.hash("octets", [bytes, &[round as u8]].concat()).to_be_bytes());
        }
        new.truncate(bytes.len());
        if let Some(first) = new.first_mut().filter(|_| bytes.len() == 6) {
            // Bit 1 says local, bit 0 would say multicast (IEEE 802).
            *first = (*first & 0xfc) | 0x02;
        }
        new
    }

    /// An address of which `length` bits are its network's. Addresses that began alike begin alike.
    fn ipv4(&self, address: Ipv4Addr, length: u32) -> Ipv4Addr {
        if address.is_unspecified() || address.is_loopback() || address.is_broadcast() {
            return address;
        }
        let bits = u128::from(u32::from(address)) << 96;
        Ipv4Addr::from((self.prefix("ipv4", bits, KEPT4, length.min(32)) >> 96) as u32)
    }

    fn ipv6(&self, address: Ipv6Addr, length: u32) -> Ipv6Addr {
        if address.is_unspecified() || address.is_loopback() {
            return address;
        }
        Ipv6Addr::from(self.prefix("ipv6", u128::from(address), KEPT6, length.min(128)))
    }

    /// Turns each bit between `kept` and `length` by a hash of all bits before it; those after `length` become zero.
    fn prefix(&self, kind: &str, bits: u128, kept: u32, length: u32) -> u128 {
        let mut new = 0;
        for at in 0..length {
            let bit = bits >> (127 - at) & 1;
            let before = if at == 0 { 0 } else { bits >> (128 - at) };
            let turn = if at < kept { 0 } else { u128::from(self.hash(kind, format!("{at} {before:x}")) & 1) };
            new |= (bit ^ turn) << (127 - at);
        }
        new
    }

    /// A path: below /dev and /sys names of devices stay, elsewhere all but the names that every system has are replaced.
    pub(crate) fn path(&self, path: &str) -> String {
        const EVERYWHERE: [&str; 24] = [
            "", "bin", "boot", "data", "dev", "efi", "etc", "home", "lib", "media", "mnt", "opt", "proc", "root",
            "run", "sbin", "share", "srv", "sys", "tmp", "usr", "var", "swapfile", "local",
        ];
        if let Some(name) = path.strip_prefix("/dev/mapper/") {
            return format!("/dev/mapper/{}", self.name(name));
        }
        if path.starts_with("/dev/") || path.starts_with("/sys/") || path.starts_with("/proc/") {
            return self.text(path);
        }
        let step = |step: &str| if EVERYWHERE.contains(&step) { step.to_owned() } else { self.name(step) };
        path.split('/').map(step).collect::<Vec<_>>().join("/")
    }

    /// A line of mountinfo: what is mounted where, of which number and kind. Options that name no disk go.
    pub(crate) fn mount(&self, line: &str) -> Option<String> {
        let (before, after) = line.split_once(" - ")?;
        let mut fields: Vec<String> = before.split(' ').map(str::to_owned).collect();
        let [kind, source, options] = after.splitn(3, ' ').collect::<Vec<_>>()[..] else { return None };
        // The root of a namespace that a mount keeps is its number.
        if let Some(root) = fields.get_mut(3).filter(|root| root.starts_with('/')) {
            *root = self.path(root);
        }
        let point = fields.get_mut(4)?;
        *point = self.path(point);
        let is_word = !source.contains(['/', ':', '@', '.']);
        let source = match source {
            _ if source.starts_with("/dev/") => self.path(source),
            _ if is_word => source.to_owned(),
            _ => self.name(source),
        };
        let names_disk = |option: &&str| option.split_once('=').is_none_or(|(_, value)| value.starts_with("/dev/"));
        let options: Vec<String> = options.split(',').filter(names_disk).map(|option| self.text(option)).collect();
        Some(format!("{} - {kind} {source} {}", fields.join(" "), options.join(",")))
    }

    /// /proc/swaps.
    pub(crate) fn swap(&self, line: &str) -> String {
        match line.split_once(char::is_whitespace) {
            Some((path, rest)) if path.starts_with('/') => format!("{} {rest}", self.path(path)),
            _ => line.to_owned(),
        }
    }

    /// A line of /proc/net/route: destination, gateway and mask are numbers in the machine's own byte order.
    pub(crate) fn route(&self, line: &str) -> String {
        let mut words: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let number = |word: &str| u32::from_str_radix(word.trim(), 16).ok().filter(|_| word.trim().len() == 8);
        let mask = words.get(7).and_then(|word| number(word));
        for (at, length) in [(1, mask.map_or(32, u32::count_ones)), (2, 32)] {
            if let (Some(word), Some(_)) = (words.get_mut(at), mask) {
                if let Some(bits) = number(word) {
                    let new = self.ipv4(Ipv4Addr::from(u32::from_be(bits)), length);
                    *word = format!("{:08X}", u32::from(new).to_be());
                }
            }
        }
        if let Some(interface) = words.first_mut() {
            *interface = self.text(interface);
        }
        words.join("\t")
    }

    /// A line of ipv6_route or if_inet6: addresses are 32 digits, a length of two may follow.
    pub(crate) fn inet6(&self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        // In ipv6_route the length follows the address, and zeros the network; in if_inet6 an index does.
        let is_route = words.len() > 6 && words.iter().filter(|word| word.len() == 32).count() > 1;
        let mut written: Vec<String> = Vec::with_capacity(words.len());
        for (at, word) in words.iter().enumerate() {
            let address = u128::from_str_radix(word, 16).ok().filter(|_| word.len() == 32);
            let length = words.get(at + 1).filter(|next| is_route && next.len() == 2);
            let length = length.and_then(|length| u32::from_str_radix(length, 16).ok()).unwrap_or(128);
            written.push(match address {
                Some(address) => format!("{:032x}", u128::from(self.ipv6(Ipv6Addr::from(address), length))),
                None => self.text(word),
            });
        }
        written.join(" ")
    }

    /// A command line: the program; of pcictl's own also what it works on.
    pub(crate) fn command(&self, cmdline: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(cmdline);
        let mut words = text.split('\0').filter(|word| !word.is_empty());
        let Some(program) = words.next() else { return Vec::new() };
        // A program may write anything over its own command line.
        let program = program.split(' ').next().unwrap_or_default();
        let name = program.rsplit('/').next().unwrap_or_default();
        let directory = program.strip_suffix(name).unwrap_or_default();
        let mut kept = vec![format!("{}{name}", self.path(directory))];
        if name == "pcictl" {
            kept[0] = "pcictl".to_owned();
            let is_ours = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
            let says_where = |word: &str| word.contains('/') || PciAddress::from_sysfs_name(word).is_some();
            let own = words.take_while(|word| *word != "--").filter(|word| is_ours(word) || says_where(word));
            kept.extend(own.map(|word| self.text(word)));
        }
        kept.into_iter().flat_map(|word| [word.into_bytes(), vec![0]].concat()).collect()
    }

    /// What a function was: serial numbers, and names of disks that are made of them.
    pub(crate) fn record(&self, record: &mut DeviceRecord) {
        record.by_id.clear();
        let serials = &mut record.serials;
        serials.nvme = serials.nvme.take().map(|serial| self.serial(&serial));
        serials.dsn = serials.dsn.take().map(|serial| self.text(&serial));
        let names = record.names.values_mut().flatten();
        for name in names.chain(&mut serials.mac) {
            *name = self.text(name);
        }
    }
}

/// What addresses and numbers are made of.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, ':' | '.' | '-')
}

/// Six or more octets with a separator between them.
fn octets(word: &str, separator: char) -> Option<Vec<u8>> {
    let byte = |text: &str| u8::from_str_radix(text, 16).ok().filter(|_| text.len() == 2 && !text.starts_with('+'));
    let bytes: Vec<u8> = word.split(separator).map(byte).collect::<Option<_>>()?;
    (bytes.len() >= 6).then_some(bytes)
}

fn is_uuid(text: &str) -> bool {
    let is_digit = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.bytes().enumerate().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_somebody_is_replaced_the_same_way_each_time() {
        let names = Anonymizer::default();
        let mac = names.text("00:1b:21:00:00:01");
        assert_eq!(names.text("(00:1b:21:00:00:01)\n"), format!("({mac})\n"));
        let first = u8::from_str_radix(&mac[..2], 16).unwrap();
        assert!(mac.len() == 17 && mac != "00:1b:21:00:00:01" && first & 3 == 2, "{mac}");
        assert_eq!(names.text("net/enx001b21000001/x"), format!("net/enx{}/x", mac.replace(':', "")));
        let uuid = "0a1b2c3d-0000-4000-8000-0123456789ab";
        let new = names.text(uuid);
        assert!(is_uuid(&new) && new != uuid, "{new}");
        assert_eq!(names.text(&format!("x:uuid:{uuid}.")), format!("x:uuid:{new}."));
        assert_ne!(names.text("00-1b-21-ff-ff-00-00-01"), "00-1b-21-ff-ff-00-00-01");
        assert_eq!(names.text("00:00:00:00:00:00"), "00:00:00:00:00:00");
        assert_ne!(names.serial("S64DNX0R"), Anonymizer::default().serial("S64DNX0R"));
    }

    #[test]
    fn what_a_device_is_stays() {
        let names = Anonymizer::default();
        let text = "../../devices/pci0000:00/0000:00:1c.0/10000:e1:00.0/nvme/nvme0 pci:v00008086d000010D3sv00008086sd0000A01F\n\
            0x0000390012000000 16.0 GT/s PCIe 259:0 fd:01 6.12.117 1.2.3 vfio_pci_core ::1 0000:03\n";
        assert_eq!(names.text(text), text);
    }

    #[test]
    fn an_address_stays_in_its_network() {
        let names = Anonymizer::default();
        let parse = |text: &str| u32::from(text.parse::<Ipv4Addr>().unwrap());
        let (network, inside) = (names.text("10.1.2.0/24"), names.text("10.1.2.77"));
        let network = network.strip_suffix("/24").unwrap();
        assert_eq!(parse(network), parse(&inside) & 0xffff_ff00);
        assert!(network.starts_with("10.") && inside != "10.1.2.77");
        assert_eq!(names.text("127.0.0.1 0.0.0.0/0"), "127.0.0.1 0.0.0.0/0");
        let six = names.text("2001:db8::1");
        assert!(six.starts_with("2001:") && six != "2001:db8::1", "{six}");
        let line = "eth0\t0002000A\t0102000A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0";
        let words: Vec<String> = names.route(line).split('\t').map(str::to_owned).collect();
        let at = |word: &str| u32::from_be(u32::from_str_radix(word, 16).unwrap());
        assert_eq!(at(&words[1]), at(&words[2]) & 0xffff_ff00);
        assert_ne!(words[1], "0002000A");
        let line = "20010db8000000000000000000000001 02 40 00 80     eth1";
        assert_eq!(names.inet6(line)[32..], line[32..]);
        assert_ne!(names.inet6(line), line);
    }

    #[test]
    fn a_command_line_keeps_its_program() {
        let names = Anonymizer::default();
        assert_eq!(names.command(b"/usr/bin/python3\0--password=x\0"), b"/usr/bin/python3\0");
        let own = b"pcictl\0lock\0--wait\x005\x000000:03:00.0\0--\0curl\0secret\0";
        assert_eq!(names.command(own), b"pcictl\0lock\0--wait\x000000:03:00.0\0");
    }

    #[test]
    fn a_mount_keeps_its_numbers_and_disks() {
        let names = Anonymizer::default();
        let line = "30 22 8:1 / /srv/alice rw,x shared:9 - xfs /dev/sda1 rw,logdev=/dev/sdb1,uid=1";
        let expected =
            format!("30 22 8:1 / /srv/{} rw,x shared:9 - xfs /dev/sda1 rw,logdev=/dev/sdb1", names.name("alice"));
        assert_eq!(names.mount(line), Some(expected));
        let nfs = names.mount("31 22 0:50 / /mnt rw - nfs4 host.example:/x rw,addr=10.0.0.9").unwrap();
        assert!(!nfs.contains("host") && !nfs.contains("10.0.0.9"), "{nfs}");
    }
}
