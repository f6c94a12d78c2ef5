//! The master that sentinels name. They are asked anew for each connection, so that a failover is found out.

use super::{Connector, link::RedisLink, password, preflight, wire};
use crate::{
    address::{Node, Sentinels},
    decision::DownReason,
    server::link::Connected,
    text::Text,
};
use fred::{interfaces::Resp3Frame, types::config::Config};

impl Connector {
    /// Connects to the master that this sentinel names.
    pub(super) async fn connect_to_master(
        &mut self,
        sentinels: &Sentinels,
        sentinel: &Node,
    ) -> Result<Connected, DownReason> {
        let master = self.ask(sentinels, sentinel).await;
        let master = master.map_err(|reason| DownReason::Sentinel(Text::new(format!("{sentinel}: {reason}"))))?;
        let connected = self.connect_to(&master.endpoint()).await?;
        if connected.facts.is_replica {
            // Another sentinel may know better: this one may have been cut off while the master was replaced.
            return Err(DownReason::Replica);
        }
        Ok(connected)
    }

    async fn ask(&self, sentinels: &Sentinels, sentinel: &Node) -> Result<Node, DownReason> {
        let endpoint = sentinel.endpoint();
        let check = preflight::check(&endpoint, self.speaks_tls, self.timeout);
        let reached = self.explained(&endpoint, check).await?;
        let config = Config {
            server: self.target(&endpoint, reached),
            username: sentinels.username.clone(),
            password: password(sentinels.username.as_ref(), sentinels.password.as_ref()),
            database: None,
            ..self.config.clone()
        };
        let open = async { self.open_once(&config).await.map_err(|failed| self.why(failed)) };
        let (client, mut router) = self.explained(&endpoint, Box::pin(open)).await?;
        let link = RedisLink::new(client, &router, None);
        link.introduce(&self.name);
        let question = vec!["GET-MASTER-ADDR-BY-NAME".into(), sentinels.service.as_str().into()];
        let answer = match link.peers()[0].command("SENTINEL", question).await {
            Err(DownReason::ConnectionLost) => return Err(router.ended_within(self.timeout).await),
            answer => answer?,
        };
        match answer {
            Ok(frame) => read(&frame).ok_or_else(|| {
                let problem = format!("it knows no service `{}`", sentinels.service);
                DownReason::Refused(Text::new(problem))
            }),
            Err(error) => Err(super::failure::rejected(&error)),
        }
    }
}

/// The master, if the sentinel knows one.
pub(super) fn read(answer: &Resp3Frame) -> Option<Node> {
    match answer {
        Resp3Frame::Array { data, .. } => match &data[..] {
            [host, port] => Node::new(wire::text(host), wire::text(port).parse().ok()?),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fred::bytes::Bytes;

    fn list(items: &[&str]) -> Resp3Frame {
        let blob = |text: &&str| Resp3Frame::BlobString {
            data: Bytes::copy_from_slice(text.as_bytes()),
            attributes: None,
        };
        Resp3Frame::Array {
            data: items.iter().map(blob).collect(),
            attributes: None,
        }
    }

    #[test]
    fn a_master_is_read() {
        let read = |items: &[&str]| read(&list(items)).map(|node| node.to_string());
        assert_eq!(read(&["10.0.0.1", "6379"]).as_deref(), Some("10.0.0.1:6379"));
        assert_eq!(read(&["::1", "6379"]).as_deref(), Some("[::1]:6379"));
    }

    #[test]
    fn what_is_no_master_is_none() {
        for items in [
            &["a"][..],
            &["a", "0"],
            &["a", "x"],
            &["", "1"],
            &["u:p@h", "1"],
            &["a", "1", "2"],
            &[],
        ] {
            assert_eq!(read(&list(items)), None, "{items:?}");
        }
        assert_eq!(read(&Resp3Frame::Null), None);
    }
}
