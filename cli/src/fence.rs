//! What a fenced lock leaves behind, for commands that lock only to try something.

use multiredlock::Lock;

/// What servers store of a lock's token, if it has one, as a lock whose unlock removes it. The library locks no such key.
pub(crate) fn of(lock: &Lock, key_prefix: &str) -> Option<Lock> {
    let token = lock.token()?;
    let resource = String::from_utf8_lossy(lock.resource());
    let key = format!("{resource}:fence:{{{key_prefix}{resource}}}");
    Some(Lock::from_parts(key, format!("token:{token}")))
}
