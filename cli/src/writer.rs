//! A thread that writes to a standard stream, so that a reader that does not read holds up nothing else.

use nix::sys::signal::SigSet;
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};
use tokio::sync::oneshot;

/// How long a reader has for what was written last, before the program ends.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How many writes wait for a reader before [`Writer::try_write`] drops the next one.
const MOST: usize = 64;

/// What the thread is asked to do.
enum Order {
    Write(Vec<u8>, Option<oneshot::Sender<io::Result<()>>>),
    /// Says when all before it was written.
    Flush(Sender<()>),
}

/// The way to the thread.
#[derive(Debug)]
pub(crate) struct Writer {
    orders: Sender<Order>,
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    /// Starts the thread. It ends with this value, or is left behind where it waits for a reader.
    pub(crate) fn start(write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static) -> Self {
        let (orders, queue) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&waiting);
        // Without a thread the queue is gone, and each write fails.
        let _ = thread::Builder::new().spawn(move || carry_out(queue, &counter, write));
        Self { orders, waiting }
    }

    /// Writes, unless too much waits for a reader.
    pub(crate) fn try_write(&self, bytes: impl Into<Vec<u8>>) {
        if self.waiting.load(Ordering::Relaxed) < MOST {
            self.order(Order::Write(bytes.into(), None));
        }
    }

    /// Writes, and resolves once that is done. Dropping the future leaves the bytes in the queue.
    pub(crate) fn write(&self, bytes: Vec<u8>) -> impl Future<Output = io::Result<()>> + use<> {
        let (reply, written) = oneshot::channel();
        self.order(Order::Write(bytes, Some(reply)));
        let no_thread = |_| Err(io::Error::other("there is no thread to write"));
        async move { written.await.unwrap_or_else(no_thread) }
    }

    /// Waits for a moment until all is written.
    pub(crate) fn flush(&self) {
        let (reply, written) = channel();
        self.order(Order::Flush(reply));
        let _ = written.recv_timeout(LAST_WORDS);
    }

    fn order(&self, order: Order) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _ = self.orders.send(order);
    }
}

fn carry_out(queue: Receiver<Order>, waiting: &AtomicUsize, mut write: impl FnMut(&[u8]) -> io::Result<()>) {
    // A terminal may stop background processes that write to it; a blocked SIGTTOU prevents that. The main thread handles signals.
    let _ = SigSet::all().thread_block();
    for order in queue {
        match order {
            Order::Write(bytes, reply) => {
                let written = write(&bytes);
                if let Some(reply) = reply {
                    let _ = reply.send(written);
                }
            }
            Order::Flush(reply) => drop(reply.send(())),
        }
        waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn what_nobody_reads_is_dropped_and_holds_up_nothing() {
        let (read, block) = channel::<()>();
        let text = Arc::new(Mutex::new(Vec::new()));
        let writer = Writer::start({
            let text = Arc::clone(&text);
            move |bytes| {
                let _ = block.recv();
                text.lock().unwrap().extend_from_slice(bytes);
                Ok(())
            }
        });
        for _ in 0..10 * MOST {
            writer.try_write(*b"x");
        }
        writer.flush();
        assert_eq!(text.lock().unwrap().len(), 0);
        drop(read);
        writer.flush();
        assert_eq!(text.lock().unwrap().len(), MOST);
    }

    #[tokio::test]
    async fn a_write_that_fails_is_reported() {
        let writer = Writer::start(|bytes| match bytes {
            b"good" => Ok(()),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        });
        writer.write(b"good".to_vec()).await.unwrap();
        let error = writer.write(b"bad".to_vec()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
