//! Targets on the fabric side: ports of the functions through which this machine serves others, whatever it serves them.
//!
//! A port is found by its world-wide name, which LIO, SCST and nvmet use as a name, or by SCST's link to the host. Targets
//! by IP address (iSCSI, iSER, NVMe over TCP and RDMA) are not looked for here: the interface's address speaks for them.

use crate::host::sysfs::{Sysfs, follow, last_step};
use crate::pci::address::PciAddress;
use crate::usage::model::{Danger, User};
use crate::usage::scope::Scope;

/// A port of one of the functions.
struct Port {
    address: PciAddress,
    /// `host5`, `mlx5_0`.
    name: String,
    /// The directory of its host or device below `sys`.
    path: String,
    /// Its world-wide names, in digits alone.
    names: Vec<String>,
}

/// The enabled targets on ports of the functions.
pub(crate) fn users(sysfs: &Sysfs, scope: &Scope) -> Vec<User> {
    let ports = ports(sysfs, scope);
    if ports.is_empty() {
        return Vec::new();
    }
    let mut users = Vec::new();
    for (fabric, target, port) in lio(sysfs, &ports).into_iter().chain(scst(sysfs, &ports)).chain(nvmet(sysfs, &ports))
    {
        let what = format!("{fabric} target {target}");
        let description = format!("{what} is enabled on {} and serves others", port.name);
        users.push(User::new(Danger::Holders, port.address, port.name.clone(), what, description));
    }
    users
}

/// Fibre Channel hosts and InfiniBand devices below the functions. Their names are kept in memory
/// (drivers/scsi/scsi_transport_fc.c, drivers/infiniband/core/sysfs.c).
fn ports(sysfs: &Sysfs, scope: &Scope) -> Vec<Port> {
    let mut ports = Vec::new();
    for class in ["class/fc_host", "class/infiniband"] {
        for name in sysfs.listed(class) {
            let target = sysfs.link(&format!("{class}/{name}")).ok().flatten();
            let Some(path) = target.and_then(|target| follow(class, &target)) else { continue };
            let Some(address) = scope.owner(&path) else { continue };
            let mut found: Vec<String> =
                ["port_name", "node_guid"].iter().filter_map(|file| sysfs.value(&format!("{path}/{file}"))).collect();
            for port in sysfs.listed(&format!("{path}/ports")) {
                found.extend(sysfs.value(&format!("{path}/ports/{port}/gids/0")));
            }
            let found = found.iter().map(|name| digits(name)).filter(|name| name.len() >= 16).collect();
            let path = path.split("/fc_host/").next().unwrap_or_default().to_owned();
            ports.push(Port { address, name, path, names: found });
        }
    }
    ports
}

/// The hexadecimal digits of a name: `0x21000024ff000001` and `21:00:00:24:ff:00:00:01` are one.
fn digits(name: &str) -> String {
    let name = name.trim().to_ascii_lowercase();
    let name = ["0x", "naa.", "ib.", "eui."].iter().find_map(|start| name.strip_prefix(start)).unwrap_or(&name);
    name.chars().filter(char::is_ascii_hexdigit).collect()
}

/// The port of that name. A port of InfiniBand goes by its GUID, or by the GID that ends in it.
fn port_named<'a>(ports: &'a [Port], name: &str) -> Option<&'a Port> {
    let name = digits(name);
    let is_it = |own: &String| name.len() >= 16 && (own.ends_with(&name) || name.ends_with(own.as_str()));
    ports.iter().find(|port| port.names.iter().any(is_it))
}

type Found<'a> = Vec<(String, String, &'a Port)>;

/// LIO: target/FABRIC/NAME/tpgt_N/enable. A fabric without that file has no switch, and is on.
fn lio<'a>(sysfs: &Sysfs, ports: &'a [Port]) -> Found<'a> {
    let top = "kernel/config/target";
    let mut found = Vec::new();
    for fabric in sysfs.listed(top).into_iter().filter(|name| name != "core") {
        for target in sysfs.listed(&format!("{top}/{fabric}")) {
            // A virtual port is named after the physical one, too: `PHYSICAL@VIRTUAL` or `VIRTUAL:PHYSICAL`.
            let Some(port) = target.split('@').find_map(|name| port_named(ports, name)) else { continue };
            let directory = format!("{top}/{fabric}/{target}");
            let is_enabled = |group: &String| {
                let enable = sysfs.value(&format!("{directory}/{group}/enable"));
                group.starts_with("tpgt_") && enable.is_none_or(|enable| enable != "0")
            };
            if sysfs.listed(&directory).iter().any(is_enabled) {
                found.push((format!("SCSI ({fabric})"), target, port));
            }
        }
    }
    found
}

/// SCST: targets/DRIVER/NAME/enabled, and a link to the host where there is one.
fn scst<'a>(sysfs: &Sysfs, ports: &'a [Port]) -> Found<'a> {
    let top = "kernel/scst_tgt/targets";
    let mut found = Vec::new();
    for driver in sysfs.listed(top) {
        for target in sysfs.listed(&format!("{top}/{driver}")) {
            let directory = format!("{top}/{driver}/{target}");
            let host = sysfs.link(&format!("{directory}/host")).ok().flatten();
            let path = host.and_then(|host| follow(&directory, &host));
            let linked =
                path.and_then(|path| ports.iter().find(|port| path == port.path || last_step(&path) == port.name));
            let Some(port) = linked.or_else(|| port_named(ports, &target)) else { continue };
            let enabled = sysfs.value(&format!("{directory}/enabled"));
            // A driver without the file has no switch; what is no target has neither file nor link.
            let is_target = enabled.is_some() || sysfs.exists(&format!("{directory}/host"));
            if is_target && enabled.is_none_or(|enabled| !enabled.starts_with('0')) {
                found.push((format!("SCST ({driver})"), target, port));
            }
        }
    }
    found
}

/// nvmet: ports/N over Fibre Channel, with subsystems linked to it: `addr_traddr` is `nn-0x...:pn-0x...`.
fn nvmet<'a>(sysfs: &Sysfs, ports: &'a [Port]) -> Found<'a> {
    let top = "kernel/config/nvmet/ports";
    let mut found = Vec::new();
    for number in sysfs.listed(top) {
        let directory = format!("{top}/{number}");
        let traddr = sysfs.value(&format!("{directory}/addr_traddr")).unwrap_or_default();
        let Some(port) = traddr.split("pn-").nth(1).and_then(|name| port_named(ports, name)) else { continue };
        for subsystem in sysfs.listed(&format!("{directory}/subsystems")) {
            found.push(("NVMe".to_owned(), subsystem, port));
        }
    }
    found
}
