//! Times commands as whole processes, in turns (A B C A B C ...), so that what disturbs the machine disturbs all of them:
//!
//! ```text
//! printf '%s\n' 'lspci -k' 'pcictl list' | cargo run --example turns 20
//! ```
//!
//! A line for each: the least of wall clock and of processor time (user and system) in ms, and the command. What the
//! commands print is thrown away.
#![allow(missing_docs)]

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

fn main() -> ExitCode {
    let Some(rounds) = std::env::args().nth(1).and_then(|rounds| rounds.parse::<u32>().ok()) else {
        eprintln!("usage: cargo run --example turns ROUNDS < COMMANDS");
        return ExitCode::from(2);
    };
    let commands: Vec<String> = std::io::stdin().lines().map_while(Result::ok).collect();
    let mut best = vec![(Duration::MAX, Duration::MAX); commands.len()];
    // The first round warms the caches.
    for round in 0..=rounds {
        for (command, best) in commands.iter().zip(&mut best) {
            let (wall, processor) = match run(command) {
                Ok(times) => times,
                Err(error) => {
                    eprintln!("turns: {command}: {error}");
                    return ExitCode::FAILURE;
                }
            };
            if round > 0 {
                *best = (best.0.min(wall), best.1.min(processor));
            }
        }
    }
    let ms = |time: &Duration| time.as_secs_f64() * 1000.0;
    for (command, (wall, processor)) in commands.iter().zip(&best) {
        println!("{:.3}\t{:.3}\t{command}", ms(wall), ms(processor));
    }
    ExitCode::SUCCESS
}

/// Runs a command, words without quotes, and tells its wall clock and processor time.
fn run(command: &str) -> std::io::Result<(Duration, Duration)> {
    let mut words = command.split_whitespace();
    let mut program = Command::new(words.next().unwrap_or_default());
    let before = of_children()?;
    let start = Instant::now();
    let status = program.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    let wall = start.elapsed();
    if !status.success() {
        return Err(std::io::Error::other(status.to_string()));
    }
    Ok((wall, of_children()? - before))
}

/// The processor time of all children that have ended.
fn of_children() -> std::io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = usage.user_time() + usage.system_time();
    Ok(Duration::from_micros(time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64))
}
