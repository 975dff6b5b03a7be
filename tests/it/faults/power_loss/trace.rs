//! The system calls of a process that change files, read from what strace writes.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// What strace is told to write down. What is not among them and changes a file all the same is noticed: what the calls
/// come to is compared with what the process left.
pub const CALLS: &str = "openat,openat2,open,creat,write,pwrite64,writev,pwritev,pwritev2,rename,renameat,renameat2,\
    unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,symlink,symlinkat,fsync,fdatasync,ftruncate,truncate,fallocate,\
    copy_file_range,sendfile";

/// A change, its paths relative to the directories that are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A directory is made.
    MakeDirectory(PathBuf),
    /// A file is opened that may be made by that.
    Open(PathBuf),
    /// Bytes are added to a file.
    Append(PathBuf, Vec<u8>),
    /// A file gets another length.
    Cut(PathBuf, usize),
    /// A name becomes another one.
    Rename(PathBuf, PathBuf),
    /// A name goes.
    Remove(PathBuf),
    /// A directory goes.
    RemoveDirectory(PathBuf),
    /// A link is made, with its target.
    Link(PathBuf, PathBuf),
    /// A file or a directory is put on disk.
    Sync(PathBuf),
}

/// Whether a file is on its way to its name: nobody reads it.
pub fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

enum Argument {
    Text(Vec<u8>),
    Descriptor(PathBuf),
    Word(String),
}

/// The changes between two calls that make the directories `begin` and `end`; `relative` has the paths of what is watched.
pub fn changes(trace: &str, begin: &Path, end: &Path, relative: &dyn Fn(&Path) -> Option<PathBuf>) -> Vec<Op> {
    let relative = |path: &Path| relative(&clean(path));
    let mut is_between = false;
    let mut ops = Vec::new();
    for (name, arguments) in whole_lines(trace).iter().filter_map(|line| parse(line)) {
        let paths = paths(&name, &arguments);
        if matches!(name.as_str(), "mkdir" | "mkdirat")
            && paths.first().is_some_and(|path| path == begin || path == end)
        {
            is_between = paths[0] == begin;
        } else if is_between && paths.iter().any(|path| relative(path).is_some()) {
            let paths: Vec<PathBuf> = paths.iter().map(|path| relative(path).unwrap_or_else(|| path.clone())).collect();
            change(&name, &paths, &arguments, &mut ops);
        }
    }
    ops
}

fn change(name: &str, paths: &[PathBuf], arguments: &[Argument], ops: &mut Vec<Op>) {
    let path = paths[0].clone();
    let flag = |flag: &str| {
        let is_flag = |word: &str| word.split('|').any(|one| one == flag);
        arguments.iter().any(|argument| matches!(argument, Argument::Word(word) if is_flag(word)))
    };
    match name {
        "open" | "openat" => {
            if flag("O_CREAT") {
                ops.push(Op::Open(path.clone()));
            }
            if flag("O_TRUNC") {
                ops.push(Op::Cut(path, 0));
            }
        }
        "openat2" => {
            assert!(!flag("O_CREAT") && !flag("O_TRUNC"), "{path:?} is opened in a way that is not understood")
        }
        "write" => {
            let Some(Argument::Text(bytes)) = arguments.get(1) else { panic!("a write of nothing to {path:?}") };
            ops.push(Op::Append(path, bytes.clone()));
        }
        "ftruncate" => {
            let Some(Argument::Word(length)) = arguments.get(1) else { panic!("{path:?} gets no length") };
            ops.push(Op::Cut(path, length.parse().expect("a length")));
        }
        "rename" | "renameat" | "renameat2" => ops.push(Op::Rename(path, paths[1].clone())),
        "rmdir" => ops.push(Op::RemoveDirectory(path)),
        "unlink" | "unlinkat" if flag("AT_REMOVEDIR") => ops.push(Op::RemoveDirectory(path)),
        "unlink" | "unlinkat" => ops.push(Op::Remove(path)),
        "mkdir" | "mkdirat" => ops.push(Op::MakeDirectory(path)),
        "symlink" | "symlinkat" => {
            let Some(Argument::Text(target)) = arguments.first() else { panic!("a link to nothing") };
            ops.push(Op::Link(path, text(target).into()));
        }
        "fsync" | "fdatasync" => ops.push(Op::Sync(path)),
        // The length stays, or else nothing at all is done.
        "fallocate" => assert!(flag("FALLOC_FL_KEEP_SIZE"), "{path:?} gets a length that is not understood"),
        other => panic!("{other} of {path:?} is not understood"),
    }
}

/// The paths that a call is about, in their order.
fn paths(name: &str, arguments: &[Argument]) -> Vec<PathBuf> {
    let is_relative = name.ends_with("at") || name.ends_with("at2");
    let count = if name.starts_with("rename") || name.starts_with("link") { 2 } else { 1 };
    // Where a link leads to stands before its own path.
    let mut left = arguments.iter().skip(usize::from(name.starts_with("symlink")));
    let mut next = || match left.next()? {
        Argument::Descriptor(directory) if is_relative => match left.next()? {
            Argument::Text(name) => Some(directory.join(text(name))),
            _ => None,
        },
        Argument::Descriptor(path) => Some(path.clone()),
        Argument::Text(name) => Some(text(name).into()),
        Argument::Word(_) => None,
    };
    (0..count).filter_map(|_| next()).collect()
}

/// A path without `.`, which is what a directory is opened by to be listed or synced.
fn clean(path: &Path) -> PathBuf {
    path.components().filter(|part| !matches!(part, Component::CurDir)).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("names are text")
}

/// The lines of a trace, calls that another thread's came between put together.
fn whole_lines(trace: &str) -> Vec<String> {
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    let mut lines = Vec::new();
    for line in trace.lines() {
        let (pid, rest) = line.split_once(' ').unwrap_or(("", line));
        let rest = rest.trim_start();
        if let Some(start) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(pid, start);
        } else if let Some((_, end)) = rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            lines.push(format!("{}{end}", begun.remove(pid).unwrap_or_default()));
        } else {
            lines.push(rest.to_owned());
        }
    }
    lines
}

/// A call that succeeded; nothing for signals, ends and failures.
fn parse(line: &str) -> Option<(String, Vec<Argument>)> {
    let (name, rest) = line.split_once('(')?;
    let (rest, result) = rest.rsplit_once(" = ")?;
    if name.contains([' ', '+', '-']) || result.starts_with(['-', '?']) {
        return None;
    }
    let mut bytes = rest.trim_end().strip_suffix(')')?.bytes().peekable();
    let mut arguments = Vec::new();
    let mut word = String::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                arguments.push(Argument::Text(quoted(&mut bytes, b'"')));
                assert!(bytes.peek() != Some(&b'.'), "a string was cut short: {line}");
            }
            b'<' => {
                word.clear();
                arguments.push(Argument::Descriptor(text(&quoted(&mut bytes, b'>')).into()));
            }
            b',' | b' ' => push_word(&mut word, &mut arguments),
            byte => word.push(byte.into()),
        }
    }
    push_word(&mut word, &mut arguments);
    Some((name.to_owned(), arguments))
}

fn push_word(word: &mut String, arguments: &mut Vec<Argument>) {
    if !word.is_empty() {
        arguments.push(Argument::Word(std::mem::take(word)));
    }
}

/// What stands up to an end, with the escapes that strace uses.
fn quoted(bytes: &mut impl Iterator<Item = u8>, end: u8) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == end {
            return content;
        }
        content.push(if byte == b'\\' { escaped(bytes) } else { byte });
    }
    panic!("a string without an end");
}

fn escaped(bytes: &mut impl Iterator<Item = u8>) -> u8 {
    let mut next = || bytes.next().expect("an escape");
    match next() {
        b'x' => {
            let digits = [next(), next()];
            u8::from_str_radix(std::str::from_utf8(&digits).expect("digits"), 16).expect("a byte")
        }
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'v' => 0x0b,
        b'f' => 0x0c,
        byte @ (b'"' | b'\\' | b'>') => byte,
        byte => panic!("an escape that is not understood: {}", char::from(byte)),
    }
}

#[test]
fn a_trace_is_read_as_the_changes_that_it_tells_of() {
    let trace = r#"
1  mkdir("/t/begin", 0777)                 = 0
1  openat(AT_FDCWD</w>, "/t/state", O_RDONLY|O_DIRECTORY) = 3</t/state>
1  mkdirat(3</t/state>, "ledger", 0755)    = 0
1  fsync(3</t/state>)                      = 0
1  openat(4</t/state/ledger>, ".a.json.7", O_RDWR|O_CREAT|O_EXCL|O_APPEND, 0600) = 5</t/state/ledger/.a.json.7>
2  openat(AT_FDCWD</w>, "/elsewhere", O_WRONLY|O_CREAT, 0600 <unfinished ...>
1  write(5</t/state/ledger/.a.json.7>, "\x7b\x22\x0a", 3) = 3
2  <... openat resumed>)                   = 6</elsewhere>
1  fsync(5</t/state/ledger/.a.json.7>)     = 0
1  renameat2(4</t/state/ledger>, ".a.json.7", 4</t/state/ledger>, "a.json", RENAME_NOREPLACE) = 0
1  unlinkat(4</t/state/ledger>, "none", 0) = -1 ENOENT (No such file or directory)
1  ftruncate(5</t/state/ledger/a.json>, 2) = 0
1  symlink("../x", "/t/state/link")        = 0
1  unlinkat(4</t/state/ledger>, "a.json", 0) = 0
--- SIGCHLD {si_signo=SIGCHLD} ---
1  mkdir("/t/end", 0777)                   = 0
1  unlinkat(4</t/state/ledger>, "b.json", 0) = 0
"#;
    let file = |name: &str| PathBuf::from("state/ledger").join(name);
    let expected = [
        Op::MakeDirectory("state/ledger".into()),
        Op::Sync("state".into()),
        Op::Open(file(".a.json.7")),
        Op::Append(file(".a.json.7"), b"{\"\n".to_vec()),
        Op::Sync(file(".a.json.7")),
        Op::Rename(file(".a.json.7"), file("a.json")),
        Op::Cut(file("a.json"), 2),
        Op::Link("state/link".into(), "../x".into()),
        Op::Remove(file("a.json")),
    ];
    let relative = |path: &Path| Some(Path::new("state").join(path.strip_prefix("/t/state").ok()?));
    assert_eq!(changes(trace, Path::new("/t/begin"), Path::new("/t/end"), &relative), expected);
}
