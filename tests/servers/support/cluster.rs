//! A cluster of real servers, put together without the help of a program.

use std::collections::HashSet;
use std::ops::Deref;

use multiredlock::Lock;

#[cfg(feature = "tls")]
use test_support::{Certificates, ClientCertificate};
use test_support::{RedisServer, RedisServerBuilder, Reply, block_until};

const SLOTS: u16 = 16384;

/// Masters without replicas that share the slots among each other.
#[derive(Debug)]
pub(crate) struct RedisCluster(Vec<RedisServer>);

impl RedisCluster {
    pub(crate) fn start(count: u16) -> Self {
        Self::start_with(count, |node| node)
    }

    /// Nodes with settings of their own.
    pub(crate) fn start_with(count: u16, settings: impl Fn(RedisServerBuilder) -> RedisServerBuilder) -> Self {
        let node = |_| settings(RedisServerBuilder::node_of_a_cluster()).start();
        Self::of((0..count).map(node).collect())
    }

    /// Nodes with encrypted connections, or none if the program was built without TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn start_if_built_with_tls(
        count: u16,
        certificates: &Certificates,
        settings: impl Fn(RedisServerBuilder) -> RedisServerBuilder,
    ) -> Option<Self> {
        let node = |_| {
            settings(RedisServerBuilder::node_of_a_cluster())
                .tls(certificates, ClientCertificate::Ignored)
                .line("tls-cluster yes")
                .start_if_built_with_tls()
        };
        (0..count).map(node).collect::<Option<_>>().map(Self::of)
    }

    fn of(nodes: Vec<RedisServer>) -> Self {
        let count = u16::try_from(nodes.len()).expect("a few nodes");
        let cluster = Self(nodes);
        for (slots, node) in (0..count).map(|number| share(number, count)).zip(cluster.iter()) {
            let slots: Vec<String> = slots.map(|slot| slot.to_string()).collect();
            let words: Vec<&str> = ["CLUSTER", "ADDSLOTS"]
                .into_iter()
                .chain(slots.iter().map(String::as_str))
                .collect();
            ok(&node.command(&words));
        }
        for node in &cluster[1..] {
            cluster.meet(node);
        }
        cluster.block_until_whole();
        cluster
    }

    /// Nodes that tell of each other by an IPv6 address, or none if this machine has no such addresses.
    pub(crate) fn start_if_there_is_ipv6(count: u16) -> Option<Self> {
        std::net::TcpListener::bind("[::1]:0").ok()?;
        let node = |node: RedisServerBuilder| node.line("bind 127.0.0.1 ::1").line("cluster-announce-ip ::1");
        Some(Self::start_with(count, node))
    }

    /// A node that belongs to nobody.
    pub(crate) fn without_slots() -> RedisServer {
        RedisServerBuilder::node_of_a_cluster().start()
    }

    /// One more node, which has no slots yet.
    pub(crate) fn join(&mut self) {
        let node = RedisServerBuilder::node_of_a_cluster().start();
        self.meet(&node);
        self.0.push(node);
        self.block_until_whole();
    }

    /// One more node, which follows another.
    pub(crate) fn join_as_replica_of(&mut self, master: usize) {
        self.join();
        let replica = self.last().expect("it has just joined");
        ok(&replica.command(&["CLUSTER", "REPLICATE", &node_id(&self[master])]));
        block_until("the replica has caught up", || {
            let role = replica.command(&["INFO", "replication"]).text();
            role.contains("master_link_status:up")
        });
    }

    fn meet(&self, node: &RedisServer) {
        let port = node.address().port().to_string();
        ok(&self[0].command(&["CLUSTER", "MEET", "127.0.0.1", &port]));
    }

    /// Waits until each node knows all others, and that every slot has one.
    pub(crate) fn block_until_whole(&self) {
        block_until("the cluster is whole", || {
            self.iter().all(|node| {
                cluster_info(node, "cluster_state") == "ok"
                    && cluster_info(node, "cluster_known_nodes") == self.len().to_string()
                    && cluster_info(node, "cluster_slots_ok") == SLOTS.to_string()
                    && !is_being_met(node)
            })
        });
    }

    /// The address, with every node in it.
    pub(crate) fn url(&self) -> String {
        let others = self[1..].iter().map(|node| format!("&node={}", node.address()));
        let others = others.collect::<String>().replacen('&', "?", 1);
        format!("redis-cluster://{}{others}", self[0].address())
    }

    /// The keys of all nodes.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.iter().flat_map(RedisServer::keys).collect()
    }

    /// Whether a node has this lock's value, for the first of its resources.
    pub(crate) fn holds(&self, lock: &Lock) -> bool {
        let resource = std::str::from_utf8(lock.resource()).expect("the tests name resources in text");
        let value = Reply::Text(lock.value().to_owned());
        self.iter().any(|node| node.command(&["GET", resource]) == value)
    }

    pub(crate) fn slot(&self, key: &str) -> u16 {
        let slot = self[0].command(&["CLUSTER", "KEYSLOT", key]).integer();
        slot.try_into().expect("there are some thousand slots")
    }

    /// The number of the node that has a key's slot, as the cluster was put together.
    pub(crate) fn node_of(&self, key: &str) -> usize {
        let (slot, count) = (self.slot(key), u16::try_from(self.len()).expect("a few nodes"));
        let has_it = |number: &u16| share(*number, count).contains(&slot);
        (0..count).find(has_it).expect("each slot has a node").into()
    }

    /// A resource whose slot a node has, as the cluster was put together.
    pub(crate) fn resource_at(&self, node: usize) -> String {
        let mut names = (0..).map(|number| format!("resource {number}"));
        names.find(|name| self.node_of(name) == node).expect("there are enough")
    }

    /// Moves a slot with its keys from one node to another, and says so to all nodes.
    pub(crate) fn move_slot(&self, slot: u16, from: usize, to: usize) {
        self.begin_to_move_slot(slot, from, to);
        self.finish_to_move_slot(slot, to);
    }

    /// Moves the keys of a slot, and leaves the slot on its way.
    pub(crate) fn begin_to_move_slot(&self, slot: u16, from: usize, to: usize) {
        let (slot, source, target) = (slot.to_string(), &self[from], &self[to]);
        ok(&target.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &node_id(source)]));
        ok(&source.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &node_id(target)]));
        let port = target.address().port().to_string();
        for key in source.command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).texts() {
            let moved = source.command(&["MIGRATE", "127.0.0.1", &port, &key, "0", "5000"]);
            let is_done = matches!(&moved, Reply::Text(text) if ["OK", "NOKEY"].contains(&&**text));
            assert!(is_done, "{moved:?}");
        }
    }

    pub(crate) fn finish_to_move_slot(&self, slot: u16, to: usize) {
        let (slot, target) = (slot.to_string(), node_id(&self[to]));
        // The target has to know first, so that no key is asked for where nobody answers for it.
        for node in [&self[to]].into_iter().chain(self.iter()) {
            ok(&node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &target]));
        }
        // Until the nodes agree on the time of this move, the next one may count as older and be taken back.
        block_until("the nodes agree", || {
            let epochs = self.iter().map(|node| cluster_info(node, "cluster_current_epoch"));
            epochs.collect::<HashSet<_>>().len() == 1
        });
    }
}

impl Deref for RedisCluster {
    type Target = [RedisServer];

    fn deref(&self) -> &[RedisServer] {
        &self.0
    }
}

fn node_id(node: &RedisServer) -> String {
    node.command(&["CLUSTER", "MYID"]).text()
}

fn cluster_info(node: &RedisServer, field: &str) -> String {
    let info = node.command(&["CLUSTER", "INFO"]).text();
    let mut fields = info.lines().filter_map(|line| line.trim_end().split_once(':'));
    let found = fields.find(|(name, _)| *name == field);
    found.map(|(_, value)| value.to_owned()).unwrap_or_default()
}

fn is_being_met(node: &RedisServer) -> bool {
    node.command(&["CLUSTER", "NODES"]).text().contains("handshake")
}

/// The slots of one node among several.
fn share(number: u16, count: u16) -> std::ops::Range<u16> {
    let start = |number: u16| u16::try_from(u32::from(SLOTS) * u32::from(number) / u32::from(count)).expect("a slot");
    start(number)..start(number + 1)
}

fn ok(reply: &Reply) {
    assert_eq!(*reply, Reply::Text("OK".to_owned()));
}
