//! What all processes have open and mapped, asked of the kernel at once: the iterators `task_file` and `task_vma` of BPF, by a
//! program that is put together here. What /proc shows link by link and line by line takes ten times as long.
//!
//! It needs root (CAP_BPF and CAP_PERFMON), a kernel from 5.12 on that tells its types (CONFIG_DEBUG_INFO_BTF), and no lockdown
//! for confidentiality; whoever asks must know another way. Nothing is opened, followed or changed, and the programs go with
//! the process that loaded them. A mapping is looked at under its process's `mmap_lock`, so to go through them may wait for
//! one that hangs: it is for a child that can be left behind, see [`child`](crate::host::child).
//!
//! Processes have the numbers of the first namespace. It does NOT see what is open by no task: files on their way through a
//! socket, or registered with io_uring and closed.

pub(crate) mod btf;
pub(crate) mod layout;
pub(crate) mod program;

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::libc;

use crate::host::bpf::layout::{Each, Layout};
use crate::host::bpf::program::{AT_DEVICE, AT_INODE, AT_MODE, AT_TGID, Interest, RECORD, assemble};

/// A file that a task has open or mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The process.
    pub(crate) pid: u32,
    /// Which device it is, as the kernel has it; 0 if none.
    device: u32,
    /// Its type and rights.
    mode: u32,
    /// Its number on its file system.
    pub(crate) inode: u64,
}

impl Record {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let from = |at: i16| bytes.get(usize::from(at.unsigned_abs())..);
        let word = |at: i16| Some(u32::from_ne_bytes(*from(at)?.first_chunk()?));
        let inode = u64::from_ne_bytes(*from(AT_INODE)?.first_chunk()?);
        Some(Self { pid: word(AT_TGID)?, device: word(AT_DEVICE)?, mode: word(AT_MODE)?, inode })
    }

    /// Whether it is a block device (`true`) or a character device, and its number; none if it is neither.
    pub(crate) fn device(&self) -> Option<(bool, (u32, u32))> {
        /// Of the kernel's own numbers the lower bits are the minor (MINORBITS in include/linux/kdev_t.h).
        const MINOR_BITS: u32 = 20;
        let number = (self.device >> MINOR_BITS, self.device & ((1 << MINOR_BITS) - 1));
        match self.mode & libc::S_IFMT {
            libc::S_IFBLK => Some((true, number)),
            libc::S_IFCHR => Some((false, number)),
            _ => None,
        }
    }

    /// Whether it is a socket.
    pub(crate) fn is_socket(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFSOCK
    }
}

/// Goes through all files that tasks have open, or all mappings; `take` gets those of interest, and `goes_on` is called now and
/// then.
///
/// # Errors
/// The kernel does not tell, or not to this process.
pub(crate) fn each(
    layout: &Layout,
    each: Each,
    interest: &Interest<'_>,
    take: &mut dyn FnMut(Record),
    goes_on: &mut dyn FnMut(),
) -> io::Result<()> {
    let program = load(&assemble(layout, each, interest), layout.of(each).function)?;
    let link = attach(&program)?;
    let mut iterator = File::from(iterate(&link)?);
    let mut buffer = vec![0; 64 << 10];
    let mut filled = 0;
    loop {
        goes_on();
        let read = match iterator.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => read,
            // It has gone through a million without anything to tell (MAX_ITER_OBJECTS in kernel/bpf/bpf_iter.c).
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
            Err(error) => return Err(error),
        };
        filled += read;
        let records = buffer[..filled].chunks_exact(RECORD.unsigned_abs().into());
        let rest = records.remainder().len();
        records.filter_map(Record::parse).for_each(&mut *take);
        buffer.copy_within(filled - rest..filled, 0);
        filled = rest;
    }
    Ok(())
}

/// The part of `union bpf_attr` that loads a program, up to the last field that is used.
#[repr(C)]
#[derive(Default)]
struct LoadProgram {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 4],
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
    btf: u32,
    function_info_size: u32,
    function_info: u64,
    function_infos: u32,
    line_info_size: u32,
    line_info: u64,
    line_infos: u32,
    attach_to: u32,
}

/// The part that attaches one.
#[repr(C)]
#[derive(Default)]
struct CreateLink {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

/// The part that begins to iterate.
#[repr(C)]
#[derive(Default)]
struct CreateIterator {
    link: u32,
    flags: u32,
}

/// Numbers of include/uapi/linux/bpf.h.
const PROG_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
const ITER_CREATE: libc::c_int = 33;
const TRACING: u32 = 26;
const TRACE_ITER: u32 = 28;

fn load(code: &[u64], function: u32) -> io::Result<OwnedFd> {
    // What is loaded is under these licenses; the helpers that it calls are for such alone.
    let license = c"Dual MIT/GPL";
    let mut name = [0; 16];
    name[..12].copy_from_slice(b"pcictl_users");
    let attributes = LoadProgram {
        kind: TRACING,
        count: u32::try_from(code.len()).unwrap_or(u32::MAX),
        instructions: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
        name,
        attach_type: TRACE_ITER,
        attach_to: function,
        ..LoadProgram::default()
    };
    bpf(PROG_LOAD, &attributes)
}

fn attach(program: &OwnedFd) -> io::Result<OwnedFd> {
    let attributes = CreateLink { program: raw(program), attach_type: TRACE_ITER, ..CreateLink::default() };
    bpf(LINK_CREATE, &attributes)
}

fn iterate(link: &OwnedFd) -> io::Result<OwnedFd> {
    bpf(ITER_CREATE, &CreateIterator { link: raw(link), ..CreateIterator::default() })
}

fn raw(fd: &OwnedFd) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// A call that gives a descriptor.
fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads as many bytes as it is told, all of which are there; what they point to, instructions and a
    // string with its zero, outlives the call; and nothing of it is written.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    let fd = Errno::result(fd)?;
    // SAFETY: the call has made this descriptor for its caller, and nobody else knows it. It is closed by exec.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}
