//! Where a server lives: a port and a directory of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpSocket;

/// A loopback port that stays ours while the server on it is down.
///
/// The socket is bound and never listens. The kernel therefore gives the port to nobody who asks for a free one, while
/// a server that asks for it by number, with `SO_REUSEADDR` as Redis does, gets it.
#[derive(Debug)]
pub(crate) struct Port {
    address: SocketAddr,
    _reservation: TcpSocket,
}

impl Port {
    pub(crate) fn reserve() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket.set_reuseaddr(true).expect("a fresh socket takes an option");
        socket
            .bind((Ipv4Addr::LOCALHOST, 0).into())
            .expect("the loopback has a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        Self {
            address,
            _reservation: socket,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A directory that is removed with everything in it on drop.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn create() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("multiredlock-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // A process that had our id before us may have been killed before it could tidy up.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
