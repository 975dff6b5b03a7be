//! The module of packaging/ansible gives pcictl options that it has. What the module does with them takes Ansible: see
//! tests/soak/ansible.

use std::fs;

use serde_json::{Map, Value};

use crate::support::repository;
use crate::support::run::Run;

/// A table of the module, from the name of a state to a word or to several.
fn table(module: &str, name: &str) -> Map<String, Value> {
    let begin = module.find(&format!("\n{name} = {{")).unwrap_or_else(|| panic!("no {name}")) + name.len() + 4;
    let end = begin + module[begin..].find('}').unwrap() + 1;
    // Of Python, what is JSON as well but for a comma at the end.
    let text = module[begin..end].replace(",\n}", "\n}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"))
}

#[test]
fn every_option_of_the_module_is_one_of_pcictl() {
    let path = repository().join("packaging/ansible/plugins/modules/pcictl.py");
    let module = fs::read_to_string(path).unwrap();
    let mut options = 0;
    for (state, verb) in table(&module, "VERBS") {
        let verb = verb.as_str().unwrap();
        let help = Run::new([verb, "--help"]).text();
        let has = |option: &str| {
            let option = format!("--{}", option.replace('_', "-"));
            help.lines().any(|line| line.trim_start().split([' ', ',']).any(|word| word == option))
        };
        let mut given = vec!["wait", "timeout", "json", "dry-run"];
        given.extend((verb == "sriov").then_some("driver"));
        given.extend((verb == "override").then_some("clear"));
        given.extend((verb == "remove").then_some("if-present"));
        given.retain(|option| !has(option));
        assert!(given.is_empty(), "{verb} lacks {given:?}");
        for name in ["VALUES", "FLAGS", "LISTS"] {
            for option in table(&module, name)[&state].as_array().unwrap() {
                assert!(has(option.as_str().unwrap()), "{verb} has no --{option}");
                options += 1;
            }
        }
    }
    assert!(options > 25, "{options}");
}
