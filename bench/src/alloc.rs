//! The system's allocator, counted.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
};

use crate::shard::{self, Padded, SHARDS};

/// Counts every allocation and what is alive, on counters of the thread's own: one shared counter would cost the
/// contenders that allocate most the most time, and so favour the others.
pub struct Counting;

/// How often the process has allocated since it started; growing an allocation counts as one.
pub fn allocations() -> u64 {
    COUNTERS
        .iter()
        .map(|counters| counters.0.allocations.load(Ordering::Relaxed))
        .sum()
}

/// The bytes that are allocated and not yet freed.
pub fn live_bytes() -> i64 {
    COUNTERS
        .iter()
        .map(|counters| counters.0.live.load(Ordering::Relaxed))
        .sum()
}

struct Counters {
    allocations: AtomicU64,
    // What one thread allocates another may free, so a single shard's balance can be negative.
    live: AtomicI64,
}

static COUNTERS: [Padded<Counters>; SHARDS] = [const {
    Padded(Counters {
        allocations: AtomicU64::new(0),
        live: AtomicI64::new(0),
    })
}; SHARDS];

fn count(allocations: u64, bytes: i64) {
    let counters = &COUNTERS[shard::current()].0;
    counters.allocations.fetch_add(allocations, Ordering::Relaxed);
    counters.live.fetch_add(bytes, Ordering::Relaxed);
}

/// `Layout` promises that no allocation is larger than `isize::MAX`.
fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

// SAFETY: every call goes unchanged to `System`, which keeps the contract; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, signed(layout.size()));
        // SAFETY: the caller's promises are the ones that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, signed(layout.size()));
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, signed(size) - signed(layout.size()));
        // SAFETY: as in `alloc`; `pointer` came from `System`, since all of this allocator's memory does.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -signed(layout.size()));
        // SAFETY: as in `realloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
