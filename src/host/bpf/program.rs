//! The program that the kernel runs for each file that a task has open or mapped.
//!
//! An instruction is `struct bpf_insn` of include/uapi/linux/bpf.h; the verifier lets a program follow the pointers of the
//! kernel's own structures, as BTF describes them, and a fault in one reads as zero.

use crate::host::bpf::layout::{Each, Layout};

/// What is written for a file: see [`Record`](crate::host::bpf::Record).
pub(crate) const RECORD: i16 = 32;

/// Where the pieces of a record are that a reader wants.
pub(crate) const AT_TGID: i16 = 0;
pub(crate) const AT_DEVICE: i16 = 4;
pub(crate) const AT_MODE: i16 = 8;
pub(crate) const AT_INODE: i16 = 16;

/// The pieces of a record, from the end of the stack.
const TGID: i16 = AT_TGID - RECORD;
const DEVICE: i16 = AT_DEVICE - RECORD;
const MODE: i16 = AT_MODE - RECORD;
const MAGIC: i16 = 12 - RECORD;
const INODE: i16 = AT_INODE - RECORD;
const NAME: i16 = 24 - RECORD;

/// Which registers are what. The first five are arguments of calls, which do not keep them.
const RESULT: u8 = 0;
const ARGUMENT: [u8; 3] = [1, 2, 3];
const CONTEXT: u8 = 6;
const TASK: u8 = 7;
const FILE: u8 = 8;
const NODE: u8 = 9;
const STACK: u8 = 10;
/// For what is not kept over a call.
const SCRATCH: u8 = 1;

/// Widths of loads and stores (BPF_W, BPF_H, BPF_DW).
#[derive(Clone, Copy)]
enum Width {
    Half = 0x08,
    Word = 0x00,
    Double = 0x18,
}

/// Helpers of the kernel (`enum bpf_func_id`).
const PROBE_READ_KERNEL: i32 = 113;
const SEQ_WRITE: i32 = 127;

/// What decides whether a file is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interest<'a> {
    /// Files on these file systems (`s_magic`), each of them.
    pub(crate) file_systems: &'a [i32],
    /// Files whose name begins so.
    pub(crate) names: &'a [[u8; 8]],
    /// Sockets.
    pub(crate) sockets: bool,
}

/// Where a jump goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goal {
    /// The record is written.
    Tell,
    /// Nothing is.
    End,
}

/// Instructions, and the jumps that do not know yet how far.
#[derive(Default)]
struct Program {
    code: Vec<u64>,
    jumps: Vec<(usize, Goal)>,
}

/// The instructions for a kernel of this layout. A device is always told.
pub(crate) fn assemble(layout: &Layout, each: Each, interest: &Interest<'_>) -> Vec<u64> {
    let mut program = Program::default();
    program.find_file(layout, each);
    program.fill_record(layout);
    program.choose(interest);
    program.tell(layout, each);
    program.finished()
}

impl Program {
    /// Loads task, file and inode; there may be none at the end, and in an anonymous mapping.
    fn find_file(&mut self, layout: &Layout, each: Each) {
        let of = layout.of(each);
        self.copy(CONTEXT, ARGUMENT[0]);
        self.load(Width::Double, TASK, CONTEXT, of.task);
        self.load(Width::Double, FILE, CONTEXT, of.item);
        self.jump_if(TASK, 0, Goal::End);
        self.jump_if(FILE, 0, Goal::End);
        if each == Each::Mapping {
            self.load(Width::Double, FILE, FILE, layout.mapping_file);
            self.jump_if(FILE, 0, Goal::End);
        }
        self.load(Width::Double, NODE, FILE, layout.file_inode);
    }

    fn fill_record(&mut self, layout: &Layout) {
        self.keep(Width::Word, TGID, TASK, layout.task_tgid);
        self.keep(Width::Word, DEVICE, NODE, layout.inode_device);
        self.load(Width::Half, SCRATCH, NODE, layout.inode_mode);
        self.store(Width::Word, MODE, SCRATCH);
        self.keep(Width::Double, INODE, NODE, layout.inode_number);
        self.load(Width::Double, SCRATCH, NODE, layout.inode_super);
        self.load(Width::Double, SCRATCH, SCRATCH, layout.super_magic);
        self.store(Width::Word, MAGIC, SCRATCH);
        // A name is text of no known length, which only the helper may read; what it cannot read is zero.
        self.load(Width::Double, ARGUMENT[2], FILE, layout.file_entry);
        self.load(Width::Double, ARGUMENT[2], ARGUMENT[2], layout.entry_name);
        self.address_of(ARGUMENT[0], NAME);
        self.set(ARGUMENT[1], i32::from(-NAME));
        self.call(PROBE_READ_KERNEL);
    }

    fn choose(&mut self, interest: &Interest<'_>) {
        /// What kind of file it is, and a socket (include/uapi/linux/stat.h).
        const KIND: i32 = 0o170_000;
        const SOCKET: i32 = 0o140_000;
        self.load(Width::Word, SCRATCH, STACK, DEVICE);
        self.jump_unless(SCRATCH, 0, Goal::Tell);
        self.load(Width::Word, SCRATCH, STACK, MAGIC);
        for magic in interest.file_systems {
            self.jump_if(SCRATCH, *magic, Goal::Tell);
        }
        if interest.sockets {
            self.load(Width::Word, SCRATCH, STACK, MODE);
            self.push(ALU_AND, SCRATCH, 0, 0, KIND);
            self.jump_if(SCRATCH, SOCKET, Goal::Tell);
        }
        self.load(Width::Double, SCRATCH, STACK, NAME);
        for name in interest.names {
            self.set_whole(ARGUMENT[1], u64::from_ne_bytes(*name));
            self.jump(JUMP_IF_EQUAL_REGISTERS, SCRATCH, ARGUMENT[1], 0, Goal::Tell);
        }
        self.jump(JUMP, 0, 0, 0, Goal::End);
    }

    fn tell(&mut self, layout: &Layout, each: Each) {
        self.land(Goal::Tell);
        self.load(Width::Double, SCRATCH, CONTEXT, layout.of(each).meta);
        self.load(Width::Double, SCRATCH, SCRATCH, layout.meta_sequence);
        self.address_of(ARGUMENT[1], -RECORD);
        self.set(ARGUMENT[2], i32::from(RECORD));
        self.call(SEQ_WRITE);
    }

    fn finished(mut self) -> Vec<u64> {
        self.land(Goal::End);
        self.set(RESULT, 0);
        self.push(EXIT, 0, 0, 0, 0);
        self.code
    }

    /// Has the jumps to a goal go to what comes next.
    fn land(&mut self, goal: Goal) {
        let here = self.code.len();
        for (at, _) in self.jumps.iter().filter(|(_, wanted)| *wanted == goal) {
            // A program of some fifty instructions.
            let far = i16::try_from(here - at - 1).unwrap_or_default();
            self.code[*at] |= instruction(0, 0, 0, far, 0);
        }
    }

    /// Loads, and puts that into the record.
    fn keep(&mut self, width: Width, piece: i16, from: u8, offset: i16) {
        self.load(width, SCRATCH, from, offset);
        self.store(width, piece, SCRATCH);
    }

    fn load(&mut self, width: Width, to: u8, from: u8, offset: i16) {
        self.push(LOAD | width as u8, to, from, offset, 0);
    }

    fn store(&mut self, width: Width, piece: i16, from: u8) {
        self.push(STORE | width as u8, STACK, from, piece, 0);
    }

    fn copy(&mut self, to: u8, from: u8) {
        self.push(MOVE_REGISTER, to, from, 0, 0);
    }

    fn set(&mut self, to: u8, value: i32) {
        self.push(MOVE, to, 0, 0, value);
    }

    /// Sets all 64 bits, in two instructions: the lower half, and the upper one.
    fn set_whole(&mut self, to: u8, value: u64) {
        let half = |value: u64| i32::from_ne_bytes(((value & 0xffff_ffff) as u32).to_ne_bytes());
        self.push(LOAD_WHOLE, to, 0, 0, half(value));
        self.push(0, 0, 0, 0, half(value >> 32));
    }

    fn address_of(&mut self, to: u8, piece: i16) {
        self.copy(to, STACK);
        self.push(ALU_ADD, to, 0, 0, i32::from(piece));
    }

    fn call(&mut self, helper: i32) {
        self.push(CALL, 0, 0, 0, helper);
    }

    fn jump_if(&mut self, register: u8, value: i32, goal: Goal) {
        self.jump(JUMP_IF_EQUAL, register, 0, value, goal);
    }

    fn jump_unless(&mut self, register: u8, value: i32, goal: Goal) {
        self.jump(JUMP_UNLESS_EQUAL, register, 0, value, goal);
    }

    fn jump(&mut self, code: u8, register: u8, other: u8, value: i32, goal: Goal) {
        self.jumps.push((self.code.len(), goal));
        self.push(code, register, other, 0, value);
    }

    fn push(&mut self, code: u8, to: u8, from: u8, offset: i16, value: i32) {
        self.code.push(instruction(code, to, from, offset, value));
    }
}

/// Operations, of include/uapi/linux/bpf_common.h and bpf.h, put together from class, width and mode.
const LOAD: u8 = 0x61;
const STORE: u8 = 0x63;
const LOAD_WHOLE: u8 = 0x18;
const MOVE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const ALU_ADD: u8 = 0x07;
const ALU_AND: u8 = 0x57;
const JUMP: u8 = 0x05;
const JUMP_IF_EQUAL: u8 = 0x15;
const JUMP_IF_EQUAL_REGISTERS: u8 = 0x1d;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

/// `struct bpf_insn` as eight bytes in memory.
fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    // Two fields of four bits, the first in the half that the machine counts first.
    let registers = if cfg!(target_endian = "little") { to | from << 4 } else { to << 4 | from };
    let ([a, b], [c, d, e, f]) = (offset.to_ne_bytes(), value.to_ne_bytes());
    u64::from_ne_bytes([code, registers, a, b, c, d, e, f])
}
