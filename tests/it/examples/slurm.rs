//! The prolog and the epilog of Slurm, for every status that a replug can end with.

use std::fs;

use serde_json::{Value, json};

use super::{path, pcictl, text};
use crate::support::run::Run;
use crate::support::site::Site;
use crate::support::{Tree, check_form, processes};

/// A report of pcictl in the published form, with these keys.
fn report(document: &str, changed: bool, more: Value) -> String {
    let mut report = Run::words("show --json ff:00.0").tree("manual").status(3).json();
    let head = report.as_object_mut().unwrap();
    head.remove("error");
    head["document"] = document.into();
    head["changed"] = changed.into();
    head.extend(more.as_object().unwrap().clone());
    let printed = report.to_string();
    check_form(printed.as_bytes());
    printed
}

fn error(kind: &str, status: i32, message: &str) -> String {
    let error = json!({"kind": kind, "exit_code": status, "message": message});
    report("error", false, json!({"error": error}))
}

fn back_with_less() -> String {
    let difference = |kind: &str, what: &str, old: &str, new: Option<&str>, matters: bool| {
        json!({"kind": kind, "address": "0000:04:00.0", "what": what, "old": old, "new": new, "matters": matters,
               "why": null, "place": null})
    };
    let differences = [
        difference("link", "link", "16 GT/s x16", Some("2.5 GT/s x1"), true),
        difference("names", "names", "card0", Some("card1"), false),
        difference("driver", "driver", "nvidia", None, true),
    ];
    let removed = json!({"targets": [], "removed": [], "absent": [], "overridden": [], "stop_seconds": 0.1,
                         "remove_seconds": 0.1});
    let rescanned = json!({"scanned": [], "appeared": [], "vanished": [], "back": [], "differences": differences,
                           "missing": [], "restored": [], "interrupted": false, "scan_seconds": 0.1,
                           "settle_seconds": 0.1});
    report("replug", true, json!({"removed": removed, "climbed": [], "rescanned": rescanned}))
}

/// What came of a script: its status, what scontrol was asked for, and with what pcictl was called.
struct Came {
    status: i32,
    scontrol: String,
    called: String,
}

impl Site {
    /// As slurmd does after or before a job with two GPUs.
    fn slurm(&self, script: &str, gpus: &str) -> Came {
        let mut command = self.command(path("slurm").join(script));
        command.env("SLURM_JOB_GPUS", gpus).env("SLURM_JOB_ID", "42").env("SLURMD_NODENAME", "node7");
        let output = processes::output(command.env("PCICTL_SLURM_DIR", self.path("waiting")));
        assert_eq!(text(&output.stdout), "", "nobody reads what it prints");
        let logged = |name: &str| fs::read_to_string(self.path("work").join(name)).unwrap_or_default();
        let came =
            Came { status: output.status.code().unwrap(), scontrol: logged("scontrol"), called: logged("called") };
        for log in ["scontrol", "called"] {
            fs::remove_file(self.path("work").join(log)).ok();
        }
        came
    }

    fn waiting(&self) -> usize {
        fs::read_dir(self.path("waiting")).map_or(0, Iterator::count)
    }

    /// A pcictl that prints this and ends with that.
    fn answers(&self, printed: &str, status: i32) {
        fs::write(self.path("answer"), printed).unwrap();
        let answer = self.path("answer");
        self.program("pcictl", &format!("echo \"$@\" >>called; cat '{}'; exit {status}", answer.display()));
    }
}

fn site() -> Site {
    let site = Site::bare();
    // An argument a line, so that a reason of two lines would be seen.
    site.program("scontrol", "printf '%s\\n' \"$@\" >>scontrol");
    site
}

const REPLUG: &str = "replug --json --each --reset --wait 2m --timeout 3m --settle 1m";

#[test]
fn an_epilog_replugs_and_drains_what_did_not_come_back_well() {
    let less = "0000:04:00.0 link: 16 GT/s x16 -> 2.5 GT/s x1; 0000:04:00.0 driver: nvidia -> ?";
    let long = format!("in use by {}", "a process, ".repeat(40));
    let cases = [
        (0, String::new(), None),
        (75, error("locked", 75, "it is locked"), None),
        (1, error("failed", 1, "the kernel refused"), Some("the kernel refused")),
        (2, String::new(), Some("no report")),
        (3, error("no_such_device", 3, "no such device"), Some("no such device")),
        (4, error("in_use", 4, "0000:04:00.0: in use:\n  pid 7 (train)"), Some("0000:04:00.0: in use: pid 7 (train)")),
        (4, error("in_use", 4, &long), Some(&long[..200])),
        (5, error("partly", 5, "removed and not back"), Some("removed and not back")),
        (6, back_with_less(), Some(less)),
        (77, error("not_permitted", 77, "run it as root"), Some("run it as root")),
        (124, error("unfinished", 124, "waiting for driver nvidia"), Some("waiting for driver nvidia")),
        (130, error("interrupted", 130, "interrupted"), Some("interrupted")),
    ];
    for (status, printed, reason) in cases {
        let site = site();
        site.answers(&printed, status);
        let came = site.slurm("epilog", "0,3");
        assert_eq!(came.called, format!("{REPLUG} /dev/nvidia0 /dev/nvidia3\n"));
        assert_eq!(came.status, 0, "{status}");
        let drained = reason
            .map(|reason| format!("update\nNodeName=node7\nState=DRAIN\nReason=pcictl {status}: {reason}\n"))
            .unwrap_or_default();
        assert_eq!(came.scontrol, drained, "{status}");
        assert_eq!(site.waiting(), if status == 75 { 2 } else { 0 }, "{status}");
    }
}

#[test]
fn a_prolog_takes_up_what_the_epilog_had_to_leave() {
    for (status, printed, prolog, asked, waiting) in [
        (0, String::new(), 0, "", 0),
        (75, error("locked", 75, "it is locked"), 0, "requeue\n42\n", 1),
        (6, back_with_less(), 1, "update\nNodeName=node7\nState=DRAIN\n", 1),
        (124, error("unfinished", 124, "it hangs"), 1, "update\nNodeName=node7\nState=DRAIN\n", 1),
    ] {
        let site = site();
        site.answers(&error("locked", 75, "it is locked"), 75);
        assert_eq!(site.slurm("epilog", "3").status, 0);
        site.answers(&printed, status);
        // Another GPU is none of its business.
        let came = site.slurm("prolog", "0");
        assert_eq!((came.status, came.called.as_str()), (0, ""));
        let came = site.slurm("prolog", "0,3");
        assert_eq!(came.called, format!("{REPLUG} /dev/nvidia3\n"));
        assert_eq!(came.status, prolog, "{status}");
        assert!(came.scontrol.starts_with(asked) && came.scontrol.is_empty() == asked.is_empty(), "{}", came.scontrol);
        assert_eq!(site.waiting(), waiting, "{status}");
    }
}

#[test]
fn a_job_without_gpus_costs_nothing() {
    let site = site();
    site.answers("", 1);
    for script in ["epilog", "prolog"] {
        let came = site.slurm(script, "");
        assert_eq!((came.status, came.called.as_str(), came.scontrol.as_str()), (0, "", ""));
    }
}

/// The real one understands the command line, and its refusal becomes a reason.
#[test]
fn pcictl_understands_the_command_and_its_words_become_the_reason() {
    let site = site();
    let tree = Tree::shared("manual").path().display();
    site.program("pcictl", &format!("verb=$1; shift; exec '{}' --sysroot '{tree}' $verb --dry-run \"$@\"", pcictl()));
    let came = site.slurm("epilog", "0");
    assert_eq!((came.status, came.scontrol.as_str()), (0, ""));
    site.program("pcictl", &format!("exec '{}' --sysroot '{tree}' \"$@\" 2>/dev/null", pcictl()));
    let came = site.slurm("epilog", "0");
    assert!(came.scontrol.contains("State=DRAIN\nReason=pcictl 2: "), "{}", came.scontrol);
    assert!(!came.scontrol.contains("no report") && came.scontrol.lines().count() == 4, "{}", came.scontrol);
}
