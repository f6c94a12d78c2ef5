//! What a process with the turn tells those behind it, so that they need not ask the servers.

use crate::{duration::millis, facts::HolderFact};
use multiredlock::{Guard, Holder};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The longest that is read.
const LONGEST: usize = 8_192;

/// Why one waits for a resource.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Notice {
    /// Who holds it, if a majority says so.
    pub(crate) holder: Option<HolderFact>,
    /// Why one waits, if nobody holds it.
    words: String,
    /// When that was so, as Unix time.
    at_ms: u64,
}

impl Notice {
    /// Of a resource that somebody holds.
    pub(crate) fn held(holder: &Holder) -> Self {
        Self::new(Some(holder.into()), "")
    }

    /// Of a resource that we hold ourselves.
    pub(crate) fn ours(guard: &Guard) -> Self {
        let holder = HolderFact::of_value(guard.lock().value(), guard.remaining());
        Self::new(Some(holder), "")
    }

    /// Of a resource that nobody holds, and that cannot be had yet.
    pub(crate) fn of(words: impl Into<String>) -> Self {
        Self::new(None, words)
    }

    fn new(holder: Option<HolderFact>, words: impl Into<String>) -> Self {
        let (words, at_ms) = (words.into(), now());
        Self { holder, words, at_ms }
    }

    /// In words, for a message.
    pub(crate) fn words(&self) -> String {
        self.holder.as_ref().map_or_else(|| self.words.clone(), HolderFact::words)
    }

    /// Reads what another process has written, as it is by now.
    pub(super) fn read(file: &File) -> Option<Self> {
        let mut text = vec![0; LONGEST];
        let length = file.read_at(&mut text, 0).ok()?;
        // What follows the line is left of a longer one.
        let line = text[..length].split(|byte| *byte == b'\n').next()?;
        let mut notice: Self = serde_json::from_slice(line).ok()?;
        let age = Duration::from_millis(now().saturating_sub(notice.at_ms));
        if let Some(holder) = notice.holder.take() {
            // One that is over by now is of a process that was killed.
            notice.holder = Some(holder.after(age)?);
        }
        Some(notice)
    }

    /// Writes it for the others. Whatever goes wrong, they wait without knowing why.
    pub(super) fn write(&self, file: &File) {
        let mut line = serde_json::to_string(self).expect("it has text for keys");
        line.push('\n');
        if line.len() <= LONGEST {
            let _ = file.write_all_at(line.as_bytes(), 0);
        }
    }
}

fn now() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
