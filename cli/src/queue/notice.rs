//! What a process with the turn tells those behind it, so that they need not ask the servers.

use crate::{duration::millis, facts::HolderFact};
use multiredlock::{Guard, status::Holder};
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
        let holder = HolderFact::of_value(guard.lock().value(), guard.validity());
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
        self.holder
            .as_ref()
            .map_or_else(|| self.words.clone(), HolderFact::words)
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

#[cfg(test)]
mod tests {
    use super::*;
    use test_support::Directory;

    /// Writes a text, and reads what that says.
    fn read(text: &str) -> Option<Notice> {
        let folder = Directory::create();
        let path = folder.file("notice");
        std::fs::write(&path, text).unwrap();
        Notice::read(&File::open(&path).unwrap())
    }

    fn held(at_ms: u64, remaining_ms: &str) -> String {
        format!(
            r#"{{"holder":{{"id":"web_3","since":"2026-01-02T03:04:05.006Z","remaining_ms":{remaining_ms}}},"words":"","at_ms":{at_ms}}}"#
        )
    }

    #[test]
    fn less_is_left_of_a_lock_that_was_told_of_some_time_ago() {
        let notice = read(&(held(now() - 10_000, "30000") + "\nrest of a longer line")).unwrap();
        let words = notice.words();
        let left = words.strip_prefix("held by web_3 since 03:04:05 UTC, ").expect(&words);
        let left: f64 = left.strip_suffix("s left").expect(&words).parse().unwrap();
        assert!(left > 10.0 && left <= 20.0, "{left}");
        let endless = read(&held(0, "null")).unwrap().words();
        assert_eq!(endless, "held by web_3 since 03:04:05 UTC, without a ttl");
    }

    #[test]
    fn what_is_over_or_cannot_be_read_tells_nothing() {
        let (over, broken) = (held(now() - 10_000, "9000"), &held(now(), "30000")[1..]);
        for text in ["", "{}", "null", "[\n", &over, broken] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
