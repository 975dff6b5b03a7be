//! The completions in the repository do what they should. That they are fresh is tested where they are made, in xtask.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::{Tree, processes, scratch_directory};

/// What bash offers for the last word of a command line, on the made machine of the tree `gpu-server`.
fn offered(line: &str) -> Vec<String> {
    let (tree, scratch) = (Tree::shared("gpu-server"), scratch_directory());
    // Like the program on a machine that looks like the tree.
    let program = scratch.path().join("pcictl");
    let script =
        format!("#!/bin/sh\nexec '{}' --sysroot '{}' \"$@\"\n", env!("CARGO_BIN_EXE_pcictl"), tree.path().display());
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    // Readline breaks words at colons, which stand alone then.
    let ask = r#"
        . "$1/completions/pcictl.bash"; COMP_LINE=$2; COMP_POINT=${#2}
        read -ra COMP_WORDS <<<"${2//:/ : }"; [[ $2 != *" " ]] || COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        PATH=$3:$PATH; _pcictl_devices pcictl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    let output =
        processes::output(bash.args(["-c", ask, "bash", env!("CARGO_MANIFEST_DIR"), line]).arg(scratch.path()));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_offers_devices_where_a_command_takes_one() {
    let all = fs::read_dir(Tree::shared("gpu-server").path().join("sys/bus/pci/devices")).unwrap().count();
    assert_eq!(offered("pcictl show ").len(), all);
    assert_eq!(offered("pcictl remove -n ").len(), all);
    // Readline has what stands before the last colon already.
    assert!(offered("pcictl show 0000:00:1f.").contains(&"1f.0".to_owned()));
    assert_eq!(offered("pcictl show --col"), ["--color"]);
    assert!(!offered("pcictl remove --wait ").contains(&"0000:00:00.0".to_owned()));
    assert!(offered("pcictl re").contains(&"remove".to_owned()));
}
