//! Locks from threads, without `async`: three workers take turns, and a fourth finds out who is in the way.
//!
//! Uses three servers within the process, or those whose addresses are given as arguments.

use multiredlock::{LockError, blocking::Redlock};
use std::{
    env,
    error::Error,
    thread::{self, sleep},
    time::Duration,
};

const TTL: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let mut servers: Vec<String> = env::args().skip(1).collect();
    if servers.is_empty() {
        servers = ["memory://a", "memory://b", "memory://c"].map(String::from).to_vec();
    }
    let redlock = Redlock::builder().servers(&servers).build_blocking()?;
    redlock.wait_connected_timeout(Duration::from_secs(5))?;

    let workers: Vec<_> = ["anna", "berta", "clara"]
        .map(|name| {
            let redlock = redlock.clone();
            thread::spawn(move || redlock.using("printer", TTL, |_guard| print(name)))
        })
        .into();
    for worker in workers {
        worker.join().expect("a worker does not panic")?;
    }

    let guard = redlock
        .acquire("printer", TTL)
        .timeout(Duration::from_secs(30))
        .wait()?;
    println!("the printer is locked, valid for {:.1?}", guard.validity());
    match redlock.try_lock("printer", TTL).wait() {
        Err(error @ LockError::Held { .. }) => println!("dora: {error}"),
        other => return Err(format!("dora should be refused: {other:?}").into()),
    }
    guard.ensure_valid_for(Duration::from_secs(1))?;
    guard.release().wait()?;
    println!("released");
    redlock.close()?;
    Ok(())
}

/// Prints two pages. Under the lock, no other worker's pages come in between.
fn print(name: &str) {
    for page in 1..=2 {
        println!("{name} prints page {page}");
        sleep(Duration::from_millis(50));
    }
}
