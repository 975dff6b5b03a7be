//! Makes a sysfs tree of a given size, for timing whole processes on it:
//!
//! ```text
//! cargo run --example maketree 65536 /dev/shm/tree-65536
//! pcictl list --sysroot /dev/shm/tree-65536
//! ```
#![allow(missing_docs)]

#[path = "../tests/it/support/maketree.rs"]
mod maketree;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [count, directory] = arguments.as_slice() else {
        eprintln!("usage: cargo run --example maketree FUNCTIONS DIRECTORY");
        return ExitCode::from(2);
    };
    let Ok(count) = count.parse() else {
        eprintln!("maketree: {count} is no number of functions");
        return ExitCode::from(2);
    };
    let start = Instant::now();
    let made = std::fs::create_dir(directory).and_then(|()| maketree::make(Path::new(directory), count));
    if let Err(error) = made {
        eprintln!("maketree: {directory}: {error}");
        return ExitCode::FAILURE;
    }
    eprintln!(
        "{directory}: {count} functions in {:.1} s, {} at the same place in each",
        start.elapsed().as_secs_f32(),
        maketree::SWITCH
    );
    ExitCode::SUCCESS
}
