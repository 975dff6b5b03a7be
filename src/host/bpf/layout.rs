//! Where a kernel has what the programs look at: it differs from build to build, so each tells.

use crate::host::bpf::btf::{Btf, Kind};

/// What is gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Each {
    /// Each file that is open.
    File,
    /// Each mapping.
    Mapping,
}

/// What an iterator hands to its program (`struct bpf_iter__task_file` and `bpf_iter__task_vma`), and its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Iterator {
    /// The function that a program is attached to.
    pub(crate) function: u32,
    /// What is the same for all iterators.
    pub(crate) meta: i16,
    /// The task.
    pub(crate) task: i16,
    /// The file or the mapping.
    pub(crate) item: i16,
}

/// Offsets in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    files: Iterator,
    mappings: Iterator,
    /// Where what is written goes.
    pub(crate) meta_sequence: i16,
    /// The number of the process.
    pub(crate) task_tgid: i16,
    /// The file of a mapping.
    pub(crate) mapping_file: i16,
    /// The inode of a file.
    pub(crate) file_inode: i16,
    /// Its entry in a directory.
    pub(crate) file_entry: i16,
    /// The text of an entry's name.
    pub(crate) entry_name: i16,
    /// Type and rights.
    pub(crate) inode_mode: i16,
    /// The number of an inode.
    pub(crate) inode_number: i16,
    /// Which device it is; 0 if none.
    pub(crate) inode_device: i16,
    /// Its file system.
    pub(crate) inode_super: i16,
    /// What kind of file system it is.
    pub(crate) super_magic: i16,
}

impl Layout {
    /// From what the kernel tells of its types; none if it cannot do that, or lacks one of the iterators (`task_vma` came with
    /// Linux 5.12).
    pub(crate) fn of_kernel(btf: &[u8]) -> Option<Self> {
        let btf = Btf::parse(btf)?;
        let [on_files, on_mappings] =
            btf.numbers([(Kind::Function, "bpf_iter_task_file"), (Kind::Function, "bpf_iter_task_vma")])?;
        let [of_files, of_mappings, meta, task] = btf.numbers(
            ["bpf_iter__task_file", "bpf_iter__task_vma", "bpf_iter_meta", "task_struct"]
                .map(|name| (Kind::Struct, name)),
        )?;
        let [mapping, file, path, entry, name, inode, super_block] = btf.numbers(
            ["vm_area_struct", "file", "path", "dentry", "qstr", "inode", "super_block"]
                .map(|name| (Kind::Struct, name)),
        )?;
        let iterator = |function, context, item| {
            Some(Iterator {
                function,
                meta: btf.offset(context, "meta")?,
                task: btf.offset(context, "task")?,
                item: btf.offset(context, item)?,
            })
        };
        let sum = |a: (u32, &str), b: (u32, &str)| btf.offset(a.0, a.1)?.checked_add(btf.offset(b.0, b.1)?);
        Some(Self {
            files: iterator(on_files, of_files, "file")?,
            mappings: iterator(on_mappings, of_mappings, "vma")?,
            meta_sequence: btf.offset(meta, "seq")?,
            task_tgid: btf.offset(task, "tgid")?,
            mapping_file: btf.offset(mapping, "vm_file")?,
            file_inode: btf.offset(file, "f_inode")?,
            file_entry: sum((file, "f_path"), (path, "dentry"))?,
            entry_name: sum((entry, "d_name"), (name, "name"))?,
            inode_mode: btf.offset(inode, "i_mode")?,
            inode_number: btf.offset(inode, "i_ino")?,
            inode_device: btf.offset(inode, "i_rdev")?,
            inode_super: btf.offset(inode, "i_sb")?,
            super_magic: btf.offset(super_block, "s_magic")?,
        })
    }

    pub(crate) fn of(&self, each: Each) -> &Iterator {
        match each {
            Each::File => &self.files,
            Each::Mapping => &self.mappings,
        }
    }
}
