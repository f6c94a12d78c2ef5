//! The whole library on servers within the process, mostly on a paused clock: exact, and without Redis.

mod attempts;
#[cfg(feature = "blocking")]
mod blocking;
mod cancel;
mod clocks;
mod data;
mod events;
mod fairness;
mod fencing;
mod groups;
mod guard;
mod hand_over;
mod limits;
#[cfg(feature = "metrics")]
mod metrics;
mod observe;
mod outlived;
mod owner;
mod preempted;
mod remembered;
mod renewal;
mod restart;
mod several;
mod support;
mod traits;
mod undo;
mod using;
mod views;
mod waiting;
