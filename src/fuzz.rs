//! What takes text and bytes of others, as functions of bytes that `tests/fuzz` calls with anything. Only with the feature
//! `fuzz`: the program itself has nothing of it.
//!
//! A function here may panic for one reason more than the parser does: what was read, written and read again is not the
//! same. What is read by way of files alone is not here: `tests/fuzz` makes trees with such files in them, and runs commands.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use procfs_core::process::MountInfo;
use serde::de::DeserializeOwned;

use crate::cli::values::{parse_duration, parse_jobs, parse_time_limit, parse_vf_mac};
use crate::cli::{history, settings};
use crate::doctor::task::Frame;
use crate::dump::{anonymize::Anonymizer, format};
use crate::error::Error;
use crate::guard::{link, marks, opener};
use crate::host::netlink::{Attributes, Messages, attributes};
use crate::host::pci_ids::PciIds;
use crate::host::procfs::texts::{TaskStat, context_switches, real_uid, unescape, uptime, words};
use crate::host::uevent::{Announcement, UeventLog};
use crate::host::{clock, invoker, modalias, text};
use crate::lock::fdinfo::Fdinfo;
use crate::lock::owner::Owner;
use crate::lock::proc_locks::FlockLine;
use crate::pci::address::{BusNumber, PciAddress};
use crate::pci::ids::Ids;
use crate::pci::mac::MacAddress;
use crate::pci::place::Place;
use crate::pci::selector::Selector;
use crate::plan::action::{Attention, StepRef};
use crate::report::guard::GuardReport;
use crate::state::file::Invalid;
use crate::state::journal::record::{Header, OperationRecord, with_sum};
use crate::state::ledger::removal_file::RemovalFile;
use crate::topology::slots::SlotAddress;
use crate::topology::vf_link;
use crate::topology::vf_setting::{VfSetting, VfValue};
use crate::usage::block::{multipath, zfs};
use crate::usage::namespaces::bind_mounted;
use crate::usage::network::carried::Session;
use crate::usage::network::routes::Routes;
use crate::usage::network::{packets, rtnetlink};
use crate::usage::protected;
use crate::verify::expectation::Expectation;

/// Something that takes foreign bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// What it is called by.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
}

/// All of them, by what they read.
pub const TARGETS: &[Target] = &[
    Target { name: "address", run: address },
    Target { name: "aliases", run: aliases },
    Target { name: "anonymize", run: anonymize },
    Target { name: "anonymize-lines", run: anonymize_lines },
    Target { name: "attributes", run: netlink_attributes },
    Target { name: "dump", run: dump },
    Target { name: "escapes", run: escapes },
    Target { name: "fanotify", run: |bytes| ignore(marks::parse(bytes)) },
    Target { name: "fdinfo", run: |bytes| ignore(Fdinfo::parse(&lossy(bytes))) },
    Target { name: "guard", run: guard_messages },
    Target { name: "invoker", run: who },
    Target { name: "journal", run: journal },
    Target { name: "ledger", run: ledger },
    Target { name: "marker", run: |bytes| ignore(Header::parse(&lossy(bytes))) },
    Target { name: "mountinfo", run: mountinfo },
    Target { name: "multipath", run: |bytes| ignore(multipath::states(&lossy(bytes))) },
    Target { name: "netlink", run: netlink },
    Target { name: "packets", run: |bytes| ignore(packets::sockets(&lossy(bytes))) },
    Target { name: "pci-ids", run: pci_ids },
    Target { name: "proc-locks", run: |bytes| ignore(lossy(bytes).lines().filter_map(FlockLine::parse).count()) },
    Target { name: "protected", run: |bytes| told(protected::parse("protected.conf", &lossy(bytes))) },
    Target { name: "routes", run: routes },
    Target { name: "selector", run: selector },
    Target { name: "settings", run: |bytes| told(settings::parse("pcictl.conf", &lossy(bytes))) },
    Target { name: "stack", run: stack },
    Target { name: "stat", run: stat },
    Target { name: "status", run: status },
    Target { name: "syscall", run: |bytes| ignore(opener::parse_call(&lossy(bytes), &Some)) },
    Target { name: "times", run: times },
    Target { name: "uevent", run: uevent },
    Target { name: "values", run: values },
    Target { name: "vf-setting", run: vf_setting },
    Target { name: "zpool-cache", run: zpool_cache },
];

/// As files are read that should be text and need not be.
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// What it is does not matter; that there is something does.
fn ignore<T>(_: T) {}

/// An error is printed, too.
fn told<T>(result: Result<T, Error>) {
    if let Err(error) = result {
        text::escaped(&error.to_string());
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8]) {
    let _ = serde_json::from_slice::<T>(bytes);
}

/// What is written is read as the same value.
fn reads_itself<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string().parse::<T>().ok();
        assert!(again.as_ref() == Some(&value), "{text:?} becomes {value}");
    }
}

fn address(bytes: &[u8]) {
    let text = lossy(bytes);
    reads_itself::<PciAddress>(&text);
    reads_itself::<BusNumber>(&text);
    if let Some(address) = PciAddress::from_sysfs_name(&text) {
        assert_eq!(Ok(address), text.parse());
    }
    if let Some(place) = Place::from_chain(&text) {
        assert_eq!(place.chain(), text);
    }
    let _ = (Ids::from_modalias(&text), SlotAddress::parse(&text));
}

/// A selector, and, where it is none, its error with the hint.
fn selector(bytes: &[u8]) {
    told(lossy(bytes).parse::<Selector>().map_err(Error::from));
}

/// A pattern and a name, a zero byte between them.
fn aliases(bytes: &[u8]) {
    let (pattern, name) = halves(bytes);
    modalias::matches_pattern(pattern, name);
}

fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    let middle = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    (&bytes[..middle], bytes.get(middle + 1..).unwrap_or_default())
}

fn anonymize(bytes: &[u8]) {
    let (anonymizer, text) = (Anonymizer::default(), lossy(bytes));
    anonymizer.text(&text);
    anonymizer.path(&text);
    anonymizer.serial(&text);
    anonymizer.command(bytes);
}

fn anonymize_lines(bytes: &[u8]) {
    let (anonymizer, text) = (Anonymizer::default(), lossy(bytes));
    for line in text.lines() {
        anonymizer.mount(line);
        anonymizer.swap(line);
        anonymizer.route(line);
        anonymizer.inet6(line);
    }
}

/// A name and content, a zero byte between them; what was written is what is read.
fn dump(bytes: &[u8]) {
    let (name, content) = halves(bytes);
    let name = lossy(name);
    let _ = (format::file(&name, content, format::READABLE), format::link(&name, &lossy(content)));
    format::directory(&name);
    format::lines_of(&lossy(content), &["Name:", "Uid:"]);
}

/// Nothing that a terminal would obey is left.
fn escapes(bytes: &[u8]) {
    let text = lossy(bytes);
    let shown = text::escaped(&text);
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "{shown:?}");
    unescape(&text);
    words(bytes);
    let (one, other) = halves(bytes);
    let (one, other) = (lossy(one), lossy(other));
    let order = text::compare_naturally(&one, &other);
    assert_eq!(order, text::compare_naturally(&other, &one).reverse());
}

fn guard_messages(bytes: &[u8]) {
    json::<link::Message>(bytes);
    json::<GuardReport>(bytes);
}

fn who(bytes: &[u8]) {
    let text = lossy(bytes);
    let _ = (invoker::unit(&text), invoker::login_uid(&text), invoker::client(text.clone().into_owned()));
    Session::parse(&text);
}

/// As it is, and with each line's sum as it should be, which no chance finds.
fn journal(bytes: &[u8]) {
    let text = lossy(bytes);
    read_journal(&text);
    read_journal(&with_sums(&text));
}

/// What is written of it is read again.
fn ledger(bytes: &[u8]) {
    if let Ok(file) = RemovalFile::parse("pci0000:00+01.0@1.json", bytes) {
        let again = file.bytes().map(|bytes| RemovalFile::parse(file.name(), &bytes));
        assert!(again.is_ok_and(|again| again.is_ok_and(|again| again.entries.len() == file.entries.len())));
    }
}

/// A journal of these lines, each with its sum.
pub fn with_sums(text: &str) -> String {
    text.lines().map(with_sum).collect()
}

fn read_journal(text: &str) {
    match OperationRecord::parse(text) {
        Ok(record) => {
            for step in 0..record.steps.len() {
                let _ = (record.was_begun(step), record.may_have_done(step), record.was_undone(step));
                let _ = (record.undo_was_cut(step), record.succeeded(step));
            }
            OperationRecord::all_started(record.header);
        }
        Err(Invalid::Damaged(why) | Invalid::Unreadable(why)) => assert!(!why.is_empty()),
        Err(_) => {}
    }
}

fn mountinfo(bytes: &[u8]) {
    let text = lossy(bytes);
    for kind in ["net", "mnt"] {
        bind_mounted(&text, kind);
    }
    for line in text.lines() {
        let _ = MountInfo::from_line(line);
    }
}

/// Messages of any family, and all that is read of an answer about interfaces.
fn netlink(bytes: &[u8]) {
    for message in Messages(bytes) {
        about_interface(message.body);
    }
    about_interface(bytes);
}

fn about_interface(body: &[u8]) {
    let interfaces = [(1, "lo".to_owned()), (2, "eth0".to_owned())];
    rtnetlink::named_address(body, &interfaces);
    let _ = (rtnetlink::Route::read(body).is_some(), rtnetlink::next_hop(body).is_some());
    rtnetlink::multipath(body);
    vf_link::in_answer(body);
}

fn netlink_attributes(bytes: &[u8]) {
    let nested = |all: Attributes<'_>| all.map(|(_, value)| attributes(value, 0).count()).sum::<usize>();
    for head in [0, 4, 12, 16] {
        nested(attributes(bytes, head));
    }
}

/// A list in the form of pci.ids, asked for what may be in it and for what is not.
fn pci_ids(bytes: &[u8]) {
    let mut ids = PciIds::from_text(bytes.to_vec());
    for (vendor, device) in [(0x8086, 0x10d3), (0x1af4, 0x1000), (0, 0), (0xffff, 0xffff)] {
        let _ = (ids.vendor(vendor), ids.device(vendor, device), ids.own_subsystem(vendor, device, vendor, device));
    }
    for class in [0x01_0802, 0x02_0000, 0xff_0000] {
        ids.class(class);
    }
}

/// The tables `route`, `ipv6_route`, `if_inet6` and `fib_trie`, a zero byte between any two.
fn routes(bytes: &[u8]) {
    let mut tables = bytes.split(|byte| *byte == 0);
    let tables: [Option<&[u8]>; 4] = std::array::from_fn(|_| tables.next());
    let names = ["route", "ipv6_route", "if_inet6", "fib_trie"];
    let table = |name: &str| {
        let at = names.iter().position(|known| *known == name);
        Ok(at.and_then(|at| tables[at]).map(|table| lossy(table).into_owned()))
    };
    if let Ok(routes) = Routes::read(&table) {
        routes.facts(Session::parse("192.0.2.9 51022 192.0.2.1 22"));
        routes.facts(Session::parse("2001:db8::9 51022 2001:db8::1 22"));
    }
}

fn stack(bytes: &[u8]) {
    for frame in lossy(bytes).lines().filter_map(Frame::parse) {
        reads_frame_itself(&frame);
    }
}

fn reads_frame_itself(frame: &Frame) {
    let again = Frame::parse(&format!("[<0>] {frame}"));
    assert_eq!(again.as_ref(), Some(frame));
}

fn stat(bytes: &[u8]) {
    let text = lossy(bytes);
    let now = uptime(&text).unwrap_or(Duration::from_secs(1));
    let _ = TaskStat::parse(&text).map(|stat| stat.age(now));
}

fn status(bytes: &[u8]) {
    let text = lossy(bytes);
    let _ = (real_uid(&text), Owner::parse(&text), context_switches(&text));
}

/// By a clock that stands still, so that the same bytes do the same.
fn times(bytes: &[u8]) {
    let (text, now) = (lossy(bytes), SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_874_585));
    for time in [clock::parse_rfc3339(&text), clock::parse_moment(&text, now), history::since(&text, now).ok()] {
        let _ = time.map(|time| (clock::rfc3339(time), clock::local(time), clock::time_of_day(time)));
    }
    let _ = (parse_duration(&text), parse_time_limit(&text));
}

fn uevent(bytes: &[u8]) {
    let mut log = UeventLog::default();
    log.event(bytes);
    log.log_line(&lossy(bytes));
    let _ = Announcement::parse(bytes).map(|announcement| announcement.may_bring_files());
}

fn values(bytes: &[u8]) {
    let text = lossy(bytes);
    reads_itself::<MacAddress>(&text);
    reads_itself::<StepRef>(&text);
    let _ = (Attention::parse(&text), parse_jobs(&text), parse_vf_mac(&text));
    if let Ok(expectation) = text.parse::<Expectation>() {
        expectation.still_missing(&[]);
    }
}

fn vf_setting(bytes: &[u8]) {
    for line in lossy(bytes).lines() {
        reads_itself::<VfSetting>(line);
        reads_itself::<VfValue>(line);
    }
}

fn zpool_cache(bytes: &[u8]) {
    let _ = (zfs::pool_names(bytes), zfs::paths(bytes));
}
