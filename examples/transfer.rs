//! Transfers between accounts lock both accounts together. Whichever way the money goes, nobody waits for ever.
//!
//! Without arguments the three servers are in this process; else give the addresses of yours.

mod common;

use common::Failed;
use multiredlock::{LockError, Redlock, ReleaseError};
use std::{
    env,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::task::{JoinSet, yield_now};

const ACCOUNTS: usize = 4;
const TRANSFERS: usize = 60;
const AT_FIRST: i64 = 100;

/// Nothing here keeps two transfers apart: that is what the locks are for.
type Accounts = Arc<RwLock<[i64; ACCOUNTS]>>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let servers: Vec<String> = env::args().skip(1).collect();
    let redlock = common::connect(&servers, |builder| builder).await?;
    let accounts: Accounts = Arc::new(RwLock::new([AT_FIRST; ACCOUNTS]));

    let mut transfers = JoinSet::new();
    for i in 0..TRANSFERS {
        let (from, to) = (i % ACCOUNTS, (i * i + i + 1) % ACCOUNTS);
        if from != to {
            let amount = i64::try_from(i % 7)?;
            transfers.spawn(transfer(redlock.clone(), Arc::clone(&accounts), amount, from, to));
        }
    }
    let count = transfers.len();
    while let Some(result) = transfers.join_next().await {
        result??;
    }
    let balances = read(&accounts);
    println!("{count} transfers between {ACCOUNTS} accounts, which have {balances:?} now");
    assert_eq!(balances.iter().sum::<i64>(), AT_FIRST * 4, "money was lost or made up");
    println!("the sum is right");
    redlock.close().await;
    Ok(())
}

async fn transfer(
    redlock: Redlock,
    accounts: Accounts,
    amount: i64,
    from: usize,
    to: usize,
) -> Result<(), TransferError> {
    let both = [format!("account:{from}"), format!("account:{to}")];
    let guard = redlock.acquire(both, Duration::from_secs(10)).await?;
    let mut balances = read(&accounts);
    // Whoever came in between now would undo this transfer or be undone by it.
    yield_now().await;
    balances[from] -= amount;
    balances[to] += amount;
    write(&accounts, from, balances[from]);
    write(&accounts, to, balances[to]);
    guard.release().await?;
    Ok(())
}

fn read(accounts: &Accounts) -> [i64; ACCOUNTS] {
    *accounts.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(accounts: &Accounts, account: usize, balance: i64) {
    accounts.write().unwrap_or_else(PoisonError::into_inner)[account] = balance;
}

#[derive(Debug, thiserror::Error)]
enum TransferError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Release(#[from] ReleaseError),
}
