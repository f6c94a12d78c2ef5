//! One group of servers: how a majority of them is asked, and who waits for its answer.

pub(crate) mod attempt;
#[cfg(test)]
mod order;
pub(crate) mod wait;
pub(crate) mod wait_queue;
