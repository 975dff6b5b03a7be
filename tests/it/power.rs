//! Which functions must not sleep.

use std::fs;

use crate::support::Tree;
use crate::support::run::Run;

#[test]
fn a_function_whose_memory_has_no_address_must_not_sleep() {
    let tree = Tree::load("guest-iommu");
    let resource = tree.device("0000:01:00.0").join("resource");
    // A BAR for ports without an address is common, and nobody misses it.
    fs::write(
        &resource,
        "0x0000000000001000 0x0000000000001fff 0x0000000000040200\n0x0000000000000000 0x000000000000001f 0x0000000020040101\n",
    )
    .unwrap();
    let power = |words: &str| Run::words(&format!("power -n {words} 0000:01:00.0")).on(&tree);
    power("--runtime auto").stdout_like("would set power/control of 0000:01:00.0 to auto\n...\n").check();
    fs::write(
        &resource,
        "0x0000000000000000 0x0000000000000fff 0x0000000020040200\n0x0000000000000000 0x0000000000000000 0x0000000000000000\n",
    )
    .unwrap();
    power("--runtime auto")
        .stderr(
            "pcictl: 0000:01:00.0: must not sleep while its BAR 0 has no address; it would wake with what was saved before \
             it gets one\nhint: pcictl replug 0000:01:00.0 has addresses dealt out again\n",
        )
        .status(4)
        .check();
    power("--d3cold off").stdout_like("would set d3cold_allowed of 0000:01:00.0 to 0\n...\n").check();
}
