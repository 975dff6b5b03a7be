//! What is printed, arrives or is reported as lost; and color goes to terminals alone, as they and the operator want it.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Output, Stdio};

use nix::fcntl::OFlag;

use crate::support::processes::{start, terminal};
use crate::support::{Tree, repository, scratch_directory};

/// A run whose standard output is this.
fn to(stdout: impl Into<Stdio>, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let (tree, run) = (Tree::shared("vmd"), scratch_directory());
    let mut command = Command::new(env!("CARGO_BIN_EXE_pcictl"));
    command.args(arguments).env("PCICTL_RUN_DIR", run.path()).env("LC_ALL", "C").env_remove("NO_COLOR");
    command.env("TERM", "xterm").envs(environment.iter().copied());
    if !arguments.iter().any(|word| word.starts_with("--he") || word.starts_with("--ver")) {
        command.arg("--sysroot").arg(tree.path());
    }
    start(command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped())).wait_with_output().unwrap()
}

const LOST: &str = "pcictl: cannot write to standard output: No space left on device\n";

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    for words in [
        "list",
        "list --json",
        "list --list-columns",
        "tree",
        "show 0000:00:0e.0",
        "show --json 0000:00:0e.0",
        "remove -n 0000:00:0e.0",
        "rescan -n --all",
        "locks --json",
        "status",
        "doctor",
        "--help",
        "--version",
        "remove --help",
    ] {
        let output = to(full(), &words.split(' ').collect::<Vec<_>>(), &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.ends_with(LOST)), (Some(1), true), "{words}: {said}");
    }
    // A status that says more is kept: this error is a document that is lost.
    let output = to(full(), &["show", "--json", "0000:99:00.0"], &[]);
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(3), LOST));
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    for words in [&["list"][..], &["tree", "--json"], &["show", "0000:00:0e.0"], &["--help"]] {
        let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
        drop(reader);
        let output = to(writer, words, &[]);
        assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()), "{words:?}");
    }
}

/// What a run prints on a terminal.
fn on_terminal(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    on_wide_terminal(0, arguments, environment)
}

/// The same on a terminal of so many columns.
fn on_wide_terminal(columns: u16, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let terminal = terminal();
    let size = nix::pty::Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads the size that is given, from memory that is there.
    let set = unsafe { nix::libc::ioctl(terminal.slave.as_raw_fd(), nix::libc::TIOCSWINSZ, &size) };
    assert_eq!(set, 0);
    let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
    let output = to(end(&terminal.slave), arguments, environment);
    assert_eq!(output.stderr, b"");
    drop(terminal.slave);
    whole(File::from(terminal.master))
}

/// All that a terminal shows whose other end is closed. One read may give a part: what is written reaches this end by
/// a worker of the kernel. After the last of it there is EIO, and not an end (drivers/tty/n_tty.c).
fn whole(mut master: File) -> String {
    let (mut shown, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = master.read(&mut part) {
        shown.extend_from_slice(&part[..length]);
    }
    String::from_utf8_lossy(&shown).into_owned()
}

#[test]
fn color_is_for_terminals_that_have_it() {
    let is_colored =
        |arguments: &[&str], environment: &[(&str, &str)]| on_terminal(arguments, environment).contains('\u{1b}');
    let tree = ["tree", "10001:e1:00.0"];
    assert!(is_colored(&tree, &[]));
    assert!(is_colored(&tree, &[("NO_COLOR", "")]), "an empty NO_COLOR counts as not set");
    assert!(!is_colored(&tree, &[("NO_COLOR", "1")]));
    assert!(!is_colored(&tree, &[("TERM", "dumb")]));
    assert!(!is_colored(&[&tree[..], &["--color", "never"]].concat(), &[]));
    assert!(is_colored(&[&tree[..], &["--color", "always"]].concat(), &[("TERM", "dumb")]));
    let piped = to(Stdio::piped(), &tree, &[]);
    assert!(!piped.stdout.contains(&0x1b));
}

#[test]
fn a_listing_fits_the_terminal_and_is_whole_elsewhere() {
    let listing = ["list", "10000:e0:", "10001:e0:", "10001:e1:00.0"];
    let piped = String::from_utf8(to(Stdio::piped(), &listing, &[]).stdout).unwrap();
    let lines = |text: &str| text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect::<Vec<_>>();
    let long = on_wide_terminal(60, &[&listing[..], &["-l"]].concat(), &[]);
    assert_eq!(lines(&long), lines(&piped));
    assert_eq!(lines(&on_wide_terminal(200, &listing, &[])), lines(&piped));
    assert!(lines(&piped).iter().any(|line| line.len() > 100), "{piped}");
    for locale in ["C", "C.UTF-8"] {
        let narrow = lines(&on_wide_terminal(80, &listing, &[("LC_ALL", locale)]));
        assert_eq!(narrow.len(), lines(&piped).len());
        for line in &narrow {
            assert!(line.chars().count() <= 80, "{line}");
            assert!(locale != "C" || line.is_ascii(), "{line}");
        }
        assert!(!narrow.iter().any(|line| line.contains("Intel Co")), "{narrow:?}");
        // The name gives way, and not what tells one function from another.
        let device = narrow.iter().find(|line| line.starts_with("10001:e1:00.0")).unwrap();
        assert!(
            device.contains(if locale == "C" { "..." } else { "\u{2026}" }) && device.contains("GT/s x"),
            "{device}"
        );
    }
}

/// As they come out on terminals: `tests/it/terminals.txt`, with escapes spelled out. UPDATE_GOLDEN=1 writes it anew.
#[test]
fn screens_are_as_recorded() {
    let commands: [&[&str]; 4] = [
        &["list", "10000:e0:", "10001:e0:", "10001:e1:00.0"],
        &["tree", "10001:e0:02.0"],
        &["show", "10001:e1:00.0"],
        &["remove", "-n", "10001:e1:00.0"],
    ];
    let mut text = String::new();
    for columns in [80, 200] {
        for (locale, color) in [("C", "1"), ("C.UTF-8", "")] {
            for command in commands {
                let shown = on_wide_terminal(columns, command, &[("LC_ALL", locale), ("NO_COLOR", color)]);
                let shown = shown.replace("\r\n", "\n").replace('\u{1b}', "\\e");
                let shown = without_tree(&shown);
                let color = if color.is_empty() { "color" } else { "no color" };
                text.push_str(&format!(
                    "$ pcictl {}    # {columns} columns, {locale}, {color}\n{shown}\n",
                    command.join(" ")
                ));
            }
        }
    }
    let path = repository().join("tests/it/terminals.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap();
    assert!(recorded == text, "{}", crate::support::golden::diff(&recorded, &text));
}

/// Without the directory that the tree was unpacked in.
fn without_tree(text: &str) -> String {
    let line = |line: &str| match (line.find(" /"), line.find("/sys/devices/")) {
        (Some(begin), Some(end)) => format!("{}{}\n", &line[..=begin], &line[end..]),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}
