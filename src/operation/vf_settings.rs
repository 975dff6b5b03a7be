//! What physical functions keep for their VFs, as far as it can be told in time.

use crate::operation::context::Context;
use crate::topology::model::{FunctionId, Topology};
use crate::topology::vf_setting::VfSetting;
use crate::verify::capture::vf_settings;

/// The base class of network controllers.
const NETWORK: u32 = 0x02;

/// Whether its driver may keep something for its VFs. One whose class is not known may.
pub(crate) fn is_network(topology: &Topology, physical: FunctionId) -> bool {
    topology.function(physical).ids.is_none_or(|ids| ids.class >> 16 == NETWORK)
}

/// The settings that go with the VFs of a physical function. Where they cannot be told, which is said, nobody can put them
/// back.
pub(crate) fn to_keep(context: &Context, topology: &Topology, physical: FunctionId) -> Vec<VfSetting> {
    if topology.virtual_functions(physical).is_empty() || !is_network(topology, physical) {
        return Vec::new();
    }
    let (address, sysfs) = (topology.function(physical).address, &context.machine.sysfs);
    vf_settings(sysfs, address).unwrap_or_else(|why| {
        // Of a dumped tree nothing is put back.
        if !sysfs.is_dump() {
            context.tell_once(format!("{address}: the MACs of its VFs cannot be told, and so not be put back: {why}"));
        }
        Vec::new()
    })
}
