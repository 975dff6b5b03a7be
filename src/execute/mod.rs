//! Performs plans. The engine knows a trait, not the kernel; the supervisor has the writes made by a process of their own,
//! so that a write which never returns hangs that one and not the operator.
//!
//! - [`outcome`]: how steps ended.
//! - [`executor`]: performs a plan by a `StepRunner`, several steps at a time, and undoes it.
//! - [`journaled`]: a runner that notes each step in the journal.
//! - [`signals`]: signals as something to poll.
//! - [`vf_write`]: a setting of a VF, by rtnetlink.
//! - [`rerun`]: pcictl run again, to be a process beside this one.
//! - [`title`]: the command line that `ps` shows of this process.
//! - [`writer_line`]: orders and answers between pcictl and the writer.
//! - [`writer`]: the process that makes the writes, each by a thread.
//! - [`writer_process`]: the same seen from this side.
//! - [`supervisor`]: the runner for a real machine, with timeouts and interrupts.
//! - [`scope`]: a systemd scope for what goes on in the background.
//! - [`command`]: runs an operator's command under locks.

pub mod executor;
pub(crate) mod signals;
pub mod supervisor;
pub(crate) mod rerun;
pub(crate) mod title;
pub(crate) mod writer;
pub(crate) mod writer_line;
pub(crate) mod writer_process;
pub(crate) mod vf_write;
pub(crate) mod command;
pub(crate) mod journaled;
pub(crate) mod outcome;
pub(crate) mod scope;
