//! `guard --status`: what a guard does now.

use crate::host::text::escaped;
use crate::lock::holders::age_in_words;
use crate::report::guard::{GuardReport, WriterAtFile};

pub(crate) fn guard(report: &GuardReport) -> String {
    let GuardReport { pid, files, let_go_on, had_to_wait, denied, .. } = report;
    let age = age_in_words(report.seconds as f64);
    let writes = if *let_go_on == 1 { "write" } else { "writes" };
    let mut text = format!(
        "pid {pid} has guarded {files} files for {age}: {let_go_on} raw {writes} let through, {had_to_wait} after a wait, \
         {denied} denied\n"
    );
    let line = |does: &str, writer: &WriterAtFile| {
        let WriterAtFile { pid, comm, file, seconds, .. } = writer;
        format!("pid {pid} ({}) {does} /sys/{} (for {})\n", escaped(comm), escaped(file), age_in_words(*seconds))
    };
    report.inside.iter().for_each(|writer| text.push_str(&line("is inside", writer)));
    report.waiting.iter().for_each(|writer| text.push_str(&line("waits to open", writer)));
    if report.waiting_count > report.waiting.len() {
        text.push_str(&format!("{} more wait\n", report.waiting_count - report.waiting.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_who_is_inside_and_who_waits() {
        let writer = |pid| {
            let (comm, file) = ("s\u{1b}h".to_owned(), "bus/pci/rescan".to_owned());
            WriterAtFile { pid, comm, file, seconds: 62.0, holds: Vec::new() }
        };
        let report = GuardReport {
            pid: 300,
            seconds: 7500,
            files: 177,
            let_go_on: 12,
            had_to_wait: 3,
            denied: 1,
            waiting_count: 2,
            waiting: vec![writer(7)],
            inside: vec![writer(6)],
        };
        assert_eq!(
            guard(&report),
            "pid 300 has guarded 177 files for 2 h 5 min: 12 raw writes let through, 3 after a wait, 1 denied\n\
             pid 6 (s\\x1bh) is inside /sys/bus/pci/rescan (for 1 min)\n\
             pid 7 (s\\x1bh) waits to open /sys/bus/pci/rescan (for 1 min)\n\
             1 more wait\n"
        );
    }
}
