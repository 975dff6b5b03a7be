//! `cargo run -p house -- [--order FILE] [DIR]`: the house in numbers, and what is wrong with it.
//!
//! `--order` takes the order of the rooms from a file, a room on each line, for sources whose `lib.rs` has none.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use house::House;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("house: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let (mut directory, mut order) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src"), None);
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--order" {
            order = Some(PathBuf::from(arguments.next().ok_or("--order takes a file: a room on each line")?));
        } else {
            directory = PathBuf::from(argument);
        }
    }
    let mut house = House::read(&directory)?;
    if let Some(order) = order {
        let text = std::fs::read_to_string(&order).map_err(|error| format!("{}: {error}", order.display()))?;
        house.reorder(&text.split_whitespace().collect::<Vec<_>>())?;
    }
    println!("{}\n", house.counts());
    let has_no_order = house.is_alphabetical();
    for finding in house.findings() {
        if !(has_no_order && finding.kind == house::check::Kind::Up) {
            println!("{finding}");
        }
    }
    Ok(())
}
