//! The full-screen view.

use super::{transitions::Transitions, view::View};
use crate::{
    exit::{self, Failure},
    signals::interrupted,
};
use multiredlock::Redlock;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event as Input, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{MissedTickBehavior, interval},
};

/// How often a round trip is noted: the servers answer a heartbeat a second.
const LOOK: Duration = Duration::from_secs(1);

/// How soon a key is noticed at the latest that ends it.
const READ: Duration = Duration::from_millis(50);

/// Shows the servers until the user has seen enough.
pub(super) async fn show(redlock: &Redlock) -> Result<u8, Failure> {
    // It also makes a panic give the terminal back before it is told.
    let mut terminal = ratatui::try_init().map_err(|error| Failure::new(exit::IO, format!("the terminal: {error}")))?;
    let outcome = follow(redlock, &mut terminal).await;
    ratatui::restore();
    outcome
}

async fn follow(redlock: &Redlock, terminal: &mut DefaultTerminal) -> Result<u8, Failure> {
    let mut view = View::default();
    let mut events = Transitions::of(redlock);
    let mut keyboard = Keyboard::read();
    let mut interrupted = pin!(interrupted());
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
            input = keyboard.inputs.recv() => match input {
                Some(Input::Key(key)) if ends(key) => return Ok(0),
                // Anything else, such as another size, is drawn.
                Some(_) => {}
                None => return Ok(0),
            },
            _ = &mut interrupted => return Ok(0),
        }
        #[cfg(debug_assertions)]
        assert!(
            std::env::var_os("MULTIREDLOCK_TEST_PANIC").is_none(),
            "as a test asked for"
        );
        terminal
            .draw(|frame| view.draw(frame))
            .map_err(|error| Failure::new(exit::IO, format!("the terminal: {error}")))?;
    }
}

/// In raw mode Ctrl-C is a key like any other.
fn ends(key: KeyEvent) -> bool {
    key.kind != KeyEventKind::Release
        && match key.code {
            KeyCode::Char('q') | KeyCode::Esc => true,
            KeyCode::Char('c') => key.modifiers.contains(KeyModifiers::CONTROL),
            _ => false,
        }
}

/// A thread that waits for keys, since that blocks.
struct Keyboard {
    inputs: UnboundedReceiver<Input>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keyboard {
    fn read() -> Self {
        let (sender, inputs) = unbounded_channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    let input = match event::poll(READ) {
                        Ok(false) => continue,
                        Ok(true) => event::read(),
                        Err(error) => Err(error),
                    };
                    // Without a terminal there is nobody to show anything to.
                    if input.is_ok_and(|input| sender.send(input).is_ok()) {
                        continue;
                    }
                    return;
                }
            }
        });
        Self {
            inputs,
            is_over,
            thread: Some(thread),
        }
    }
}

impl Drop for Keyboard {
    /// Waits for the thread, which would take keys away from whoever reads next.
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
