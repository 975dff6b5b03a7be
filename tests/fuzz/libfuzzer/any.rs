//! One program for all targets: `PCICTL_FUZZ_TARGET` says which.
#![no_main]

use std::cell::OnceCell;

use fuzz::target::Target;
use libfuzzer_sys::fuzz_target;

thread_local! {
    static TARGET: OnceCell<Target> = const { OnceCell::new() };
}

fn named() -> Target {
    let name = std::env::var("PCICTL_FUZZ_TARGET").expect("PCICTL_FUZZ_TARGET names a target");
    Target::named(&name).unwrap_or_else(|| panic!("{name} is not a target"))
}

fuzz_target!(|bytes: &[u8]| TARGET.with(|target| target.get_or_init(named).run(bytes)));
