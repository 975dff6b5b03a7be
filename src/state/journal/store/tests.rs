use std::os::fd::AsFd as _;

use nix::sys::resource::{UsageWho, getrusage};

use super::*;

fn journals() -> (tempfile::TempDir, Journals) {
    let directory = tempfile::tempdir().unwrap();
    let journals = Journals::below(&directory.path().join("run"), &directory.path().join("state"));
    (directory, journals)
}

fn header(id: &str) -> Header {
    Header { id: id.to_owned(), ..Header::of(Vec::new()) }
}

fn ids(journals: &Journals) -> Vec<String> {
    journals.list().unwrap().iter().map(|found| found.id().to_owned()).collect()
}

#[test]
fn journals_of_one_second_and_process_are_listed_in_the_order_in_which_they_began() {
    let (_directory, journals) = journals();
    for _ in 0..3 {
        journals.begin(header("7-8")).unwrap();
    }
    assert_eq!(ids(&journals), ["7-8", "7-8+", "7-8++"]);
}

#[test]
fn a_journal_that_cannot_be_written_costs_no_other_one_where_that_makes_no_room() {
    let (_directory, journals) = journals();
    journals.begin(header("1-1")).unwrap().0.close("well").unwrap();
    // No file can have a name that is so long.
    assert!(journals.begin(header(&"2".repeat(300))).is_err());
    assert_eq!(ids(&journals), ["1-1"]);
}

#[test]
fn a_journal_is_dropped_only_if_its_operation_is_closed_and_nobody_works_on_it() {
    let (_directory, journals) = journals();
    drop(journals.begin(header("1-interrupted")).unwrap());
    let (busy, _) = journals.begin(header("2-busy")).unwrap();
    busy.close("well").unwrap();
    journals.begin(header("3-over")).unwrap().0.close("well").unwrap();
    let directory = Directory::open(&journals.journals).unwrap().unwrap();
    // A process that another test starts just then has the journal open for a moment, as if it worked on it.
    while directory.has("3-over.journal") {
        journals.prune(&directory, 0);
    }
    assert_eq!(ids(&journals), ["1-interrupted", "2-busy"]);
    drop(busy);
}

#[test]
fn how_a_step_ended_is_noted_by_whoever_inherited_the_journal() {
    let (_directory, journals) = journals();
    let (journal, _) = journals.begin(header("1-2")).unwrap();
    let mark = StepRef { step: 0, undo: false };
    note_end(journal.try_clone().unwrap().as_fd(), mark, 5).unwrap();
    let record = journals.list().unwrap().remove(0).record.unwrap();
    assert_eq!(record.ends.get(&mark), Some(&Some(5)));
}

fn removal() -> Vec<Step> {
    let action = Action::Remove { address: "0000:01:00.0".parse().unwrap() };
    vec![Step::new(action, "d", Vec::new())]
}

#[test]
fn all_that_is_noted_of_an_operation_is_read_again() {
    let (_directory, journals) = journals();
    let (journal, _) = journals.begin(Header { steps: removal(), began: 77, ..header("7-8") }).unwrap();
    assert_eq!((journal.id(), journal.began()), ("7-8", 77));
    let [first, second] = [0, 1].map(|step| StepRef { step, undo: false });
    journal.begin_step(first, &removal()[0].action).unwrap();
    journal.end_step(first, 5).unwrap();
    journal.extend(&removal()).unwrap();
    journal.begin_step(second, &removal()[0].action).unwrap();
    let record = journals.list().unwrap().remove(0).record.unwrap();
    assert_eq!(record.ends, [(first, Some(5)), (second, None)].into());
    assert_eq!(record.steps.len(), 2);
}

#[test]
fn an_operation_that_lost_its_journal_or_its_boot_is_known_by_its_marker() {
    let (directory, journals) = journals();
    let found = |boot: &str| {
        let Orphans { rebooted, lost, bad } = journals.orphans(boot);
        let ids = |headers: Vec<Header>| headers.into_iter().map(|header| header.id).collect::<Vec<_>>();
        assert!(bad.is_empty());
        (ids(rebooted), ids(lost))
    };
    let ours = || vec!["7-8".to_owned()];
    let (journal, _) = journals.begin(header("7-8")).unwrap();
    assert_eq!(found("b"), (vec![], vec![]));
    let (path, aside) = (directory.path().join("run/journal/7-8.journal"), directory.path().join("aside"));
    std::fs::rename(&path, &aside).unwrap();
    assert_eq!(found("b"), (vec![], ours()));
    assert_eq!(found("the next"), (ours(), vec![]));
    std::fs::rename(&aside, &path).unwrap();
    journal.close("well").unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(found("b"), (vec![], vec![]), "what is over is asked for by nobody");
}

#[test]
fn a_line_that_was_written_in_part_is_no_line() {
    let (full, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    full.set_nonblocking(true).unwrap();
    let steps: Vec<Step> = std::iter::repeat_n(removal(), 50_000).flatten().collect();
    assert_eq!(append(&full, &JournalLine::Extended { steps }), Err(Errno::ENOSPC));
}

#[test]
fn room_is_reserved_for_all_that_may_be_noted_and_not_for_more() {
    use std::os::unix::fs::MetadataExt as _;
    let reserved = |steps: usize| {
        let (directory, journals) = journals();
        let steps: Vec<Step> = std::iter::repeat_n(removal(), steps).flatten().collect();
        let header = Header { steps, ..header("7-8") };
        let text = JournalLine::Header(header.clone()).text().len();
        journals.begin(header).unwrap();
        let file = std::fs::metadata(directory.path().join("run/journal/7-8.journal")).unwrap();
        usize::try_from(file.blocks()).unwrap() * 512 - text
    };
    let (few, many) = (reserved(1), reserved(101));
    let pages = |bytes: usize| bytes..bytes + (64 << 10);
    assert!(pages(LINE * 28).contains(&few), "{few}");
    assert!(pages(LINE * (12 * 101 + 16)).contains(&many), "{many}");
}

/// Else all looks would be over before whoever has the file open could run.
#[test]
fn between_two_looks_the_processor_is_left_to_others() {
    let sleeps = || getrusage(UsageWho::RUSAGE_THREAD).unwrap().voluntary_context_switches();
    let before = sleeps();
    (0..3).for_each(|_| pause());
    assert!(sleeps() > before);
}

#[test]
fn a_line_that_was_torn_off_becomes_no_part_of_the_next_one() {
    let (directory, journals) = journals();
    drop(journals.begin(Header::of(Vec::new())).unwrap());
    let path = directory.path().join("run/journal/1-2.journal");
    for torn in ["01234567", "\0\0\0"] {
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(torn.as_bytes()).unwrap();
        let found = journals.list().unwrap().remove(0);
        let (journal, _) = journals.take_over(&found).unwrap().unwrap();
        journal.extend(&[]).unwrap();
    }
    let found = journals.list().unwrap().remove(0);
    journals.take_over(&found).unwrap().unwrap().0.close("well").unwrap();
    let record = journals.list().unwrap().remove(0).record.unwrap();
    assert_eq!(record.closed.as_deref(), Some("well"));
}

#[test]
fn a_lock_that_is_let_go_of_at_once_is_nobodys_and_one_that_stays_is_somebodys() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut other = Some(file.reopen().unwrap());
    assert!(acquire::try_lock_file(other.as_ref().unwrap()).unwrap());
    let mut pauses = 0;
    assert!(!lock_soon(file.as_file(), || pauses += 1).unwrap());
    assert_eq!(pauses, LOOKS);
    assert!(lock_soon(file.as_file(), || drop(other.take())).unwrap());
}
