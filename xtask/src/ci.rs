//! `cargo xtask ci`: every check there is, in stages, the quick ones first.
//!
//! It says first what it is about to run, stops at the first step that fails, and ends with a table of what took how
//! long. Nothing is skipped: what cannot be run fails.

use std::ffi::OsString;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::steps::{self, Step};

struct Stage {
    name: &'static str,
    steps: Vec<Step>,
}

/// What came of a step.
struct Outcome {
    stage: &'static str,
    step: &'static str,
    result: Result<Duration, String>,
}

fn stages() -> Vec<Stage> {
    vec![
        Stage { name: "quick", steps: steps::LINT.iter().chain(steps::TEST).copied().collect() },
        Stage {
            name: "model",
            steps: vec![
                Step { name: "msrv", run: steps::msrv },
                Step { name: "model", run: steps::model },
                Step { name: "fuzz", run: steps::fuzz },
                Step { name: "stress", run: steps::stress },
                Step { name: "power loss", run: steps::power_loss },
                Step { name: "small", run: steps::small },
                Step { name: "packages", run: || steps::script("tests/packages") },
            ],
        },
        Stage { name: "guest", steps: vec![Step { name: "guest", run: || steps::guest::<&str>(&[]) }] },
    ]
}

/// Runs the stages that are named, or all.
pub(crate) fn run(names: &[OsString]) -> Result<(), String> {
    let mut stages = stages();
    if let Some(unknown) = names.iter().find(|name| !stages.iter().any(|stage| **name == *stage.name)) {
        return Err(format!("unknown stage {}; there are quick, model and guest", unknown.to_string_lossy()));
    }
    stages.retain(|stage| names.is_empty() || names.iter().any(|name| *name == *stage.name));
    announce(&stages)?;
    let mut outcomes: Vec<Outcome> = Vec::new();
    for stage in &stages {
        for step in &stage.steps {
            let has_failed = outcomes.last().is_some_and(|outcome| outcome.result.is_err());
            let result = if has_failed { Err("not run".to_owned()) } else { timed(stage.name, step) };
            outcomes.push(Outcome { stage: stage.name, step: step.name, result });
        }
    }
    print!("\n{}", table(&outcomes));
    match outcomes.iter().find_map(|outcome| outcome.result.as_ref().err().map(|error| (outcome, error))) {
        None => Ok(()),
        Some((outcome, error)) => Err(format!("FAILED in stage {}, step {}: {error}", outcome.stage, outcome.step)),
    }
}

fn timed(stage: &str, step: &Step) -> Result<Duration, String> {
    println!("\n=== {stage}: {}", step.name);
    let started = Instant::now();
    (step.run)().map(|()| started.elapsed()).inspect_err(|error| eprintln!("FAILED: {error}"))
}

/// Says what is about to be run, in less than ten lines.
fn announce(stages: &[Stage]) -> Result<(), String> {
    let rustc = steps::output(Command::new("rustc").arg("--version"))?;
    println!("checking pcictl with {}", rustc.trim());
    for stage in stages {
        let steps: Vec<&str> = stage.steps.iter().map(|step| step.name).collect();
        println!("stage {}: {}", stage.name, steps.join(", "));
        if stage.name == "guest" {
            println!("  on the kernels {}", kernels()?.join(", "));
        }
    }
    Ok(())
}

/// The kernels that are booted without being asked for.
fn kernels() -> Result<Vec<String>, String> {
    let printed = steps::output(Command::new(crate::root().join("tests/guest/prepare")).arg("--list"))?;
    Ok(printed.lines().map(str::to_owned).collect())
}

/// A line for each step, and for each stage the sum.
fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!("{:<8} {:<12} {:>9}  result\n", "stage", "step", "took");
    let line = |stage: &str, step: &str, took: Option<Duration>, result: &str| {
        let took = took.map_or_else(|| "-".to_owned(), |took| format!("{:.1} s", took.as_secs_f64()));
        format!("{stage:<8} {step:<12} {took:>9}  {result}\n")
    };
    let mut total = Duration::ZERO;
    for of_stage in outcomes.chunk_by(|a, b| a.stage == b.stage) {
        let mut sum = Duration::ZERO;
        for outcome in of_stage {
            let took = outcome.result.as_ref().ok().copied();
            let result = match &outcome.result {
                Ok(_) => "ok",
                Err(error) if error == "not run" => "not run",
                Err(_) => "FAILED",
            };
            sum += took.unwrap_or_default();
            text.push_str(&line(outcome.stage, outcome.step, took, result));
        }
        total += sum;
        text.push_str(&line(of_stage[0].stage, "(all)", Some(sum), ""));
    }
    text.push_str(&line("(all)", "", Some(total), ""));
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_what_failed_and_what_was_not_run() {
        let outcome = |stage, step, result| Outcome { stage, step, result };
        let outcomes = [
            outcome("quick", "fmt", Ok(Duration::from_millis(500))),
            outcome("quick", "test", Ok(Duration::from_secs(60))),
            outcome("model", "model", Err("fails with exit status: 101".to_owned())),
            outcome("guest", "guest", Err("not run".to_owned())),
        ];
        let expected = "\
stage    step              took  result
quick    fmt              0.5 s  ok
quick    test            60.0 s  ok
quick    (all)           60.5 s
model    model                -  FAILED
model    (all)            0.0 s
guest    guest                -  not run
guest    (all)            0.0 s
(all)                    60.5 s
";
        assert_eq!(table(&outcomes), expected);
    }

    #[test]
    fn an_unknown_stage_is_refused() {
        assert_eq!(run(&["slow".into()]), Err("unknown stage slow; there are quick, model and guest".to_owned()));
    }
}
