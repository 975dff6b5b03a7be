//! Errors of a function's link and transactions, as the kernel has counted them (Advanced Error Reporting).
//!
//! The kernel counts in memory when an error is reported to it and answers from there (aer_stats in drivers/pci/pcie/aer.c):
//! to read them asks no hardware and waits for nobody. Where firmware keeps AER for itself, these files are absent or stay at 0.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::host::sysfs::Sysfs;

/// How many errors there were since the function was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) struct AerCounters {
    /// Corrected by the hardware.
    pub(crate) correctable: u64,
    /// A transaction is lost, the link works.
    pub(crate) nonfatal: u64,
    /// The link cannot be relied on.
    pub(crate) fatal: u64,
    /// Those of each kind that were seen: `RxErr`, `BadTLP`, `CmpltTO`...
    pub(crate) kinds: BTreeMap<String, u64>,
}

impl AerCounters {
    /// Those of the function with this directory; none if the kernel counts none.
    pub(crate) fn read(sysfs: &Sysfs, path: &str) -> Option<Self> {
        let mut counters = Self::default();
        let mut is_told = false;
        for (file, total) in [
            ("aer_dev_correctable", &mut counters.correctable),
            ("aer_dev_nonfatal", &mut counters.nonfatal),
            ("aer_dev_fatal", &mut counters.fatal),
        ] {
            let Some(text) = sysfs.value(&format!("{path}/{file}")) else { continue };
            is_told = true;
            for (kind, count) in text.lines().filter_map(count) {
                if kind.starts_with("TOTAL_ERR_") {
                    *total = count;
                } else if count > 0 {
                    let of_kind = counters.kinds.entry(kind.to_owned()).or_default();
                    *of_kind = of_kind.saturating_add(count);
                }
            }
        }
        is_told.then_some(counters)
    }
}

/// `RxErr 3`
fn count(line: &str) -> Option<(&str, u64)> {
    let (kind, count) = line.trim().rsplit_once(' ')?;
    Some((kind, count.parse().ok()?))
}
