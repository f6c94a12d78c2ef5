//! What a server is asked before it votes: what it is, what it lacks, and that our previous connections to it are ended.

use super::{
    Connector, SOURCE, cluster,
    failure::{not_redis, rejected},
    info,
    link::{RedisLink, To},
    needed,
    peer::Peer,
    previous::Connection,
    wire::{self, Keys},
    withheld::is_withheld,
};
use crate::{decision::DownReason, server::link::Facts};
use fred::{interfaces::Resp3Frame, types::Value};
use std::sync::atomic::Ordering;

impl Connector {
    pub(super) async fn facts(&mut self, link: &RedisLink) -> Result<Facts, DownReason> {
        let (mut facts, mut connections) = (Vec::new(), Vec::new());
        let peers = link.peers();
        for peer in &peers {
            peer.send_ahead(self.questions(peer)).await;
        }
        for peer in &peers {
            let (of_one, id) = Box::pin(self.inspect(peer)).await?;
            let run_id = of_one.run_id.clone();
            connections.push(Connection { run_id, id });
            facts.push(of_one);
        }
        self.previous.add(connections);
        if link.cluster.is_none() {
            return Ok(facts.swap_remove(0));
        }
        let id = cluster::id(&link.peers()[0]).await?;
        Ok(cluster::facts(&facts, id))
    }

    /// What `inspect` is going to ask whatever the answers are.
    pub(super) fn questions(&self, peer: &Peer<'_>) -> Vec<(&'static str, Vec<Value>)> {
        let mut questions = vec![
            ("INFO", vec![]),
            ("CLIENT", vec!["ID".into()]),
            ("CLIENT", vec!["TRACKING".into(), "OFF".into()]),
            wire::command(&[], SOURCE, Keys::Watched),
        ];
        if self.has_restart_guard {
            questions.push(("CONFIG", vec!["GET".into(), "repl-backlog-ttl".into()]));
        }
        if peer.is_node() {
            questions.push(("CLUSTER", vec!["INFO".into()]));
        }
        questions
    }

    /// Returns also the id of the connection, if the user may know it.
    pub(super) async fn inspect(&mut self, peer: &Peer<'_>) -> Result<(Facts, Option<i64>), DownReason> {
        let mut info = String::new();
        let mut facts = match peer.command("INFO", vec![]).await? {
            Ok(frame) => {
                info = wire::text(&frame);
                info::parse(&info).ok_or_else(|| not_redis("INFO tells no version"))?
            }
            Err(error) if is_withheld(&error) => Facts {
                is_hidden: true,
                ..Facts::default()
            },
            Err(error) => return Err(rejected(&error)),
        };
        if self.has_restart_guard {
            let config = vec!["GET".into(), "repl-backlog-ttl".into()];
            facts.backlog_ttl = peer
                .command("CONFIG", config)
                .await?
                .ok()
                .and_then(|frame| wire::seconds(&frame));
            facts.uptime = facts.uptime.max(info::time_as_master(&info, facts.backlog_ttl));
        }
        let id = match peer.command("CLIENT", vec!["ID".into()]).await? {
            Ok(Resp3Frame::Number { data, .. }) => Some(data),
            _ => None,
        };
        // Which changes nothing.
        let untracked = peer.command("CLIENT", vec!["TRACKING".into(), "OFF".into()]).await?;
        facts.tells_nothing = untracked.is_err_and(|error| is_withheld(&error));
        if let To::Node(node) = &peer.to {
            let uninspected = self
                .uninspected
                .take(node, facts.run_id.as_deref(), info::uptime(&info));
            self.previous.add(uninspected);
        }
        facts.old_connection_lives = !self.end_previous(peer, facts.run_id.as_deref()).await?;
        if !facts.is_replica && !facts.is_loading {
            let (name, args) = wire::command(&[], SOURCE, Keys::Watched);
            let answer = peer.command(name, args).await?.map_err(|error| rejected(&error))?;
            if !wire::is_empty_answer(&answer) {
                return Err(not_redis("it does not run scripts"));
            }
            if needed::check(peer, &self.key_prefix).await? {
                peer.link.must_declare.store(true, Ordering::Relaxed);
            }
        }
        if peer.is_node() {
            facts.is_hidden |= !cluster::may_be_checked(peer).await?;
        }
        Ok((facts, id))
    }

    /// Makes the server drop our previous connections, with all that they were sent and that it has not carried out yet.
    ///
    /// A server that was stopped still finds in its socket what was written to it. A SET among that could run after the
    /// unlock that this connection is about to send. A process that was started since has none of them.
    pub(super) async fn end_previous(&mut self, peer: &Peer<'_>, run_id: Option<&str>) -> Result<bool, DownReason> {
        for id in self.previous.ids(run_id) {
            let kill = vec!["KILL".into(), "ID".into(), id.to_string().into()];
            if peer.command("CLIENT", kill).await?.is_err() {
                return Ok(false);
            }
            self.previous.ended(run_id, id);
        }
        Ok(!self.previous.has_unnamed(run_id))
    }
}
