//! The machine as files: everything that `--sysroot` replaces by a dumped tree.
//!
//! - [`text`]: the one escaper of control characters; what counts as a number.
//! - [`clock`]: times as people and programs write them.
//! - [`root`]: the one opener below `/` or the top of a dumped tree.
//! - [`layers`]: configuration, of which the administrator's wins.
//! - [`sysfs`]: the one reader of attributes in /sys.
//! - [`procfs`]: the one reader of /proc.
//! - [`stillness`]: whether a task has run since, and what it shares with others.
//! - [`pidfd`]: a process by a descriptor.
//! - [`child`]: looks that may hang, by children that can be left behind.
//! - [`bpf`]: what all processes have open, asked of the kernel at once.
//! - [`patience`]: attributes that may make their reader wait.
//! - [`processors`]: how many things are worth doing at the same time.
//! - [`bounded`]: whole files with a limit of size and time, for those who copy.
//! - [`directory_watch`]: what happens in a few directories.
//! - [`walk`]: directories from the top down, links not followed.
//! - [`invoker`]: who runs this.
//! - [`system_log`]: systemd's journal, or syslog.
//! - [`machine`]: /sys, /proc, the run and state directories of one machine, and its boot.
//! - [`modalias`]: which kernel modules are for a function.
//! - [`pci_ids`]: names of vendors, devices and classes.
//! - [`netlink`]: questions about interfaces, addresses, routes and RDMA.
//! - [`uevent`]: what the kernel announces.
//! - [`hotplug_thread`]: waits for the thread of a hotplug port.

pub(crate) mod text;
pub(crate) mod clock;
pub mod root;
pub(crate) mod layers;
pub mod sysfs;
pub(crate) mod procfs;
pub(crate) mod stillness;
pub(crate) mod pidfd;
pub(crate) mod child;
pub(crate) mod bpf;
pub(crate) mod patience;
pub(crate) mod processors;
pub(crate) mod bounded;
pub(crate) mod directory_watch;
pub(crate) mod walk;
pub(crate) mod invoker;
pub(crate) mod system_log;
pub mod machine;
pub(crate) mod modalias;
pub mod pci_ids;
pub(crate) mod netlink;
pub mod uevent;
pub(crate) mod hotplug_thread;
