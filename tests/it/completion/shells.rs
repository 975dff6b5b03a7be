//! Shells at a terminal of the test's own, in which a tab is pressed as a person would.
//!
//! A shell tells on its standard output, which is a pipe and not the terminal, what it offered and what stands on its line
//! then: a test waits for that, never for a time. A shell that is missing, or ends, is a failure.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

use crate::support::{processes, repository, scratch_directory};

/// What a shell offered for a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The whole word.
    pub value: String,
    /// What is shown beside it.
    pub description: String,
}

/// What came of a tab.
pub struct Answer {
    /// What was offered.
    pub offers: Vec<Offer>,
    /// The line after it; none of fish, which is only asked.
    pub line: Option<String>,
}

/// The shells that are driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// bash with nothing but pcictl's file.
    PlainBash,
    /// bash with bash-completion.
    Bash,
    Zsh,
    Fish,
}

/// A shell that runs and can be asked.
pub struct Shell {
    kind: Kind,
    child: Child,
    keys: Box<dyn Write>,
    told: BufReader<ChildStdout>,
    /// All that came to the terminal.
    shown: Arc<Mutex<Vec<u8>>>,
    _scratch: TempDir,
}

/// Prints what was offered and then the line, and empties it, when ^B is pressed.
const BASH: &str = r#"
PS1='$ '; HISTFILE=; unset PROMPT_COMMAND
stty rows 500 columns 200
bind 'set completion-query-items 0'; bind 'set page-completions off'; bind 'set bell-style none'
bind 'set show-all-if-ambiguous on'; bind 'set enable-bracketed-paste off'
. "$COMPLETIONS/pcictl.bash"
_asked() { _pcictl "$@"; printf 'offer %s\n' "${COMPREPLY[@]/# /}"; }
complete -o nosort -F _asked pcictl
bind -x '"\C-b": printf "line %s\n" "$READLINE_LINE"; READLINE_LINE= READLINE_POINT=0'
echo ready
"#;

/// The same; what is offered is seen where it is added. What is only stored for later is not offered.
const ZSH: &str = r#"
PS1='$ '; LISTMAX=10000; TMPPREFIX=$PWD/zsh
stty rows 500 columns 200
fpath=("$COMPLETIONS" $fpath)
autoload -Uz compinit; compinit -u -D
compadd() {
    if (( ! ${argv[(I)-[OAD]]} )); then
        local -a hits shown
        local at=${argv[(i)-*d]}
        builtin compadd -A hits "$@"
        (( at > $# )) || shown=("${(@P)argv[at+1]}")
        local i
        for (( i = 1; i <= $#hits; i++ )); do print -r -- "offer $hits[i]"$'\t'"$shown[i]"; done
    fi
    builtin compadd "$@"
}
tell() { print -r -- "line $BUFFER"; BUFFER=; }
zle -N tell; bindkey '^B' tell
zle-line-init() { print -r -- ready; }
zle -N zle-line-init
"#;

/// fish tells what it would offer without a terminal.
const FISH: &str = "
source $COMPLETIONS/pcictl.fish
echo ready
while read --local line
    printf 'offer %s\\n' (complete -C $line)
    echo line
end
";

impl Shell {
    /// One in which pcictl is this build, with these variables.
    pub fn new(kind: Kind, environment: &[(&str, &Path)]) -> Self {
        let scratch = scratch_directory();
        let rc = |name: &str, text: String| fs::write(scratch.path().join(name), text).expect("a file");
        rc(".zshrc", ZSH.to_owned());
        rc("fishrc", FISH.to_owned());
        let more = if kind == Kind::Bash { "\n. /usr/share/bash-completion/bash_completion\n" } else { "" };
        rc("bashrc", format!("{more}{BASH}"));
        let words: &[&str] = match kind {
            Kind::Fish => &["fish", "--no-config", "fishrc"],
            // The terminal is to be the shell's own, so that it can be interactive.
            Kind::Zsh => &["setsid", "--ctty", "zsh", "-d", "-i"],
            Kind::Bash | Kind::PlainBash => &["setsid", "--ctty", "bash", "--noprofile", "--rcfile", "bashrc", "-i"],
        };
        let program = Path::new(env!("CARGO_BIN_EXE_pcictl")).parent().expect("a directory");
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(scratch.path()).env_clear();
        command
            .env("PATH", format!("{}:/usr/bin:/bin", program.display()))
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8");
        command.env("HOME", scratch.path()).env("ZDOTDIR", scratch.path());
        command.env("COMPLETIONS", repository().join("completions"));
        command.envs(environment.iter().copied()).stdout(Stdio::piped());
        let (child, keys, screen) =
            if kind == Kind::Fish { start_with_pipes(command) } else { start_at_terminal(command) };
        Self::ready(kind, child, keys, screen, scratch)
    }

    fn ready(
        kind: Kind,
        mut child: Child,
        keys: Box<dyn Write>,
        mut screen: Box<dyn Read + Send>,
        scratch: TempDir,
    ) -> Self {
        let told = BufReader::new(child.stdout.take().expect("a pipe"));
        let shown: Arc<Mutex<Vec<u8>>> = Arc::default();
        let kept = Arc::clone(&shown);
        // Ends with the shell.
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut piece) {
                kept.lock().expect("a buffer").extend_from_slice(&piece[..length]);
            }
        });
        let mut shell = Self { kind, child, keys, told, shown, _scratch: scratch };
        while shell.line() != "ready" {}
        shell
    }

    /// What comes of a tab at the end of a line.
    pub fn tab(&mut self, line: &str) -> Answer {
        let end = if self.kind == Kind::Fish { "\n" } else { "\t\x02" };
        self.keys.write_all(format!("{line}{end}").as_bytes()).expect("it takes keys");
        let mut offers = Vec::new();
        loop {
            let told = self.line();
            match told.split_once(' ') {
                Some(("offer", "")) => {}
                Some(("offer", text)) => offers.push(self.parse(line, text)),
                Some(("line", text)) => return Answer { offers, line: Some(text.to_owned()) },
                None if told == "line" => return Answer { offers, line: None },
                _ => {}
            }
        }
    }

    fn parse(&self, line: &str, text: &str) -> Offer {
        let (value, description) = match self.kind {
            Kind::Fish | Kind::Zsh => text.split_once('\t').unwrap_or((text, "")),
            Kind::Bash | Kind::PlainBash => text.split_once(' ').unwrap_or((text, "")),
        };
        // Readline has what stands before the last colon or equals sign already.
        let word = line.rsplit(' ').next().unwrap_or_default();
        let before = &word[..word.rfind([':', '=']).map_or(0, |at| at + 1)];
        let before = if matches!(self.kind, Kind::Bash | Kind::PlainBash) { before } else { "" };
        Offer { value: format!("{before}{value}"), description: description.to_owned() }
    }

    /// The next line that the shell tells.
    fn line(&mut self) -> String {
        let mut line = String::new();
        let length = self.told.read_line(&mut line).expect("a line");
        assert!(length > 0, "{:?} ended: {}", self.kind, self.shown());
        line.trim_end_matches('\n').to_owned()
    }

    /// All that came to the terminal until now.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("a buffer")).into_owned()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

type Started = (Child, Box<dyn Write>, Box<dyn Read + Send>);

fn start_at_terminal(mut command: Command) -> Started {
    let terminal = processes::terminal();
    let end = || Stdio::from(terminal.slave.try_clone().expect("a descriptor"));
    let child = processes::start(command.stdin(end()).stderr(end()));
    let master = File::from(terminal.master);
    let screen = master.try_clone().expect("a descriptor");
    (child, Box::new(master), Box::new(screen))
}

fn start_with_pipes(mut command: Command) -> Started {
    let mut child = processes::start(command.stdin(Stdio::piped()).stderr(Stdio::piped()));
    let (keys, screen) = (child.stdin.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
    (child, Box::new(keys), Box::new(screen))
}
