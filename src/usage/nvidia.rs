//! What NVIDIA's own driver keeps to itself: its nodes, and what it does not tell.

use crate::host::procfs::Procfs;
use crate::usage::model::Danger;
use crate::usage::process::descriptors::{Node, Wanted};
use crate::usage::scope::Scope;

/// Adds the nodes that NVIDIA's own driver makes without telling /sys; which is whose is told below /proc/driver.
///
/// # Errors
/// It is not told for a function that the driver has.
pub(crate) fn want_nvidia(proc: &Procfs, scope: &Scope, wanted: &mut Wanted) -> Result<(), String> {
    for (address, subject) in scope.iter().filter(|(_, subject)| subject.driver.as_deref() == Some("nvidia")) {
        let file = format!("driver/nvidia/gpus/{address}/information");
        let text = proc.text(&file).ok().flatten().unwrap_or_default();
        let minor = text.lines().find_map(|line| line.strip_prefix("Device Minor:")).map(str::trim);
        let Some(minor) = minor.and_then(|minor| minor.parse::<u32>().ok()) else {
            return Err(format!(
                "{address}: /proc/{file} does not tell which /dev/nvidia node it is ({})",
                subject.path
            ));
        };
        /// The major number of /dev/nvidiaN (Documentation/admin-guide/devices.txt leaves it to NVIDIA).
        const MAJOR: u32 = 195;
        let node = Node { address, path: format!("/dev/nvidia{minor}"), origin: String::new(), danger: Danger::Open };
        wanted.add(false, Some((MAJOR, minor)), node);
    }
    Ok(())
}

/// What nobody outside of NVIDIA's driver can see.
pub(crate) fn notes(scope: &Scope) -> Vec<String> {
    let nvidia = scope.iter().filter(|(_, subject)| subject.driver.as_deref() == Some("nvidia"));
    nvidia
        .map(|(address, _)| format!("{address}: whether nvidia persistence mode keeps it busy cannot be seen"))
        .collect()
}
