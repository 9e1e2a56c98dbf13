//! A port that several threads listen on, each with a socket of its own: the kernel spreads
//! connections over them.

use std::{io, net::SocketAddr, num::NonZeroUsize};

use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait to be accepted, on each socket.
const BACKLOG: u32 = 1024;

/// The data port, listened on.
#[derive(Debug)]
pub struct DataPort {
    address: SocketAddr,
    listeners: Vec<std::net::TcpListener>,
}

impl DataPort {
    /// Listens on `address`, or on any free port of it for port 0, with a socket for each of
    /// `threads`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If somebody else listens there, or a socket cannot be had.
    pub async fn bind(address: SocketAddr, threads: NonZeroUsize) -> io::Result<Self> {
        // Sockets that share a port would share it with those of another process as well: this one
        // does not share, so it fails where somebody else listens. A port that the kernel chooses
        // is nobody's, and must not be let go again before it is held.
        if address.port() != 0 {
            drop(TcpListener::bind(address).await?);
        }
        let first = shared(address)?;
        let address = first.local_addr()?;
        let others = (1..threads.get()).map(|_| shared(address));
        let listeners = std::iter::once(Ok(first))
            .chain(others)
            .collect::<io::Result<_>>()?;
        Ok(Self { address, listeners })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn into_listeners(self) -> Vec<std::net::TcpListener> {
        self.listeners
    }
}

/// A socket that shares its port.
fn shared(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const THREADS: NonZeroUsize = NonZeroUsize::new(3).unwrap();

    #[tokio::test]
    async fn every_thread_has_a_socket_of_the_same_port() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let port = DataPort::bind(any, THREADS).await.unwrap();
        let address = port.address();
        assert_ne!(address.port(), 0);
        let listeners = port.into_listeners();
        assert_eq!(listeners.len(), 3);
        for listener in listeners {
            assert_eq!(listener.local_addr().unwrap(), address);
        }
    }

    #[tokio::test]
    async fn a_port_is_not_shared_with_anybody_else() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let port = DataPort::bind(any, THREADS).await.unwrap();
        let error = DataPort::bind(port.address(), THREADS).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
