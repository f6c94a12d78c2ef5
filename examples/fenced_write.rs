//! A writer that was suspended for longer than its lock was valid comes back and writes. The storage refuses it, because it has
//! seen a larger token.
//!
//! Without arguments the three servers are in this process; else give the addresses of yours.

mod common;

use common::Failed;
use multiredlock::{FencingToken, Redlock};
use rusqlite::{Connection, params};
use std::{env, time::Duration};
use tokio::time::sleep;

const TTL: Duration = Duration::from_millis(300);

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let servers: Vec<String> = env::args().skip(1).collect();
    let storage = Storage::open()?;
    let anna = common::connect(&servers, |builder| builder.id("anna").fenced()).await?;
    let berta = common::connect(&servers, |builder| builder.id("berta").fenced()).await?;

    let token = token(&anna).await?;
    println!("anna has the lock, with token {token}");
    let annas = (token, "what anna read long ago");
    println!("-- anna's process is suspended, for longer than her lock is valid");
    sleep(2 * TTL).await;

    let lock = berta.acquire("report", TTL).await?;
    let token = lock.token().ok_or("every lock of this client is fenced")?;
    println!("berta has the lock, with token {token}");
    println!("berta writes: {}", storage.write(token, "what berta knows")?);
    lock.release().await?;

    println!("-- anna's process goes on, right where it would write");
    println!("anna writes: {}", storage.write(annas.0, annas.1)?);

    println!("the report says: {}", storage.read()?);
    anna.close().await;
    berta.close().await;
    Ok(())
}

/// Locks the report for a while, and returns the token.
async fn token(redlock: &Redlock) -> Result<FencingToken, Failed> {
    let lock = redlock.lock("report", TTL).await?;
    Ok(lock.token().ok_or("every lock of this client is fenced")?)
}

/// A table whose rows know the token of whoever wrote them last.
struct Storage(Connection);

impl Storage {
    fn open() -> Result<Self, Failed> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(
            "CREATE TABLE documents (name TEXT PRIMARY KEY, text TEXT NOT NULL, token INTEGER NOT NULL);
             INSERT INTO documents VALUES ('report', '', 0);",
        )?;
        Ok(Self(connection))
    }

    /// Writes in one statement, so that nobody comes in between the comparison and the write. Each lock is for one write here;
    /// where an owner writes several times under one lock it is `token <= ?2`.
    fn write(&self, token: FencingToken, text: &str) -> Result<&'static str, Failed> {
        let token = i64::try_from(u64::from(token))?;
        let rows = self.0.execute(
            "UPDATE documents SET text = ?1, token = ?2 WHERE name = 'report' AND token < ?2",
            params![text, token],
        )?;
        Ok(if rows == 1 {
            "accepted"
        } else {
            "refused, a later owner has written"
        })
    }

    fn read(&self) -> Result<String, Failed> {
        let select = "SELECT text FROM documents WHERE name = 'report'";
        Ok(self.0.query_row(select, [], |row| row.get(0))?)
    }
}
