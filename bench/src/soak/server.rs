//! The servers of a soak.

use std::{
    fs,
    path::{Path, PathBuf},
};

use test_support::RedisServer;

use crate::Result;

/// A clock that gains 5 ms a second, 15 ms of a drift of 100 ms over the longest ttl.
const RATE: &str = "+0 x1.005";

/// Where libfaketime is, if it is installed.
pub fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten();
    let libraries = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let mut installed = libraries.filter(|library| library.exists());
    installed.next()
}

/// A server, and whether its clock is too fast.
pub fn start(keeps_memory: bool, faketime: Option<&Path>) -> Result<(RedisServer, bool)> {
    let builder = || {
        let builder = RedisServer::builder();
        if keeps_memory { builder.keep_memory() } else { builder }
    };
    if let Some(library) = faketime {
        // An allocator that reads the clock before libfaketime has found it calls it for ever. The C library's does not.
        let preload = format!("{} libc.so.6", library.display());
        let fast = builder().env("LD_PRELOAD", preload).env("FAKETIME", RATE).try_start();
        if let Ok(fast) = fast {
            return Ok((fast, true));
        }
    }
    // A server that does not start with libfaketime is started without.
    Ok((builder().try_start()?, false))
}

pub fn restart_if_down(server: &RedisServer) -> Result<()> {
    if server.is_running() {
        return Ok(());
    }
    Ok(server.try_restart()?)
}

/// The keys that are no fences.
pub fn locks(server: &RedisServer) -> Vec<String> {
    let mut keys = server.keys();
    keys.retain(|key| !key.contains(":fence:"));
    keys
}
