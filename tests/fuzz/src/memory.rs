//! Counts what all threads allocate, and refuses what no input can be worth.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// More than this at a time is a finding, whatever was asked for it: the largest input has 10 MiB.
pub const MOST: usize = 1 << 30;

/// The system's allocator, which is asked for no less and no more.
pub struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// All bytes that were allocated so far, be they freed or not.
pub fn allocated() -> usize {
    ALLOCATED.load(Relaxed)
}

fn take(size: usize) -> bool {
    ALLOCATED.fetch_add(size, Relaxed);
    LIVE.fetch_add(size, Relaxed) + size <= MOST
}

// SAFETY: every call goes to the system's allocator as it came; a null pointer says that there is no more memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            LIVE.fetch_sub(layout.size(), Relaxed);
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps to the contract of this trait.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps to the contract of this trait.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // What grows is copied at worst, so all of it counts.
        if !take(size) {
            LIVE.fetch_sub(size, Relaxed);
            return std::ptr::null_mut();
        }
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps to the contract of this trait.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
