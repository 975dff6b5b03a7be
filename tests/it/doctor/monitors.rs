//! What monitors are told: plugins of Nagios, the node problem detector, Prometheus.

use super::*;

/// The numbers of a machine on which all is well, as a plugin gives them.
const WELL: &str = "stuck=0;;0;0 waiting_tasks=0;;;0 slow_drivers=0;;;0 leftovers=0;0;;0 interrupted_operations=0;0;;0 \
                    removed_devices=0;;;0";

#[test]
fn a_monitor_gets_one_line_and_its_own_statuses() {
    let check = |machine: &Machine, format: &str, line: &str, status: i32| {
        let run = Run::new(["doctor", "--format", format]).on(&machine.tree);
        run.stdout(format!("{line}\n")).status(status).check();
    };
    let well = Machine::new();
    let text = "no task is inside the kernel's PCI core";
    check(&well, "nagios", &format!("PCICTL OK - {text} | {WELL}"), 0);
    check(&well, "npd", text, 0);

    let warned = Machine::new();
    fs::write(warned.tree.path().join("sys/bus/pci/drivers_autoprobe"), "0\n").unwrap();
    let text = "warning: drivers_autoprobe is off: devices that come get no driver";
    let numbers = WELL.replace("leftovers=0", "leftovers=1");
    check(&warned, "nagios", &format!("PCICTL WARNING - {text} | {numbers}"), 1);
    check(&warned, "npd", text, 0);

    let (above, below) = (file("remove"), file("0000:02:01.0/rescan"));
    let stuck = Machine::new().with(&echo(101, REMOVER_DRAINS, &above)).with(&echo(102, RESCANNER_WAITS, &below));
    let text =
        "stuck: a removal and a write below it wait for each other; all PCI hotplug of this machine waits for it";
    let numbers = WELL.replace("stuck=0", "stuck=1");
    check(&stuck, "nagios", &format!("PCICTL CRITICAL - {text} | {numbers}"), 2);
    check(&stuck, "npd", text, 1);

    let blind = Machine { tree: Tree::parse("sys/bus/pci/devices:\nsys/class:\n") };
    let text = "this tree has no /proc that would tell";
    let numbers = WELL.replace("stuck=0", "stuck=U").replace("tasks=0", "tasks=U").replace("drivers=0", "drivers=U");
    check(&blind, "nagios", &format!("PCICTL UNKNOWN - {text} | {numbers}"), 3);
    check(&blind, "npd", &format!("unknown: {text}"), 2);
    // A warning on top does not make a machine well that nobody looked at.
    fs::write(blind.tree.path().join("sys/bus/pci/drivers_autoprobe"), "0\n").unwrap();
    check(&blind, "npd", "warning: drivers_autoprobe is off: devices that come get no driver", 2);
}

#[test]
fn what_ends_a_plugins_text_is_taken_out_of_it() {
    let machine = Machine::new();
    let list = machine.tree.path().join("etc/pcictl/protected.d");
    fs::create_dir_all(&list).unwrap();
    fs::write(list.join("site.conf"), "0000:77:00.0 ours|not yours\x1b[31m\n").unwrap();
    let text = Run::words("doctor --format nagios").on(&machine.tree).status(1).text();
    assert!(text.contains("(ours/not yours\\x1b[31m)") && text.matches('|').count() == 1, "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn a_monitor_is_told_on_its_own_channel_that_nothing_could_be_found_out() {
    let run = |format: &str| Run::new(["doctor", "--format", format, "--sysroot", "/nonexistent"]);
    let text = run("nagios").status(3).text();
    assert!(text.starts_with("PCICTL UNKNOWN - /nonexistent: ") && text.lines().count() == 1, "{text}");
    let text = run("npd").status(2).text();
    assert!(text.starts_with("unknown: /nonexistent: ") && text.lines().count() == 1, "{text}");
    // No metrics rather than wrong ones, as for any command that fails.
    run("prometheus").stderr_like("pcictl: /nonexistent: [..]\n...\n").status(2).check();
}

#[test]
fn metrics_are_a_file_that_prometheus_reads() {
    let metrics = |tree: &Tree| {
        let text = Run::words("doctor --format prometheus").on(tree).text();
        assert_exposition(&text);
        text
    };
    let machine = Machine::new();
    fs::write(machine.tree.path().join("sys/bus/pci/drivers_autoprobe"), "0\n").unwrap();
    let text = metrics(&machine.tree);
    for line in [
        "pcictl_stuck 0\n",
        "pcictl_leftovers 1\n",
        "pcictl_interrupted_operations 0\n",
        "pcictl_removed_devices 0\n",
        "pcictl_health{state=\"leftovers\"} 1\n",
        "pcictl_health{state=\"stuck\"} 0\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    // Where tasks could not be looked at, there is no line, instead of a 0.
    let blind = metrics(&Tree::parse("sys/bus/pci/devices:\nsys/class:\n"));
    assert!(!blind.contains("pcictl_stuck") && blind.contains("pcictl_health{state=\"unknown\"} 1\n"), "{blind}");
}

/// The text format of Prometheus 0.0.4: a HELP and a TYPE before each family, once, and samples that are a name, labels
/// in quotes and a number.
fn assert_exposition(text: &str) {
    assert!(text.ends_with('\n'), "{text}");
    let is_name = |name: &str| name.starts_with("pcictl_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let (mut family, mut families) = (String::new(), Vec::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a help text");
            assert!(is_name(name) && !help.is_empty() && !families.contains(&name.to_owned()), "{line}");
            family = name.to_owned();
            families.push(family.clone());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert_eq!(kind, format!("{family} gauge"));
        } else {
            let (sample, value) = line.split_once(' ').expect("a value");
            let (name, labels) = sample.split_once('{').unwrap_or((sample, "state=\"\"}"));
            assert!(name == family && value.parse::<f64>().is_ok(), "{line}");
            assert!(labels.starts_with("state=\"") && labels.ends_with("\"}"), "{line}");
        }
    }
}

#[test]
fn a_format_is_one_of_two_ways_to_ask_for_json() {
    let machine = Machine::new();
    let document = timeless(Run::words("doctor --format json").on(&machine.tree).json());
    assert_eq!(document, timeless(Run::words("doctor --json").on(&machine.tree).json()));
    assert_eq!((&document["verdict"], &document["removed_devices"]), (&"healthy".into(), &0.into()));
    let both = Run::words("doctor --json --format npd").on(&machine.tree).status(2).json();
    assert_eq!(both["error"]["message"], "--json and --format npd: give one of them");
    let mistyped = Run::words("doctor --format json --nonsense").on(&machine.tree).status(2).json();
    assert_eq!(mistyped["error"]["kind"], "usage");
}
