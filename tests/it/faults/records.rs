//! What is recorded of an operation, and told of it while it happens.

use nix::errno::Errno;
use serde_json::{Value, json};

use super::machine::{Ended, Machine, quiet_crashes};
use crate::support::fake::Fault;

const NVME: &str = "0000:03:00.0";

fn history(machine: &Machine, words: &[&str]) -> Vec<Value> {
    let ended = machine.run(&[&["history"], words].concat());
    assert!(matches!(ended, Ended::Well), "{ended:?}");
    machine.printed()[0]["operations"].as_array().unwrap().clone()
}

#[test]
fn history_tells_what_was_done_to_a_device_that_is_gone() {
    let machine = Machine::new("guest-switch8");
    assert!(history(&machine, &[]).is_empty());
    assert!(matches!(machine.run(&["remove", NVME]), Ended::Well));
    let removal = machine.printed().remove(0);
    assert_eq!((&removal["document"], &removal["changed"]), (&json!("removal"), &json!(true)));
    let operations = history(&machine, &[NVME]);
    let [operation] = operations.as_slice() else { panic!("{operations:?}") };
    assert_eq!(operation["id"], removal["operation_id"], "the report and the record name the same operation");
    assert_eq!(operation["end"]["exit_code"], 0);
    assert_eq!(operation["end"]["changed"], true);
    assert_eq!(operation["devices"][0]["address"], NVME);
    assert!(operation["devices"][0]["driver"].is_string() && operation["invoker"]["uid"].is_u64(), "{operation}");
    assert!(operation["places"][0].as_str().unwrap().starts_with("pci0000:00/"));
    // Back again: both are on it, one by its address and one by the bus above it.
    assert!(matches!(machine.run(&["rescan", NVME]), Ended::Well));
    let commands: Vec<Value> = history(&machine, &[NVME]).into_iter().map(|mut one| one["end"].take()).collect();
    assert_eq!(commands.len(), 2);
    assert_eq!(history(&machine, &["--last", "1"]).len(), 1);
    assert!(history(&machine, &["--until", "yesterday"]).is_empty());
    assert_eq!(history(&machine, &["--since", "1h"]).len(), 2);
}

#[test]
fn what_nobody_recorded_is_no_such_device() {
    let machine = Machine::new("guest-switch8");
    let Ended::Badly(error) = machine.run(&["history", "eth77"]) else { panic!("it is nowhere") };
    assert_eq!(error.status() as u8, 3, "{error}");
}

#[test]
fn an_operation_that_failed_or_was_cut_off_is_recorded_as_such() {
    quiet_crashes();
    let machine = Machine::new("guest-switch8");
    let ended = machine.run_at(&["remove", NVME], Fault::Refused(Errno::EBUSY), 0);
    assert!(matches!(ended, Ended::Badly(_)), "{ended:?}");
    let report = machine.printed().remove(0);
    assert_eq!((&report["document"], &report["changed"]), (&json!("error"), &json!(false)), "all was put back");
    let operations = history(&machine, &[]);
    assert_eq!(operations[0]["end"]["exit_code"], 1);
    assert_eq!(operations[0]["end"]["changed"], false);
    assert_eq!(operations[0]["end"]["error"], report["error"]["message"]);
    assert!(matches!(machine.run_at(&["remove", NVME], Fault::CrashAfter, 0), Ended::Crashed));
    assert_eq!(history(&machine, &[])[1]["end"], Value::Null, "nobody was there to record it");
    assert!(matches!(machine.run(&["recover"]), Ended::Well));
    let operations = history(&machine, &[]);
    assert_eq!(operations[2]["id"], operations[1]["id"], "it was the same operation");
    assert_eq!(operations[2]["end"]["exit_code"], 0);
}

#[test]
fn events_tell_of_each_step_and_end_with_the_report() {
    let machine = Machine::new("guest-switch8");
    assert!(matches!(machine.run(&["remove", "--events", NVME]), Ended::Well));
    let events = machine.printed();
    let told: Vec<String> = events
        .iter()
        .map(|event| format!("{} {} {}", event["event"].as_str().unwrap(), event["step"], event["outcome"]))
        .collect();
    assert_eq!(
        told,
        [
            "operation_begun null null",
            "step_begun 1 null",
            "step_ended 1 \"done\"",
            "step_begun 2 null",
            "step_ended 2 \"done\"",
            "report null null"
        ]
    );
    let last = events.last().unwrap();
    assert_eq!(last["report"]["document"], "removal");
    assert!(events.iter().all(|event| event["operation_id"] == last["report"]["operation_id"]), "{events:?}");
    assert!(matches!(machine.run(&["remove", "--events", "--if-present", NVME]), Ended::Well));
    let again = machine.printed();
    assert_eq!((again.len(), &again[0]["report"]["changed"]), (1, &json!(false)));
}
