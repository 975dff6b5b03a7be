//! Which kernel modules are for a function: the table that modprobe reads, and those that modprobe must not load.

use std::collections::HashSet;

use crate::host::root::Root;

/// Where modprobe's configuration lies, any of which can forbid a module (modprobe.d(5)).
const CONFIGURATION: [&str; 4] = ["etc/modprobe.d", "run/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d"];

/// `modules.alias` of a distribution has a few MiB; nothing that is read here is larger.
const LARGEST: usize = 64 << 20;

/// The aliases of the running kernel's modules; read when the first one is asked for.
#[derive(Debug)]
pub(crate) struct Modules<'a> {
    root: &'a Root,
    release: String,
    loaded: Option<ModuleTable>,
}

#[derive(Debug, Default)]
struct ModuleTable {
    /// `alias PATTERN MODULE` lines.
    aliases: String,
    /// `MODULE.alias=PATTERN`, ended by zero bytes, of what is built in.
    builtin: String,
    forbidden: HashSet<String>,
}

impl<'a> Modules<'a> {
    /// Those of the running kernel, below this root.
    pub(crate) fn new(root: &'a Root) -> Self {
        // A dumped tree may say which kernel it was.
        let dumped = text(root, "proc/sys/kernel/osrelease").map(|text| text.trim().to_owned());
        let own = || nix::sys::utsname::uname().ok().map(|name| name.release().to_string_lossy().into_owned());
        Self { root, release: dumped.or_else(own).unwrap_or_default(), loaded: None }
    }

    /// The kernel whose modules they are.
    pub(crate) fn release(&self) -> &str {
        &self.release
    }

    /// The same as [`for_alias`](Self::for_alias); none where no table says what modules there are.
    pub(crate) fn known_for_alias(&mut self, modalias: &str) -> Option<Vec<String>> {
        let found = self.for_alias(modalias);
        let is_known = self.loaded.as_ref().is_some_and(|table| !table.aliases.is_empty() || !table.builtin.is_empty());
        is_known.then_some(found)
    }

    /// The modules that say they are for this `modalias` and may be loaded; sorted, without repeats.
    pub(crate) fn for_alias(&mut self, modalias: &str) -> Vec<String> {
        let (root, release) = (self.root, &self.release);
        let table = self.loaded.get_or_insert_with(|| ModuleTable::read(root, release));
        table.matching(modalias)
    }
}

impl ModuleTable {
    fn read(root: &Root, release: &str) -> Self {
        // The release is a name that a dumped tree may choose.
        let directories = ["lib/modules", "usr/lib/modules"].iter().filter(|_| !release.contains('/'));
        let directory = directories.map(|above| format!("{above}/{release}")).find(|directory| root.exists(directory));
        let table = |name: &str| directory.as_ref().and_then(|directory| text(root, &format!("{directory}/{name}")));
        let aliases = table("modules.alias").unwrap_or_default();
        let builtin = table("modules.builtin.modinfo").unwrap_or_default();
        Self { aliases, builtin, forbidden: blocked_modules(root) }
    }

    fn matching(&self, modalias: &str) -> Vec<String> {
        let listed = self.aliases.lines().filter_map(|line| {
            let (pattern, module) = line.strip_prefix("alias ")?.split_once(' ')?;
            Some((pattern, module))
        });
        let built_in = self.builtin.split('\0').filter_map(|entry| {
            let (module, pattern) = entry.split_once(".alias=")?;
            Some((pattern, module))
        });
        let for_it = |(pattern, module): (&str, &str)| {
            (pattern.starts_with("pci:") && matches_pattern(pattern.as_bytes(), modalias.as_bytes()))
                .then(|| normalized(module))
        };
        let mut found: Vec<String> = listed.chain(built_in).filter_map(for_it).collect();
        found.retain(|module| !self.forbidden.contains(module));
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Modules that modprobe does not load by their aliases: `blacklist NAME`, `install NAME /bin/false`, and the same on
/// the kernel's command line.
fn blocked_modules(root: &Root) -> HashSet<String> {
    let mut found = HashSet::new();
    let listed = |directory: &&str| -> Vec<String> {
        let names = root.names(directory).ok().flatten().unwrap_or_default();
        names.into_iter().map(|name| format!("{directory}/{name}")).collect()
    };
    for file in CONFIGURATION.iter().flat_map(listed) {
        let text = text(root, &file).unwrap_or_default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some("blacklist"), Some(module), _) => found.insert(normalized(module)),
                (Some("install"), Some(module), Some(command)) if is_refusal(command) => {
                    found.insert(normalized(module))
                }
                _ => false,
            };
        }
    }
    let line = text(root, "proc/cmdline").unwrap_or_default();
    let lists = line.split_whitespace().filter_map(|word| word.strip_prefix("modprobe.blacklist="));
    found.extend(lists.flat_map(|list| list.split(',')).map(normalized));
    found
}

/// A file that may be absent; one that cannot be read forbids nothing and names nothing.
fn text(root: &Root, path: &str) -> Option<String> {
    root.text(path, LARGEST).ok().flatten()
}

fn is_refusal(command: &str) -> bool {
    matches!(command.rsplit('/').next(), Some("false" | "true"))
}

/// Module names are spelled with `-` or `_` as it pleases.
fn normalized(module: &str) -> String {
    module.trim().replace('-', "_")
}

/// fnmatch(3) as modprobe uses it on aliases: `*`, `?`, and `[...]` with ranges.
pub(crate) fn matches_pattern(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last star was, and how far it has swallowed.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => match_set(&pattern[p..], text[t]),
            Some(byte) if *byte == text[t] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(step), _) => (p, t) = (p + step, t + 1),
            (None, Some((at, swallowed))) => {
                star = Some((at, swallowed + 1));
                (p, t) = (at + 1, swallowed + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// The length of the set that a pattern begins with, if the byte is in it.
fn match_set(pattern: &[u8], byte: u8) -> Option<usize> {
    let end = pattern.iter().position(|byte| *byte == b']')?;
    let members = &pattern[1..end];
    let mut index = 0;
    while index < members.len() {
        let last = if members.get(index + 1) == Some(&b'-') { index + 2 } else { index };
        let upper = *members.get(last)?;
        if (members[index]..=upper).contains(&byte) {
            return Some(end + 1);
        }
        index = last + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn patterns_match_as_fnmatch_does() {
        for (pattern, text) in [
            ("pci:v00008086d000010D3sv*sd*bc*sc*i*", "pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00"),
            ("pci:v*d*sv*sd*bc01sc08i02*", "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02"),
            ("pci:v00001234d000011E8sv*sd*bc*sc*i*", "pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00"),
            ("pci:v*d*sv*sd*bc00scFFi00*", "pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00"),
            ("pci:v00001234d000011E8sv00001AF4", "pci:v00001234d000011E8sv00001AF4"),
            ("a[0-9b]?*", "a7x"),
            ("*", ""),
            ("a*b*c", "aXbYbZc"),
        ] {
            assert!(matches_pattern(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a", "ab"),
            ("a[0-9]", "ax"),
            ("pci:v*bc01sc08i02*", "pci:v1bc01sc06i01"),
            ("a[", "a["),
            ("pci:v00001234", "pci:v00001234d000011E8"),
            ("pci:v00001234d000011E9sv*sd*bc*sc*i*", "pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00"),
        ] {
            assert!(!matches_pattern(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }

    #[test]
    fn a_dumped_tree_says_which_kernel_it_was() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
        fs::write(root.path().join("proc/sys/kernel/osrelease"), "9.9-theirs\n").unwrap();
        fs::create_dir_all(root.path().join("lib/modules/9.9-theirs")).unwrap();
        fs::write(root.path().join("lib/modules/9.9-theirs/modules.alias"), "alias pci:v*bc01* nvme\n").unwrap();
        let root = Root::open(Some(root.path())).unwrap();
        assert_eq!(Modules::new(&root).for_alias("pci:v1bc01"), ["nvme"]);
    }

    #[test]
    fn what_modprobe_must_not_load_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        let release = nix::sys::utsname::uname().unwrap().release().to_string_lossy().into_owned();
        let modules = root.path().join("lib/modules").join(release);
        fs::create_dir_all(&modules).unwrap();
        fs::create_dir_all(root.path().join("etc/modprobe.d")).unwrap();
        let aliases = "# made by depmod\nalias pci:v*bc01* nvme\nalias pci:v*bc01* no-way\nalias pci:v*bc01* never\nalias usb:* x\n";
        fs::write(modules.join("modules.alias"), aliases).unwrap();
        fs::write(modules.join("modules.builtin.modinfo"), "ahci.alias=pci:v*bc01*\0ahci.license=GPL\0").unwrap();
        let opened = Root::open(Some(root.path())).unwrap();
        let mut all = Modules::new(&opened);
        assert_eq!(all.for_alias("pci:v1bc01"), ["ahci", "never", "no_way", "nvme"]);
        fs::write(root.path().join("etc/modprobe.d/a.conf"), "blacklist no_way\ninstall never /bin/false\n").unwrap();
        let mut allowed = Modules::new(&opened);
        assert_eq!(allowed.for_alias("pci:v1bc01"), ["ahci", "nvme"]);
        assert!(allowed.for_alias("pci:v1bc02").is_empty());
    }
}
