//! What a renewal sends to all servers, and again to those that lost a key.

use super::{
    lease::{Failed, Lease},
    options::AttemptOptions,
    servers::Servers,
};
use crate::{
    clock::Moment,
    decision::Vote,
    fence::Fence,
    server::{Operation, Subject, Verb},
    token::FencingToken,
};
use std::sync::Arc;

impl Servers {
    /// Asks all servers to extend the TTL of our keys. If a majority still had them, it sets them again where they were missing.
    ///
    /// Only servers on which our value stood are counted. A server on which a key was missing may have granted the resource to
    /// another client in between.
    pub(crate) async fn renew(
        &self,
        subject: Subject,
        token: Option<FencingToken>,
        options: AttemptOptions,
    ) -> Result<Lease, Failed> {
        let AttemptOptions { ttl, fence_expiry, .. } = options;
        let lock_state = Arc::clone(&subject.lock_state);
        let (renewal, number, start) = {
            let _in_order = lock_state.order();
            let start = Moment::now();
            let counted = lock_state.begin(start, ttl.duration(), ttl.promised());
            let number = counted.number;
            let renewal = self.operation(Verb::Renew, subject, ttl.duration(), start, ttl.promised());
            let mut renewal = renewal.counted(counted);
            renewal.fence = token.zip(fence_expiry).map(|(token, expiry)| Fence {
                token: token.into(),
                expiry,
            });
            let renewal = Arc::new(renewal);
            self.submit(&[&renewal]);
            (renewal, number, start)
        };
        let lease = self.decide(&renewal, start, number, options).await?;
        lock_state.granted(number);
        self.re_set_missing(&renewal);
        Ok(lease)
    }

    /// Sets keys again on servers that lost them.
    fn re_set_missing(&self, renewal: &Operation) {
        for (pipeline, vote) in self.pipelines.iter().zip(renewal.votes_so_far()) {
            if vote == Vote::Missing {
                pipeline.submit(&[&Arc::new(renewal.re_set())]);
            }
        }
    }
}

#[cfg(test)]
mod tests;
