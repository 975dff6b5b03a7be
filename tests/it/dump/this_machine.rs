//! Dumps of the machine that the tests run on, which is only looked at.

use super::*;

/// The path that a call of this kind names, and whether it may write.
fn opened(call: &str) -> Option<(&str, bool)> {
    let (_, rest) = call.split_once("open")?;
    let path = rest.split('"').nth(1)?;
    Some((path, ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| call.contains(flag))))
}

#[test]
fn a_dump_of_this_machine_opens_and_writes_nothing_that_it_must_not() {
    let directory = scratch_directory();
    for name in ["out", "out.tree"] {
        let target = directory.path().join(name);
        let mut strace = Command::new("strace");
        let log = directory.path().join("trace");
        strace.args(["-f", "-s", "4096", "-e", "trace=%file,openat2", "-o"]).arg(&log);
        let output = processes::output(
            strace
                .arg(env!("CARGO_BIN_EXE_pcictl"))
                .args(["dump", "-j"])
                .arg(&target)
                .env("PCICTL_RUN_DIR", "/nonexistent"),
        );
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        assert!(report["files"].as_u64().is_some_and(|files| files > 1), "{report}");
        assert!(matches!(output.status.code(), Some(0 | 5)));
        let trace = fs::read_to_string(&log).expect("a trace");
        let target_text = target.to_str().expect("text");
        let mut seen = 0;
        // Not what is told of signals.
        for call in trace.lines().filter(|line| !line.contains(" --- ")) {
            for changing in [
                "mkdir", "unlink", "rename", "symlink", "link(", "linkat(", "chmod", "chown", "truncate", "mknod",
                "rmdir", "utime",
            ] {
                let is_such = call.split('(').next().is_some_and(|head| format!("{head}(").contains(changing));
                if is_such && !call.contains("readlink") {
                    assert!(call.contains(target_text), "writes elsewhere: {call}");
                }
            }
            let Some((path, writes)) = opened(call) else { continue };
            seen += 1;
            if path.starts_with(target_text) {
                continue;
            }
            assert!(!writes || path.starts_with("/dev/null"), "writes elsewhere: {call}");
            let name = path.rsplit('/').next().unwrap_or_default();
            let is_function = path.rsplit('/').nth(1).is_some_and(|parent| parent.len() >= 12 && parent.contains(':'));
            let in_sys = path.starts_with("sys/") || path.starts_with("devices/") || path.starts_with("/sys/");
            if in_sys && is_function {
                assert!(!NEVER_READ.contains(&name), "opens {call}");
                assert!(!name.starts_with("resource") || name == "resource", "opens {call}");
            }
            if in_sys {
                let is_written = ["unbind", "new_id", "remove_id", "drivers_probe", "remove", "rescan", "reset"];
                assert!(!is_written.contains(&name), "opens {call}");
            }
            let of_process = ["environ", "mem", "auxv", "pagemap", "syscall", "smaps", "clear_refs", "sched", "io"];
            let in_proc = path.starts_with("proc/") || path.starts_with("/proc/");
            assert!(!(in_proc && of_process.contains(&name)), "opens {call}");
            assert!(!["kcore", "kmsg", "kallsyms", "keys", "shadow"].contains(&name), "opens {call}");
        }
        assert!(seen > 20, "the trace shows what it opens");
    }
}

#[test]
fn a_dump_of_this_machine_lists_the_same_functions() {
    let (_directory, target) = place();
    let output = processes::output(Command::new(env!("CARGO_BIN_EXE_pcictl")).arg("dump").arg(&target));
    assert!(matches!(output.status.code(), Some(0 | 5)), "{}", String::from_utf8_lossy(&output.stderr));
    let list = |root: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pcictl"));
        if let Some(root) = root {
            command.arg("--sysroot").arg(root);
        }
        let output = processes::output(command.args([
            "list",
            "-j",
            "-o",
            "address,class,name,ids,driver,numa,slot,iommu,place",
        ]));
        timeless(serde_json::from_slice(&output.stdout).expect("JSON"))
    };
    if Path::new("/sys/bus/pci/devices").is_dir() {
        assert_eq!(list(None), list(Some(&target)));
    }
}
