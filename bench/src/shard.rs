//! A small number for each thread, so that what is counted on every allocation and in every cycle shares no cache line.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
};

/// More than the threads of the runtime on a usual machine; threads beyond it share a shard and stay correct.
pub const SHARDS: usize = 16;

/// Keeps its neighbour off its cache line.
#[repr(align(128))]
#[derive(Default)]
pub struct Padded<T>(pub T);

/// The shard of the calling thread. Allocates nothing, so that the allocator may ask.
pub fn current() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
    }
    SHARD.with(|shard| {
        let index = shard
            .get()
            .unwrap_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        shard.set(Some(index));
        index
    })
}
