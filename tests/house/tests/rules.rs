//! Each rule, seen to fail on a small made tree of sources, and a house that stands.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;

use house::House;
use house::check::Kind;

/// Reads a house made of files, each a path and a text.
fn house(files: &[(&str, &str)]) -> House {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    House::read(directory.path()).unwrap()
}

/// The findings: kind, file and line.
fn findings(files: &[(&str, &str)]) -> Vec<(Kind, String, usize)> {
    house(files).findings().into_iter().map(|finding| (finding.kind, finding.file, finding.line)).collect()
}

fn one(kind: Kind, file: &str, line: usize) -> Vec<(Kind, String, usize)> {
    vec![(kind, file.to_owned(), line)]
}

#[test]
fn a_house_whose_imports_run_down_stands() {
    let house = house(&[
        ("lib.rs", "pub mod error;\npub mod host;\npub mod lock;\nmod commands;\n"),
        ("error.rs", "pub struct Error;"),
        (
            "host/mod.rs",
            "//! The host.\npub mod root;\npub mod sysfs;\npub use root::Root;\npub fn open() -> Root { sysfs::read() }",
        ),
        ("host/root.rs", "pub struct Root;"),
        (
            "host/sysfs.rs",
            "use super::root::Root;\nuse std::fs;\npub fn read() -> Root { let _ = fs::read(\"x\"); Root }",
        ),
        ("lock/mod.rs", "mod files;\npub use files::Lock;\n#[cfg(test)]\nmod tests;"),
        ("lock/files.rs", "pub struct Lock(crate::host::Root);\n#[cfg(test)]\nmod tests { use super::super::Lock; }"),
        ("lock/tests.rs", "use crate::commands::run; use super::*;"),
        (
            "commands.rs",
            "use crate::{error::Error, lock::{self, Lock as L}};\npub fn run() -> Option<(L, Error)> { None }",
        ),
        ("main.rs", "use pcictl::host::sysfs;\nfn main() { pcictl::lock::files(); sysfs::read(); }"),
    ]);
    assert_eq!(house.findings(), []);
    assert_eq!(house.rooms, ["error", "host", "lock", "commands", "main"]);
    let counts = house.counts();
    // commands: error, lock; lock: host; main: host, lock. The test that imports commands does not count.
    assert_eq!((counts.rooms, counts.floors, counts.arrows, counts.up.0, counts.files), (5, 3, 5, 0, 9));
    assert!(counts.circles.is_empty() && counts.file_circles.is_empty());
}

/// Each of these lines of the room `a` reaches up to the room `b`.
const REACHES_B: &[&str] = &[
    "use crate::b;",
    "use crate::b::B;",
    "use crate::{b::B as C};",
    "use super::b::*;",
    "use crate::{b::{self}};",
    "pub use crate::b::B;",
    "fn f() -> crate::b::B { todo!() }",
    "fn f() { use crate::b; }",
    "fn f() { crate::b::f(); }",
    "fn f() { let x = format!(\"{}\", crate::b::f()); }",
    "fn f() -> Vec<u8> { vec![1, { super::b::f() }] }",
    "fn f() { json!({ \"x\": crate::b::B, }) }",
    "#[derive(crate::b::Derive)] enum E {}",
    "#[serde(with = \"crate::b\")] enum E {}",
    "enum E { #[serde(with(\"crate::b::x\"))] A }",
    "macro_rules! m { () => { $crate::b::f() } }",
    "m! { use crate::{b::B}; }",
    "impl crate::b::T for u8 {}",
];

#[test]
fn an_import_of_a_lower_room_is_found_however_it_is_written() {
    for line in REACHES_B {
        let files =
            [("lib.rs", "pub mod a;\npub mod b;"), ("a.rs", &*format!("//! A.\n{line}")), ("b.rs", "pub struct B;")];
        assert_eq!(findings(&files), one(Kind::Up, "a.rs", 2), "{line}");
        let turned = [("lib.rs", "pub mod b;\npub mod a;"), files[1], files[2]];
        assert_eq!(findings(&turned), [], "{line}");
    }
    let message =
        house(&[("lib.rs", "mod a;\nmod b;"), ("a.rs", "use crate::b::B;"), ("b.rs", "")]).findings()[0].to_string();
    assert_eq!(
        message,
        "a.rs:1: `a` uses `crate::b::B`, and the room `b` stands below `a` in lib.rs: move what is needed to a room above, \
         or have the caller pass it in"
    );
}

#[test]
fn a_module_that_was_imported_leads_to_the_file_that_is_meant() {
    let files = [
        ("lib.rs", "mod host;\nmod user;"),
        ("host/mod.rs", "pub mod sysfs;"),
        ("host/sysfs.rs", ""),
        ("user.rs", "use crate::host;\nfn f() { host::sysfs::read(); }"),
    ];
    let house = house(&files);
    let path = |index: usize| house.modules.files[index].path.as_str();
    let arrows: Vec<_> = house.arrows.iter().map(|arrow| (path(arrow.from), path(arrow.to), arrow.line)).collect();
    assert_eq!(arrows, [("user.rs", "host/mod.rs", 1), ("user.rs", "host/sysfs.rs", 2)]);
}

#[test]
fn what_names_no_import_is_none() {
    for line in [
        "pub(in crate::b) struct A;",
        "//! See [`crate::b::B`].",
        "#[cfg(test)] use crate::b::B;",
        "#[cfg(all(test, unix))] mod t { use crate::b::B; }",
        "#[test] fn t() { crate::b::f() }",
        "fn f() { let b = 1; ::b::f(); }",
        "use std::b::B;",
    ] {
        let files = [("lib.rs", "pub mod a;\npub mod b;"), ("a.rs", line), ("b.rs", "")];
        assert_eq!(findings(&files), [], "{line}");
    }
    let kept = [("lib.rs", "pub mod a;\npub mod b;"), ("a.rs", "#[cfg(not(test))] use crate::b::B;"), ("b.rs", "")];
    assert_eq!(findings(&kept), one(Kind::Up, "a.rs", 1));
}

#[test]
fn a_circle_between_the_files_of_a_room_is_found_and_told() {
    let files = [
        ("lib.rs", "mod room;"),
        ("room/mod.rs", "mod x;\nmod y;\nmod z;"),
        ("room/x.rs", "use super::y::Y;"),
        ("room/y.rs", "\nuse super::z;"),
        ("room/z.rs", "fn f() { super::x::f() }"),
    ];
    let findings = house(&files).findings();
    assert_eq!((findings.len(), findings[0].kind), (1, Kind::Circle));
    assert_eq!(
        findings[0].to_string(),
        "room/x.rs:1: a circle: room/x.rs uses room/y.rs (`super::y::Y`, line 1), room/y.rs uses room/z.rs (`super::z`, line 2), \
         room/z.rs uses room/x.rs (`super::x::f`, line 1): move what both sides need to a file that imports neither"
    );
}

#[test]
fn a_circle_through_two_rooms_is_found() {
    let files = [("lib.rs", "mod a;\nmod b;"), ("a.rs", "use crate::b::B;"), ("b.rs", "use crate::a::A;")];
    let house = house(&files);
    let kinds: Vec<Kind> = house.findings().iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [Kind::Up, Kind::Circle]);
    let counts = house.counts();
    assert_eq!((counts.circles, counts.floors), (vec![vec!["a".to_owned(), "b".to_owned()]], 1));
    // By name: told at best, which is one of the two.
    assert_eq!(counts.up.0, 1);
}

#[test]
fn a_child_does_not_import_the_files_around_it() {
    let files = |line: &'static str| {
        [
            ("lib.rs", "mod room;\npub fn top() {}"),
            ("room/mod.rs", "mod child;\npub fn f() {}"),
            ("room/child.rs", line),
        ]
    };
    for line in ["use super::f;", "use super::*;", "fn g() { super::f() }", "use crate::room::f;", "use crate::top;"] {
        assert_eq!(findings(&files(line)), one(Kind::Parent, "room/child.rs", 1), "{line}");
    }
    // A folder whose own file stands beside it is no different.
    let beside =
        [("lib.rs", "mod room;"), ("room.rs", "mod child;\npub fn f() {}"), ("room/child.rs", "use super::f;")];
    assert_eq!(findings(&beside), one(Kind::Parent, "room/child.rs", 1));
}

#[test]
fn a_mod_file_defines_no_type() {
    for item in ["pub struct T;", "enum T {}", "union T { a: u8 }", "trait T {}", "type T = u8;", "mod m { struct T; }"]
    {
        let text = format!("pub fn f() {{ struct Local; }}\n{item}");
        assert_eq!(findings(&[("lib.rs", "mod room;"), ("room/mod.rs", &text)]), one(Kind::Type, "room/mod.rs", 2));
        assert_eq!(findings(&[("lib.rs", &text)]), one(Kind::Type, "lib.rs", 2));
        assert_eq!(findings(&[("lib.rs", "mod room;"), ("room.rs", &text)]), []);
    }
}

#[test]
fn numbers_are_those_of_the_sources() {
    let long = format!("fn long() {{\n{}}}\n", "    f();\n".repeat(60));
    let text = format!("pub struct A {{ pub x: u8, y: u8 }}\npub(crate) fn f() {{}}\n{long}");
    let counts = house(&[("lib.rs", "pub mod a;"), ("a.rs", &text)]).counts();
    assert_eq!((counts.public, counts.restricted, counts.public_fields), (2, 1, 1));
    assert_eq!(counts.long_functions, [("a.rs long".to_owned(), 62)]);
    assert_eq!(counts.longest_file, ("a.rs".to_owned(), 64));
}

#[test]
fn a_module_without_a_file_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("lib.rs"), "\nmod gone;").unwrap();
    let error = House::read(directory.path()).err().unwrap();
    assert!(error.starts_with("lib.rs:2: there is neither gone.rs nor gone/mod.rs in "), "{error}");
}

#[test]
fn the_house_stands() {
    let house = House::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src")).unwrap();
    let findings: Vec<String> = house.findings().iter().map(|finding| format!("src/{finding}")).collect();
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

/// The comment that a file begins with.
fn head(text: &str) -> String {
    text.lines().take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join("\n")
}

/// The modules that a file declares, those of tests left out.
fn declared(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let (before, name) = line.split_once("mod ")?;
        let is_declaration = before.is_empty() || (before.starts_with("pub") && before.ends_with(' '));
        name.strip_suffix(';').filter(|name| is_declaration && *name != "tests").map(str::to_owned)
    };
    text.lines().filter_map(name).collect()
}

/// Every `mod.rs` below a directory.
fn module_files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(module_files(&path));
        } else if path.ends_with("mod.rs") || path.ends_with("lib.rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_room_says_what_its_files_are() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src");
    for path in module_files(&source) {
        let text = fs::read_to_string(&path).unwrap();
        let head = head(&text);
        for module in declared(&text) {
            assert!(head.contains(&format!("[`{module}`]")), "{}: its head does not name {module}", path.display());
        }
    }
}

#[test]
fn the_map_for_contributors_is_that_of_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let map = fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
    let listed = |text: &str| -> Vec<String> {
        let rows = text.lines().filter_map(|line| line.trim_start_matches("//! ").strip_prefix("| "));
        let room = |row: &str| row.split(" |").next().map(|name| name.trim_matches(['[', ']', '`', '/']).to_owned());
        rows.filter_map(room).collect()
    };
    let rooms = declared(&text);
    let only_rooms = |names: Vec<String>| names.into_iter().filter(|name| rooms.contains(name)).collect::<Vec<_>>();
    assert_eq!(only_rooms(listed(&head(&text))), rooms, "the head of src/lib.rs");
    assert_eq!(only_rooms(listed(&map)), rooms, "CONTRIBUTING.md");
}
