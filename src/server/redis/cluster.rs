//! A cluster behind one link: who its nodes are, and what becomes of a command that one of them sends elsewhere.
//!
//! fred would follow a redirection by itself. It would send a SET again without asking the pipeline, where its lock state may be
//! released by then, and after an ASK it takes the answer to another command for that to its own ASKING. So it is let follow
//! none. At a MOVED it still reads the slots anew, and gives the command up, which the pipeline then sends once more.
//!
//! A node that has met no other does not know its own address, and names an empty host for its slots, which fred cannot connect
//! to. It has all of them, so one connection to the address that was asked is enough.

use super::{
    Connector, Peer, failure::rejected, fred_server, inline::Replies, preflight, uninspected::Uninspected, wire,
    withheld::is_withheld,
};
use crate::{
    address::Node,
    decision::{DownReason, Refusal},
    server::{
        link::{Answer, Connected, Facts, Form},
        operation::Operation,
    },
    text::Text,
};
use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::{ClientInterface, ClusterInterface, EventInterface, Resp3Frame},
    types::{
        cluster::ClusterRouting,
        config::{ClusterDiscoveryPolicy, Server as FredServer, ServerConfig},
    },
};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::{
    sync::broadcast::{self, error::TryRecvError},
    task::AbortHandle,
};

/// How many slots a cluster has.
const SLOTS: u16 = 16_384;

impl Connector {
    /// Connects to all nodes of the cluster that have slots, of which this one tells.
    pub(super) async fn connect_to_cluster(&mut self, node: &Node) -> Result<Connected, DownReason> {
        let endpoint = node.endpoint();
        let check = preflight::check(&endpoint, self.speaks_tls, self.timeout);
        let reached = self.explained(&endpoint, check).await?;
        // fred needs the name for the certificates of nodes that do not tell their own.
        let reached = reached.filter(|_| !self.speaks_tls);
        self.config.server = ServerConfig::Clustered {
            hosts: vec![fred_server(&self.server, &node.host, node.port, reached)],
            policy: ClusterDiscoveryPolicy::ConfigEndpoint,
        };
        let (link, router) = match self.explained(&endpoint, Box::pin(self.open())).await {
            Ok(opened) => opened,
            Err(reason) => match self.connect_to_lone_node(node, reached, &reason).await {
                Some(connected) => return connected,
                None => return Err(of_another_node(reason)),
            },
        };
        self.connected(link, router).await
    }

    /// Connects to this node alone, if it does not know its own address and has met no other.
    async fn connect_to_lone_node(
        &mut self,
        node: &Node,
        reached: Option<SocketAddr>,
        failure: &DownReason,
    ) -> Option<Result<Connected, DownReason>> {
        if !matches!(failure, DownReason::Io(_) | DownReason::Tls(_)) {
            return None;
        }
        self.config.server = self.target(&node.endpoint(), reached);
        let (mut link, router) = self.open().await.ok()?;
        let slots = link.peers()[0].command("CLUSTER", vec!["SLOTS".into()]).await;
        let slots = slots.ok()?.ok()?;
        if !names_no_host(&slots) {
            return None;
        }
        if !is_whole(ranges(&slots)) {
            return Some(Err(slots_without_a_node()));
        }
        let cluster = Cluster::lone(link.client.clone(), router.handle(), Arc::clone(&self.uninspected));
        link.cluster = Some(Arc::new(cluster));
        Some(self.connected(link, router).await)
    }
}

fn items(frame: &Resp3Frame) -> &[Resp3Frame] {
    match frame {
        Resp3Frame::Array { data, .. } => data,
        _ => &[],
    }
}

/// Whether no node that has slots has an address.
fn names_no_host(slots: &Resp3Frame) -> bool {
    let ranges = items(slots);
    let is_nameless = |range: &Resp3Frame| {
        let node = items(range).get(2).map(items);
        node.and_then(<[_]>::first)
            .is_some_and(|host| wire::text(host).is_empty())
    };
    !ranges.is_empty() && ranges.iter().all(is_nameless)
}

/// The first and the last slot of each range.
fn ranges(slots: &Resp3Frame) -> Vec<(u16, u16)> {
    let slot = |frame: &Resp3Frame| match frame {
        Resp3Frame::Number { data, .. } => u16::try_from(*data).ok(),
        _ => None,
    };
    let range = |range: &Resp3Frame| match items(range) {
        [first, last, ..] => slot(first).zip(slot(last)),
        _ => None,
    };
    items(slots).iter().filter_map(range).collect()
}

/// Whether these ranges have every slot. A cluster may work without (`cluster-require-full-coverage no`), and would refuse some
/// locks for as long as that lasts. fred ends the connection at such a refusal, and cannot look for a slot before the first.
fn is_whole(mut ranges: Vec<(u16, u16)>) -> bool {
    ranges.sort_unstable();
    let next = ranges.into_iter().try_fold(0, |next, (first, last)| {
        (first <= next).then(|| next.max(last.saturating_add(1)))
    });
    next.is_some_and(|next| next >= SLOTS)
}

fn slots_without_a_node() -> DownReason {
    DownReason::Cluster(Text::new("slots without a node"))
}

/// This one answered a moment ago, so what could not be reached is another.
fn of_another_node(reason: DownReason) -> DownReason {
    match reason {
        DownReason::ConnectionRefused
        | DownReason::ConnectTimeout
        | DownReason::ConnectionLost
        | DownReason::Unresolved(_)
        | DownReason::Io(_) => DownReason::Cluster(Text::new(reason.to_string())),
        other => other,
    }
}

/// The nodes that have slots.
pub(super) struct Cluster {
    client: Client,
    router: AbortHandle,
    nodes: Vec<FredServer>,
    /// Who has which slot, as of the last redirection.
    slots: Mutex<ClusterRouting>,
    /// Tells of each connection that is made after these.
    made: Mutex<broadcast::Receiver<FredServer>>,
    /// Keeps those of them that were not inspected.
    uninspected: Arc<Uninspected>,
    /// Whether the connections were ended. fred notices that only when it waits for something.
    has_ended: AtomicBool,
}

impl Cluster {
    pub(super) fn new(client: Client, router: AbortHandle, uninspected: Arc<Uninspected>) -> Result<Self, DownReason> {
        let made = client.reconnect_rx();
        let slots = client.cached_cluster_state().unwrap_or_else(ClusterRouting::new);
        let nodes = slots.unique_primary_nodes();
        if nodes.is_empty() {
            return Err(DownReason::Cluster(Text::new("no node has slots")));
        }
        if !is_whole(ranges_of(&slots)) {
            return Err(slots_without_a_node());
        }
        Ok(Self {
            client,
            router,
            nodes,
            slots: Mutex::new(slots),
            made: Mutex::new(made),
            uninspected,
            has_ended: AtomicBool::new(false),
        })
    }

    /// One node that has all slots and does not know its address.
    fn lone(client: Client, router: AbortHandle, uninspected: Arc<Uninspected>) -> Self {
        Self {
            made: Mutex::new(client.reconnect_rx()),
            client,
            router,
            nodes: Vec::new(),
            slots: Mutex::new(ClusterRouting::new()),
            uninspected,
            has_ended: AtomicBool::new(false),
        }
    }

    /// Whether the connections were ended, so that nothing may be sent and no answer counts: it may be that of a node that was not
    /// inspected.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Ends all connections, and keeps those that fred made meanwhile. The next inspection has to end them at their nodes.
    fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.router.abort();
        let ids = self.client.connection_ids();
        for node in self.new_connections() {
            let id = ids.get(&node).copied();
            self.uninspected.add(node, id);
        }
    }

    /// Whether there is one connection, to the only node, which has no address.
    pub(super) fn is_lone(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Ends the connection to a lone node that is not alone any more: its answer names another node. That command did nothing.
    pub(super) fn has_ended_for(&self, answer: &Resp3Frame) -> bool {
        let names_another = |error: String| ["MOVED ", "ASK "].iter().any(|code| error.starts_with(code));
        let has_ended = self.is_lone() && wire::error(answer).is_some_and(names_another);
        if has_ended {
            self.end();
        }
        has_ended
    }

    pub(super) fn nodes(&self) -> &[FredServer] {
        &self.nodes
    }

    /// The slot that a command is for, and the node that has it. Where its keys have several slots the node refuses it.
    pub(super) fn place(&self, operations: &[Arc<Operation>]) -> Place {
        let key = operations
            .first()
            .and_then(|operation| operation.keys.as_slice().first());
        let slot = key.map_or(0, |key| fred::util::redis_keyslot(key));
        Place {
            slot,
            node: self.slots().get_server(slot).cloned(),
        }
    }

    /// Reads why fred gave a command up, and hands `then` what became of it.
    ///
    /// A command that was redirected did nothing. It is sent again if its slot has another node by now, and otherwise is
    /// refused: the slot is being moved, or the nodes do not agree yet. Any other error ends all connections: fred could go on
    /// over a new connection to a node that still has commands to carry out from the old one.
    pub(super) fn given_up(
        self: &Arc<Self>,
        error: &Error,
        place: Place,
        form: Form,
        replies: &Replies,
        then: impl FnOnce(Answer) + Send + 'static,
    ) {
        if self.has_ended() {
            return then(Answer::Lost);
        }
        if is_redirection(error) {
            return then(self.redirected(&place, form));
        }
        if !is_unread_redirection(error) {
            self.end();
            return then(Answer::Lost);
        }
        let (client, cluster) = (self.client.clone(), Arc::clone(self));
        let read = async move { client.sync_cluster().await };
        replies.when_ready(read, move |read| {
            if read.is_some_and(|read| read.is_ok()) && !cluster.has_ended() {
                return then(cluster.redirected(&place, form));
            }
            cluster.end();
            then(Answer::Lost);
        });
    }

    /// What becomes of a command that was redirected. The slots have been read anew since.
    fn redirected(&self, place: &Place, form: Form) -> Answer {
        let now = self.client.cached_cluster_state().unwrap_or_else(ClusterRouting::new);
        if now.unique_primary_nodes() != self.nodes || self.has_new_connection() || !is_whole(ranges_of(&now)) {
            // Each has to be looked at before it is used.
            self.end();
            return Answer::Rejected(Refusal::Moving);
        }
        let has_moved = now.get_server(place.slot) != place.node.as_ref();
        *self.slots() = now;
        if has_moved {
            Answer::Again(form)
        } else {
            Answer::Rejected(Refusal::Moving)
        }
    }

    fn has_new_connection(&self) -> bool {
        !self.made().is_empty()
    }

    /// The nodes to which there are new connections.
    fn new_connections(&self) -> Vec<FredServer> {
        let (mut made, mut nodes) = (self.made(), Vec::new());
        loop {
            match made.try_recv() {
                Ok(node) => nodes.push(node),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return nodes,
            }
        }
    }

    fn made(&self) -> MutexGuard<'_, broadcast::Receiver<FredServer>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots(&self) -> MutexGuard<'_, ClusterRouting> {
        // It is only ever replaced as a whole.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ranges_of(slots: &ClusterRouting) -> Vec<(u16, u16)> {
    slots.slots().iter().map(|range| (range.start, range.end)).collect()
}

/// Where a command goes.
pub(super) struct Place {
    pub(super) slot: u16,
    node: Option<FredServer>,
}

fn is_redirection(error: &Error) -> bool {
    *error.kind() == ErrorKind::Routing && error.details().contains("redirections")
}

/// Whether a command was redirected to an address that fred cannot read, and for which it does not read the slots anew: in a
/// redirection an IPv6 address stands without brackets.
fn is_unread_redirection(error: &Error) -> bool {
    *error.kind() == ErrorKind::Protocol && error.details().contains("cluster redirection")
}

/// Fails if the node says that the cluster does not work, and returns whether it lets us know.
pub(super) async fn may_be_checked(node: &Peer<'_>) -> Result<bool, DownReason> {
    let is_ok = |line: &str| line.trim_end() == "cluster_state:ok";
    match node.command("CLUSTER", vec!["INFO".into()]).await? {
        Ok(info) if wire::text(&info).lines().any(is_ok) => Ok(true),
        Ok(_) => Err(DownReason::Cluster(Text::new("cluster_state:fail"))),
        Err(error) if is_withheld(&error) => Ok(false),
        Err(error) => Err(rejected(&error)),
    }
}

/// What tells the cluster from others whichever node is asked, if the node lets us know.
pub(super) async fn id(node: &Peer<'_>) -> Result<Option<String>, DownReason> {
    match node.command("CLUSTER", vec!["NODES".into()]).await? {
        Ok(nodes) => Ok(smallest_id(&wire::text(&nodes))),
        Err(error) if is_withheld(&error) => Ok(None),
        Err(error) => Err(rejected(&error)),
    }
}

/// The smallest id of a node. One that is only being met does not have its own yet.
pub(super) fn smallest_id(nodes: &str) -> Option<String> {
    let ids = nodes.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (id, _address, flags) = (fields.next()?, fields.next()?, fields.next()?);
        (!flags.contains("handshake")).then_some(id)
    });
    ids.min().map(|id| id.chars().take(64).collect())
}

/// What all nodes together are.
pub(super) fn facts(nodes: &[Facts], id: Option<String>) -> Facts {
    let any = |is: fn(&Facts) -> bool| nodes.iter().any(is);
    Facts {
        is_hidden: id.is_none() || any(|node| node.is_hidden),
        run_id: id,
        starts: starts(nodes),
        uptime: nodes.iter().map(|node| node.uptime).min().unwrap_or_default(),
        version: nodes.iter().find_map(|node| node.version.clone()),
        is_replica: any(|node| node.is_replica),
        is_loading: any(|node| node.is_loading),
        eviction: nodes.iter().find_map(|node| node.eviction.clone()),
        // The soonest that any of them forgets.
        backlog_ttl: nodes
            .iter()
            .filter_map(|node| node.backlog_ttl)
            .filter(|ttl| !ttl.is_zero())
            .min(),
        tells_nothing: any(|node| node.tells_nothing),
        old_connection_lives: any(|node| node.old_connection_lives),
    }
}

fn starts(nodes: &[Facts]) -> Option<Vec<String>> {
    let starts = nodes.iter().map(|node| node.starts.clone());
    let mut starts = starts.collect::<Option<Vec<_>>>()?.concat();
    starts.sort_unstable();
    Some(starts)
}

#[cfg(test)]
mod tests;
