//! Many workers increment a number in a file. Without the lock they would overwrite each other's increments.
//!
//! Without arguments all workers are in this process, and so are the three servers. With the addresses of servers as
//! arguments it can run several times at once: the runs share the file and exclude each other.

mod common;

use common::Failed;
use multiredlock::{LockError, Redlock, Retry};
use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::task::JoinSet;

const WORKERS: usize = 8;
const INCREMENTS: usize = 25;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let servers: Vec<String> = env::args().skip(1).collect();
    let alone = servers.is_empty();
    let file = env::temp_dir().join("multiredlock-counter");
    if alone {
        fs::write(&file, "0")?;
    }
    let patient = Retry::new(10_000, Duration::from_millis(5));
    let redlock = common::connect(&servers, |builder| builder.retry(patient)).await?;

    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(work(redlock.clone(), file.clone()));
    }
    while let Some(result) = workers.join_next().await {
        result??;
    }
    println!(
        "{WORKERS} workers added {}, {} says {}",
        WORKERS * INCREMENTS,
        file.display(),
        read(&file)?
    );
    if alone {
        assert_eq!(read(&file)?, WORKERS * INCREMENTS, "an increment was lost");
        println!("the sum is right");
        fs::remove_file(&file)?;
    }
    redlock.close().await;
    Ok(())
}

async fn work(redlock: Redlock, file: PathBuf) -> Result<(), WorkError> {
    for _ in 0..INCREMENTS {
        let lock = redlock.lock("counter", Duration::from_secs(10)).await?;
        let number = read(&file)?;
        // Whoever came in between now would write the same number.
        tokio::task::yield_now().await;
        fs::write(&file, (number + 1).to_string())?;
        redlock.unlock(&lock);
    }
    Ok(())
}

fn read(file: &Path) -> io::Result<usize> {
    match fs::read_to_string(file) {
        Ok(text) => text.trim().parse().map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("the file could not be read or written")]
    File(#[from] io::Error),
}
