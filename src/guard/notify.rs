//! What the service manager is told: that the guard is ready, that it goes on, what it does (sd_notify(3)).

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// The line to the service manager, if it is one who listens.
#[derive(Debug)]
pub(crate) struct Unit {
    socket: Option<UnixDatagram>,
    said: Instant,
}

impl Unit {
    /// The one that the environment names.
    pub(crate) fn of_environment() -> Self {
        Self {
            socket: std::env::var_os("NOTIFY_SOCKET").and_then(|name| connect(&name.to_string_lossy())),
            said: Instant::now(),
        }
    }

    /// Tells it something; that nobody listens is no error.
    pub(crate) fn tell(&mut self, state: &str) {
        self.said = Instant::now();
        if let Some(socket) = &self.socket {
            let _ = socket.send(state.as_bytes());
        }
    }

    /// Tells it that the guard goes on, if that was not told for a while.
    pub(crate) fn is_alive(&mut self, often: Duration) {
        if self.said.elapsed() >= often {
            self.tell("WATCHDOG=1");
        }
    }
}

fn connect(name: &str) -> Option<UnixDatagram> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name).ok()?,
        None => SocketAddr::from_pathname(name).ok()?,
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect_addr(&address).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}
