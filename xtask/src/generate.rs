//! Man pages and completions from the definition of the command line.

use std::fmt::Display;
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use pcictl::cli::args::Cli;

use crate::man;

/// Writes them into `man` and `completions` below a directory.
pub(crate) fn run(directory: &Path, date: &str) -> Result<(), String> {
    let man = directory.join("man");
    let completions = directory.join("completions");
    for directory in [&man, &completions] {
        fs::create_dir_all(directory).map_err(about(directory))?;
    }
    man::write(&man, date)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        complete(shell, &completions)?;
    }
    Ok(())
}

/// The date of the man pages: that of the release, as the changelog has it, so that a build can be reproduced.
pub(crate) fn release_date() -> Result<String, String> {
    let path = crate::root().join("CHANGELOG.md");
    let text = fs::read_to_string(&path).map_err(about(&path))?;
    man::date(&text).map(str::to_owned).ok_or_else(|| format!("{}: a heading with a date is missing", path.display()))
}

pub(crate) fn about<E: Display>(path: &Path) -> impl FnOnce(E) -> String {
    move |error| format!("{}: {error}", path.display())
}

/// The command line without the verbs that are hidden from people: a shell would offer them.
fn offered() -> clap::Command {
    let whole = Cli::command();
    let mut command = clap::Command::new("pcictl").version(env!("CARGO_PKG_VERSION"));
    // Help and version are arguments like others, with a heading of their own.
    command = command.disable_help_flag(true).disable_version_flag(true).propagate_version(true);
    command = command.args(whole.get_arguments().cloned());
    command.subcommands(whole.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()).cloned())
}

/// The completion of options and commands, and behind it that of devices, which the program itself lists.
fn complete(shell: Shell, directory: &Path) -> Result<(), String> {
    let mut command = offered();
    let path = clap_complete::generate_to(shell, &mut command, "pcictl", directory).map_err(about(directory))?;
    let text = fs::read_to_string(&path).map_err(about(&path))?;
    let text = with_devices(shell, &text, &taking_devices(&command), &taking_values(&command));
    fs::write(&path, text).map_err(about(&path))
}

/// The commands whose arguments name devices.
fn taking_devices(command: &clap::Command) -> String {
    let names_device = |argument: &&clap::Arg| {
        argument.get_value_names().is_some_and(|names| names.iter().any(|name| name.as_str() == "SELECTOR"))
    };
    let takes_device = |command: &&clap::Command| command.get_positionals().any(|arg| names_device(&arg));
    let names: Vec<&str> = command.get_subcommands().filter(takes_device).map(clap::Command::get_name).collect();
    names.join(" ")
}

/// The options that are followed by a value of their own.
fn taking_values(command: &clap::Command) -> String {
    let mut options: Vec<String> = Vec::new();
    for argument in std::iter::once(command).chain(command.get_subcommands()).flat_map(clap::Command::get_arguments) {
        if argument.get_action().takes_values() {
            options.extend(argument.get_short().map(|short| format!("-{short}")));
            options.extend(argument.get_long().map(|long| format!("--{long}")));
        }
    }
    options.sort_unstable();
    options.dedup();
    options.join(" ")
}

fn with_devices(shell: Shell, text: &str, commands: &str, options: &str) -> String {
    match shell {
        Shell::Bash => {
            let devices = BASH_DEVICES.replace("COMMANDS", &commands.replace(' ', "|")).replace("OPTIONS", options);
            let (functions, _) = text.rsplit_once("\nif [[ \"${BASH_VERSINFO[0]}\"").unwrap_or((text, ""));
            format!("{functions}\n{devices}")
        }
        Shell::Zsh => {
            let lines = text.lines().map(|line| {
                if line.contains("selector") {
                    line.replace(":_default'", ":_pcictl_devices'")
                } else {
                    line.to_owned()
                }
            });
            let text = lines.collect::<Vec<_>>().join("\n") + "\n";
            text.replacen("\n_pcictl() {", &format!("\n{ZSH_DEVICES}\n_pcictl() {{"), 1)
        }
        _ => format!("{text}{}", FISH_DEVICES.replace("COMMANDS", commands)),
    }
}

/// Colons break words in bash, so what stands before the last one is there already.
const BASH_DEVICES: &str = r#"
# Devices, where a command takes one. pcictl lists them without reading anything of them.
_pcictl_devices() {
    local line=${COMP_LINE:0:COMP_POINT} word before
    local after_value=' OPTIONS '
    _pcictl "$@"
    word=${line##*[[:space:]]}
    [[ " ${COMP_WORDS[*]:1:COMP_CWORD} " =~ \ (COMMANDS)\  && $word != -* && $after_value != *" $3 "* ]] || return 0
    before=${word%"${word##*:}"}
    mapfile -t COMPREPLY < <(compgen -W "$("$1" list --quiet --no-header --output address 2>/dev/null)" -- "$word")
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
}

complete -F _pcictl_devices -o nosort -o bashdefault -o default pcictl
"#;

const ZSH_DEVICES: &str = r#"# Devices: pcictl lists them without reading anything of them.
_pcictl_devices() {
    local -a devices
    devices=(${(f)"$(_call_program devices pcictl list --quiet --no-header --output address 2>/dev/null)"})
    _wanted devices expl device compadd -a devices
}
"#;

const FISH_DEVICES: &str = r#"# Devices, with their class: pcictl lists them.
complete -c pcictl -n "__fish_pcictl_using_subcommand COMMANDS" -f -a "(pcictl list --quiet --no-header --output address,class 2>/dev/null | string replace -r '\s+' \t)"
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn files(directory: &Path) -> BTreeMap<String, String> {
        let entries = fs::read_dir(directory).expect("the directory is there");
        let read = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().expect("a plain name");
            (name, fs::read_to_string(entry.path()).expect("text"))
        };
        entries.map(|entry| read(entry.expect("an entry"))).collect()
    }

    #[test]
    fn man_pages_and_completions_are_not_stale() {
        let scratch = tempfile::tempdir().expect("a directory");
        run(scratch.path(), &release_date().expect("a date")).expect("they can be made");
        for directory in ["man", "completions"] {
            let committed = files(&crate::root().join(directory));
            let generated = files(&scratch.path().join(directory));
            let names = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&committed), names(&generated), "run: cargo xtask regenerate");
            for (name, text) in &generated {
                assert!(committed[name] == *text, "{directory}/{name} is stale; run: cargo xtask regenerate");
            }
        }
    }

    #[test]
    fn verbs_of_helpers_are_not_offered() {
        let scratch = tempfile::tempdir().expect("a directory");
        run(scratch.path(), &release_date().expect("a date")).expect("they can be made");
        for directory in ["man", "completions"] {
            for (name, text) in files(&scratch.path().join(directory)) {
                for verb in ["kernel-write", "read-overrides"] {
                    assert!(!text.contains(verb), "{directory}/{name} has {verb}");
                }
            }
        }
    }
}
