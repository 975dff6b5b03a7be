//! What pcictl's own writer is writing, in the command line that it shows: `ps` has it for people, and the doctor learns from
//! it which thread of the writer works on which device. Its threads share their descriptors, and the file that a driver is
//! unbound by does not name a device anyway.

/// What the command line of a writer begins with, and all of it while nothing is written.
const WRITER: &str = "pcictl kernel-write";

/// What a command line has room for: the kernel shows a page of one that was changed (get_mm_proctitle in fs/proc/base.c).
pub(crate) const LONGEST: usize = 4096;

/// One write of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ThreadWrite {
    /// The thread.
    pub(crate) thread: u32,
    /// The file.
    pub(crate) path: String,
    /// What is written to it.
    pub(crate) value: String,
}

impl ThreadWrite {
    /// The command line as if the writer made this write alone.
    pub(crate) fn command(&self) -> String {
        format!("{WRITER} {} {}", self.path, self.value)
    }

    /// Whether an open file, without `/sys/`, may be the one that is written to, which was opened by a link of the bus.
    pub(crate) fn is_to(&self, file: &str) -> bool {
        let path = self.path.strip_prefix("/sys/").unwrap_or(&self.path);
        let name = path.strip_prefix("bus/pci/devices/").unwrap_or(path);
        file.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('/'))
    }
}

/// The command line of a writer at work on these: `pcictl kernel-write PATH VALUE (THREAD), PATH VALUE (THREAD)`.
pub(crate) fn command_line(writes: &[ThreadWrite]) -> String {
    let mut line = WRITER.to_owned();
    for (index, ThreadWrite { thread, path, value }) in writes.iter().enumerate() {
        let write = format!("{} {path} {value} ({thread})", if index == 0 { "" } else { "," });
        // A write is shown whole or not at all, or it would be another one.
        if line.len() + write.len() < LONGEST {
            line.push_str(&write);
        }
    }
    line
}

/// Whether this is the command line of a writer.
pub(crate) fn is_writer(command: &str) -> bool {
    command.strip_prefix(WRITER).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// The writes that the command line of a writer tells of.
pub(crate) fn of_command(command: &str) -> Vec<ThreadWrite> {
    let Some(writes) = command.strip_prefix(WRITER) else { return Vec::new() };
    writes.split(',').filter_map(parse).collect()
}

/// The thread that makes this write, as the command line tells.
pub(crate) fn thread_of(command: &str, path: &str, value: &str) -> Option<u32> {
    let is_it = |write: &ThreadWrite| write.path == path && write.value == value.trim_end();
    of_command(command).into_iter().find(is_it).map(|write| write.thread)
}

fn parse(text: &str) -> Option<ThreadWrite> {
    let (write, thread) = text.trim_end().strip_suffix(')')?.rsplit_once(" (")?;
    let (path, value) = write.trim_start().split_once(' ')?;
    Some(ThreadWrite { thread: thread.parse().ok()?, path: path.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(thread: u32, path: &str, value: &str) -> ThreadWrite {
        ThreadWrite { thread, path: path.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn what_is_shown_is_what_is_read() {
        let writes = [
            write(78, "/sys/bus/pci/drivers/nvme/unbind", "0000:03:00.0"),
            write(79, "/sys/bus/pci/devices/0000:01:00.0/net", "vf 0 vlan 7 qos 0 proto 802.1Q"),
            write(80, "/sys/bus/pci/devices/0000:05:00.0/driver_override", ""),
        ];
        assert_eq!(command_line(&[]), "pcictl kernel-write");
        let line = command_line(&writes[..2]);
        assert_eq!(
            line,
            "pcictl kernel-write /sys/bus/pci/drivers/nvme/unbind 0000:03:00.0 (78), \
             /sys/bus/pci/devices/0000:01:00.0/net vf 0 vlan 7 qos 0 proto 802.1Q (79)"
        );
        assert_eq!(of_command(&command_line(&writes)), writes);
        assert!(is_writer(&line) && is_writer("pcictl kernel-write") && !is_writer("pcictl kernel-writes"));
        assert_eq!(writes[0].command(), "pcictl kernel-write /sys/bus/pci/drivers/nvme/unbind 0000:03:00.0");
        for other in ["pcictl remove 03:00.0 (7)", "pcictl kernel-write", "pcictl kernel-write /sys/x 1 (y)"] {
            assert_eq!(of_command(other), [], "{other}");
        }
    }

    #[test]
    fn more_than_a_command_line_has_room_for_is_left_out_as_a_whole() {
        let writes: Vec<_> = (0..100).map(|n| write(n, "/sys/bus/pci/drivers/nvme/unbind", "0000:03:00.0")).collect();
        let line = command_line(&writes);
        assert!(line.len() < LONGEST);
        let shown = of_command(&line);
        assert!(shown.len() > 50 && shown == writes[..shown.len()]);
    }

    #[test]
    fn a_file_is_known_by_the_device_that_it_is_of() {
        let remove = write(1, "/sys/bus/pci/devices/0000:03:00.0/remove", "1");
        assert!(remove.is_to("devices/pci0000:00/0000:00:01.0/0000:03:00.0/remove"));
        assert!(!remove.is_to("devices/pci0000:00/0000:00:01.0/0000:04:00.0/remove"));
        let scan = write(1, "/sys/bus/pci/rescan", "1");
        assert!(scan.is_to("bus/pci/rescan") && !scan.is_to("devices/pci0000:00/0000:00:01.0/rescan"));
    }
}
