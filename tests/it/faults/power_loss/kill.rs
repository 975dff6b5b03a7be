//! pcictl is killed after any change that it makes of a file, and the machine goes on: nothing is lost, the kernel has done
//! what it was told, and a recovery brings all to its end or back to its start.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;

use super::disk::{Disk, Files, write};
use super::recording::{Recording, is_of_kernel, path};
use super::subjects::Subject;
use super::trace::{Op, is_hidden};
use crate::faults::machine::{Ended, Machine};
use crate::faults::{Course, check_ledger, check_recovered};
use crate::support::scratch_directory;

/// Kills it after every `step`th change that anybody could see; gives how often it was killed.
pub fn kill_everywhere(subject: &Subject, recording: &Recording, step: usize) -> usize {
    let course = Course::of(subject.work());
    let mut disk = Disk::new(&recording.base);
    let gone = |machine: &Machine| -> Vec<String> {
        let there = machine.functions();
        course.whole.keys().filter(|name| !there.contains_key(*name)).cloned().collect()
    };
    let mut removed: BTreeSet<String> = gone(&subject.machine()).into_iter().collect();
    let (mut moments, mut kills) = (0, 0);
    for (index, op) in recording.ops.iter().enumerate() {
        let next = recording.ops.get(index + 1);
        if !is_of_kernel(op) {
            disk.apply(op);
        }
        // Nobody is killed in the middle of what the kernel does.
        let is_moment = match is_of_kernel(op) {
            true => next.is_none_or(|next| !is_of_kernel(next)),
            false => is_seen(op),
        };
        if !is_moment {
            continue;
        }
        moments += 1;
        if moments % step == 0 || is_of_kernel(op) {
            let before = subject.machine();
            replay(&recording.ops[..=index], recording, before.tree.path());
            removed.extend(gone(&before));
            let machine = before.with_directory(scratch_directory());
            machine.note_removed(&removed);
            let what = format!("{} killed after change {index}, {}", subject.name(), path(op).display());
            check(&machine, subject, &course, &disk.seen(), &what);
            kills += 1;
        }
    }
    kills
}

/// Whether a change can be seen by anybody else: no sync, and no file that has not got its name yet.
fn is_seen(op: &Op) -> bool {
    !matches!(op, Op::Sync(_)) && !is_hidden(path(op))
}

fn check(machine: &Machine, subject: &Subject, course: &Course, files: &Files, what: &str) {
    write(files, &machine.directory(""));
    let told = machine.run(&["status"]);
    assert!(matches!(told, Ended::Well | Ended::Otherwise(_)), "{what}: status: {told:?}");
    let report = machine.printed().remove(0);
    let is_damaged = report["operations"].as_array().is_some_and(|all| all.iter().any(|one| one["state"] == "damaged"));
    assert!(!is_damaged, "{what}: {report}");
    let recovered = machine.run(&["recover"]);
    assert!(matches!(recovered, Ended::Well), "{what}: recover: {recovered:?}");
    // Where a scan had found nothing and nobody had planned what follows, all that was planned is done; status tells what to do.
    let is_told = matches!(machine.run(&["status"]), Ended::Well) && machine.printed()[0]["removed"] != json!([]);
    check_recovered(machine, subject.work(), course, is_told, what);
    check_ledger(machine, course, what);
    let again = machine.run(&["recover"]);
    let report = machine.printed().remove(0);
    let is_nothing_left = report["operations"].as_array().is_some_and(Vec::is_empty);
    assert!(matches!(again, Ended::Well) && is_nothing_left, "{what}: a second recovery: {report}");
}

/// Makes the kernel's changes again.
fn replay(ops: &[Op], recording: &Recording, tree: &Path) {
    let below = |path: &Path| tree.join(path.strip_prefix("tree").expect("the kernel's"));
    let done = |result: std::io::Result<()>, op: &Op| result.unwrap_or_else(|error| panic!("{op:?}: {error}"));
    for op in ops.iter().filter(|op| is_of_kernel(op)) {
        let open = |path: &Path| OpenOptions::new().append(true).create(true).open(below(path));
        let result = match op {
            Op::MakeDirectory(path) => fs::create_dir(below(path)),
            Op::Open(path) => open(path).map(|_| ()),
            Op::Append(path, bytes) => open(path).and_then(|mut file| file.write_all(bytes)),
            Op::Cut(path, length) => open(path).and_then(|file| file.set_len(*length as u64)),
            Op::Rename(from, to) => fs::rename(below(from), below(to)),
            Op::Remove(path) => fs::remove_file(below(path)),
            Op::RemoveDirectory(path) => fs::remove_dir(below(path)),
            Op::Link(path, target) => {
                let target =
                    target.strip_prefix(&recording.tree).map_or_else(|_| target.clone(), |inside| tree.join(inside));
                symlink(target, below(path))
            }
            Op::Sync(_) => Ok(()),
        };
        done(result, op);
    }
}
