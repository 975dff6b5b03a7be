//! Makes the directories of a dumped tree, for programs that are not in Rust:
//!
//! ```text
//! cargo run --example unpack-tree tests/trees/manual.tree /tmp/tree
//! ```
#![allow(missing_docs)]

#[allow(dead_code)] // the tests use more of it
#[path = "../it/support/dump.rs"]
mod dump;

use std::path::Path;
use std::process::ExitCode;

use dump::{Dump, Order};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, directory] = arguments.as_slice() else {
        eprintln!("usage: cargo run --example unpack-tree FILE.tree DIRECTORY");
        return ExitCode::from(2);
    };
    match unpack(Path::new(file), Path::new(directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("unpack-tree: {file}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn unpack(file: &Path, directory: &Path) -> Result<(), String> {
    let plain = |error: std::io::Error| error.to_string();
    let dump = Dump::parse(&std::fs::read_to_string(file).map_err(plain)?)?;
    std::fs::create_dir_all(directory).map_err(plain)?;
    dump.unpack(directory, file.parent().unwrap_or(Path::new(".")), Order::FirstFirst).map_err(plain)
}
