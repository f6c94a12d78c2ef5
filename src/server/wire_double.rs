//! The double of a connection for unit tests.

use super::link::{Command, Link, Task};
use crate::decision::DownReason;
use std::{collections::VecDeque, sync::Mutex};

/// A connection that keeps what it is sent until the test answers.
#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) commands: Mutex<VecDeque<Command>>,
    pub(crate) takes_one_by_one: bool,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl Link for Wire {
    fn send(&self, command: Command) {
        self.commands.lock().unwrap().push_back(command);
    }

    fn takes_one_by_one(&self) -> bool {
        self.takes_one_by_one
    }

    fn track(&self, _: Box<dyn FnOnce(bool) + Send>) -> bool {
        false
    }

    fn ping(&self, _: bool) -> Task<Result<Vec<u64>, DownReason>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn end(&self) {}
}

impl Wire {
    pub(crate) fn next(&self) -> Command {
        self.commands
            .lock()
            .unwrap()
            .pop_front()
            .expect("a command is under way")
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.commands.lock().unwrap().is_empty()
    }
}
