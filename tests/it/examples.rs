//! packaging/examples: each one is run, or read by the program that it is for, as it stands.
//!
//! What they call is found first on a PATH of the test: pcictl on a dumped tree, and programs that note how they are called. What
//! takes a program that is not everywhere (Nagios, Prometheus, a schema of Kubernetes) is done by tests/soak/examples.

mod ansible;
mod slurm;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::support::run::Run;
use crate::support::site::Site;
use crate::support::{Tree, processes, repository};

/// A file of an example.
fn path(name: &str) -> PathBuf {
    repository().join("packaging/examples").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn pcictl() -> &'static str {
    env!("CARGO_BIN_EXE_pcictl")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What stands behind `KEY=` in a unit, as often as it is there.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// systemd itself reads the units; the programs that they start are those of this build.
#[test]
fn systemd_reads_every_unit() {
    let site = Site::new(Tree::shared("manual").path());
    let names = [
        "systemd/pcictl-replug@.service",
        "systemd/pcictl-replug@.timer",
        "prometheus/pcictl-textfile.service",
        "prometheus/pcictl-textfile.timer",
    ];
    let mut units = Vec::new();
    for name in names {
        let unit = read(name).replace("/usr/sbin/pcictl", pcictl());
        let unit =
            unit.replace("/usr/local/sbin/pcictl-textfile", path("prometheus/pcictl-textfile").to_str().unwrap());
        units.push(site.path("work").join(Path::new(name).file_name().unwrap()));
        fs::write(units.last().unwrap(), unit).unwrap();
    }
    let verify = |units: &[PathBuf]| {
        let mut command = site.command("systemd-analyze");
        processes::output(command.args(["verify", "--man=no"]).args(units))
    };
    let output = verify(&units);
    // It says something of what else is on the machine, and ends with 0.
    let complaints: Vec<&str> = text(&output.stderr).lines().filter(|line| line.contains("pcictl")).collect();
    assert!(output.status.success() && complaints.is_empty(), "{}", text(&output.stderr));
    // And it would complain.
    fs::write(&units[0], read(names[0]).replace("RestartSec", "ResartSec")).unwrap();
    assert!(text(&verify(&units).stderr).contains("pcictl-replug@.service"), "a wrong key is no complaint");
}

#[test]
fn the_planned_replug_is_one_that_pcictl_understands_and_has_the_time() {
    let unit = read("systemd/pcictl-replug@.service");
    let command = values(&unit, "ExecStart")[0].strip_prefix("/usr/sbin/pcictl replug ").unwrap();
    let words: Vec<String> = command.split(' ').map(|word| word.replace("%I", "/dev/nvme0n1")).collect();
    let run = ["replug", "--dry-run"].into_iter().chain(words.iter().map(String::as_str));
    let planned = Run::new(run).tree("manual").text();
    assert!(planned.contains("would remove 0000:03:00.0"), "{planned}");
    let minutes = |option: &str| {
        let at = words.iter().position(|word| word == option).unwrap();
        words[at + 1].strip_suffix('m').unwrap().parse::<u32>().unwrap()
    };
    let limit: u32 = values(&unit, "TimeoutStartSec")[0].strip_suffix("min").unwrap().parse().unwrap();
    // Drivers, a reset, the removal, the scan.
    assert!(limit > minutes("--wait") + minutes("--settle") + 4 * minutes("--timeout"), "{limit}");
    assert!(values(&unit, "SuccessExitStatus").is_empty());
    assert!(!values(&unit, "RestartPreventExitStatus")[0].split(' ').any(|status| status == "75"));
}

#[test]
fn metrics_are_written_whole_or_not_at_all() {
    let site = Site::new(Tree::shared("manual").path());
    let script = path("prometheus/pcictl-textfile");
    let directory = site.path("work");
    let file = directory.join("pcictl.prom");
    let write = || site.run(&script, &[directory.to_str().unwrap()]);
    let names = || fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();

    let output = write();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let written = fs::read_to_string(&file).unwrap();
    let printed = site.run(site.path("bin/pcictl"), &["doctor", "--format", "prometheus"]);
    assert_eq!(written, text(&printed.stdout));
    assert!(written.contains("\npcictl_stuck 0\n"), "{written}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(names(), ["pcictl.prom"]);

    // A doctor that fails in the middle leaves what was there.
    site.program("pcictl", "echo pcictl_stuck; exit 77");
    assert_eq!(write().status.code(), Some(77));
    assert_eq!((fs::read_to_string(&file).unwrap(), names().len()), (written, 1));
}

/// As node-problem-detector has it in pkg/custompluginmonitor/types; what it does not know is an error here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plugin {
    plugin: String,
    #[serde(rename = "pluginConfig")]
    config: PluginConfig,
    source: String,
    #[serde(rename = "metricsReporting")]
    reports_metrics: bool,
    conditions: Vec<Condition>,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginConfig {
    invoke_interval: String,
    timeout: String,
    max_output_length: usize,
    concurrency: u32,
    enable_message_change_based_condition_update: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    reason: String,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(rename = "type")]
    kind: String,
    condition: String,
    reason: String,
    path: String,
    args: Vec<String>,
    timeout: String,
}

#[test]
fn node_problem_detector_gets_its_status_and_a_line_that_fits() {
    let plugin: Plugin = serde_json::from_str(&read("node-problem-detector/pcictl.json")).unwrap();
    assert_eq!((plugin.plugin.as_str(), plugin.config.concurrency), ("custom", 1));
    assert!(plugin.reports_metrics && plugin.config.enable_message_change_based_condition_update);
    let (condition, rule) = (&plugin.conditions[0], &plugin.rules[0]);
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric());
    assert!([&condition.kind, &condition.reason, &rule.reason].iter().all(|name| is_name(name)));
    assert!(plugin.source.contains("pcictl") && !condition.message.is_empty());
    assert_eq!((rule.kind.as_str(), &rule.condition), ("permanent", &condition.kind));
    assert_ne!(rule.reason, condition.reason);
    let seconds = |time: &str| time.strip_suffix('s').unwrap().parse::<u32>().unwrap();
    assert!(seconds(&rule.timeout) <= seconds(&plugin.config.timeout));
    assert!(seconds(&rule.timeout) < seconds(&plugin.config.invoke_interval));
    assert_eq!(rule.path, "/usr/sbin/pcictl");
    let line = Run::new(&rule.args).tree("manual").text();
    assert!(line.lines().count() == 1 && line.len() <= plugin.config.max_output_length, "{line}");
}

/// The rule for sudo allows the very command that NRPE gives.
#[test]
fn nagios_asks_by_a_command_that_sudo_allows() {
    let code = |file: &str| {
        let text = read(file);
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines.len(), 1, "{file}");
        lines[0].to_owned()
    };
    let (asked, allowed) = (code("nagios/nrpe.cfg"), code("nagios/sudoers"));
    let command = asked.strip_prefix("command[check_pcictl]=/usr/bin/sudo -n ").unwrap();
    assert_eq!(allowed, format!("nagios ALL=(root) NOPASSWD: {command}"));
    assert!(read("nagios/pcictl.cfg").contains("-c check_pcictl\n"));
    let words = command.strip_prefix("/usr/sbin/pcictl ").unwrap();
    let line = Run::words(words).tree("manual").text();
    assert!(line.starts_with("PCICTL OK - "), "{line}");
}

#[test]
fn what_the_daemon_set_runs_is_understood() {
    let yaml = read("kubernetes/pcictl-doctor.yaml");
    let commands: Vec<&str> = yaml.lines().filter_map(|line| line.trim().strip_prefix("command: [/pcictl, ")).collect();
    assert_eq!(commands, ["status, --watch]", "doctor, --format, npd]"]);
    Run::words("doctor --format npd").tree("manual").text();
    for mounted in ["/sys", "/run/pcictl", "/var/lib/pcictl"] {
        assert!(
            yaml.contains(&format!("mountPath: {mounted},")) && yaml.contains(&format!("path: {mounted},")),
            "{mounted}"
        );
    }
    let pod = yaml.find("hostPID: true").is_some() && yaml.find("hostNetwork: true").is_some();
    // With SYS_ADMIN among the capabilities the API refuses it.
    assert!(pod && !yaml.contains("allowPrivilegeEscalation"));
}

/// Nobody looks for an example that the list does not have, and every one is there.
#[test]
fn the_list_has_every_folder() {
    let list = read("README.md");
    for entry in fs::read_dir(path("")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            let name = entry.file_name().into_string().unwrap();
            assert!(list.contains(&format!("| `{name}` |")), "{name}");
        }
    }
}
