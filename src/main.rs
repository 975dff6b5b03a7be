//! The `pcictl` binary.

fn main() {}
