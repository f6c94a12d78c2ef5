//! The full-screen view.

use super::{keyboard::Keyboard, transitions::Transitions, view::View};
use crate::{
    exit::{self, Failure},
    signals::interrupted,
    writer::Writer,
};
use multiredlock::Redlock;
use ratatui::{
    Terminal,
    backend::{Backend, CrosstermBackend},
    crossterm::{
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use std::{
    cell::RefCell,
    future::pending,
    io::{self, Write},
    mem, panic,
    pin::{Pin, pin},
    rc::Rc,
    time::{Duration, SystemTime},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

/// How often a round trip is noted: the servers answer a heartbeat a second.
const LOOK: Duration = Duration::from_secs(1);

/// Shows the servers until the user has seen enough, or the terminal is closed.
pub(super) async fn show(redlock: &Redlock) -> Result<u8, Failure> {
    let mut screen = Screen::open().map_err(|error| failure(&error))?;
    follow(redlock, &mut screen).await
}

async fn follow(redlock: &Redlock, screen: &mut Screen) -> Result<u8, Failure> {
    let mut view = View::default();
    let mut events = Transitions::of(redlock);
    let mut keyboard = Keyboard::read();
    let mut interrupted = pin!(interrupted());
    let mut sizes = signal(SignalKind::window_change()).map_err(|error| failure(&error))?;
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = looks.tick() => view.look(redlock.servers(), redlock.quorums()),
            event = events.next() => match event {
                Some(event) => {
                    view.note(SystemTime::now(), event);
                    view.renew(redlock.servers(), redlock.quorums());
                }
                None => return Ok(0),
            },
            // Another size is drawn.
            _ = sizes.recv() => {}
            drawn = screen.drawn() => drawn.map_err(|error| failure(&error))?,
            () = keyboard.ends() => return Ok(0),
            _ = &mut interrupted => return Ok(0),
        }
        #[cfg(debug_assertions)]
        assert!(
            std::env::var_os("MULTIREDLOCK_TEST_PANIC").is_none(),
            "as a test asked for"
        );
        screen.draw(&view).map_err(|error| failure(&error))?;
    }
}

fn failure(error: &io::Error) -> Failure {
    Failure::new(exit::IO, format!("the terminal: {error}"))
}

/// The terminal, whose lines another thread writes: it may take none, as after Ctrl-S.
///
/// Drop gives it back.
struct Screen {
    terminal: Terminal<CrosstermBackend<Bytes>>,
    bytes: Bytes,
    writer: Writer,
    /// The picture that is being written.
    picture: Option<Pin<Box<dyn Future<Output = io::Result<()>>>>>,
    /// Whether something has changed since.
    is_stale: bool,
}

impl Screen {
    fn open() -> io::Result<Self> {
        give_back_before_a_panic_is_told();
        enable_raw_mode()?;
        let mut bytes = Bytes::default();
        execute!(bytes, EnterAlternateScreen)?;
        Ok(Self {
            terminal: Terminal::new(CrosstermBackend::new(bytes.clone()))?,
            bytes,
            writer: Writer::start(|bytes| {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }),
            picture: None,
            is_stale: false,
        })
    }

    /// Draws, or has it drawn when the picture before has been written.
    fn draw(&mut self, view: &View) -> io::Result<()> {
        if self.picture.is_some() {
            self.is_stale = true;
            return Ok(());
        }
        self.is_stale = false;
        self.terminal.draw(|frame| view.draw(frame))?;
        self.picture = Some(Box::pin(self.writer.write(self.bytes.take())));
        Ok(())
    }

    /// Waits until a picture has been written that is no longer right. Dropping it loses nothing.
    async fn drawn(&mut self) -> io::Result<()> {
        if let Some(picture) = &mut self.picture {
            let written = picture.await;
            self.picture = None;
            written?;
            if self.is_stale {
                return Ok(());
            }
        }
        pending().await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // All this goes to memory, which does not fail.
        let _ = self.terminal.backend_mut().show_cursor();
        let _ = execute!(self.bytes, LeaveAlternateScreen);
        self.writer.try_write(self.bytes.take());
        self.writer.flush();
        // A terminal that was closed has no modes.
        let _ = disable_raw_mode();
    }
}

fn give_back_before_a_panic_is_told() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let _ = ratatui::try_restore();
        hook(info);
    }));
}

/// What will be written.
#[derive(Clone, Debug, Default)]
struct Bytes(Rc<RefCell<Vec<u8>>>);

impl Bytes {
    fn take(&self) -> Vec<u8> {
        mem::take(&mut self.0.borrow_mut())
    }
}

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
