//! Where a server lives: a port and a directory of its own.

use std::fs;
use std::io;
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
    reservations: Vec<TcpSocket>,
}

impl Port {
    pub(crate) fn reserve() -> Self {
        let socket = bound(0).expect("the loopback has a free port");
        Self {
            address: socket.local_addr().expect("a bound socket has an address"),
            reservations: vec![socket],
        }
    }

    /// One that has the port above it where the nodes of a cluster talk to each other.
    pub(crate) fn reserve_for_a_node() -> Self {
        const TO_THE_BUS: u16 = 10_000;
        let mut unfit = Vec::new();
        for _ in 0..1_000 {
            let port = Self::reserve();
            let bus = port.address.port().checked_add(TO_THE_BUS).map(bound);
            if let Some(Ok(bus)) = bus {
                let mut port = port;
                port.reservations.push(bus);
                return port;
            }
            // Kept until there is one that fits, so that it is not given to us again.
            unfit.push(port);
        }
        panic!("the loopback has no two free ports");
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn bound(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok(socket)
}

/// A directory that is removed with everything in it on drop.
#[derive(Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// A new one in the directory for temporary files.
    pub fn create() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("multiredlock-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // A process that had our id before us may have been killed before it could tidy up.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
