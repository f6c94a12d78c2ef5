//! Locks and servers as data, of which no secret of a server is written.

use crate::{
    Address, FencingToken, Lock, Server,
    resource::{InvalidResource, Resources},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::sync::Arc;

/// A lock as a map. Its validity is a time of this process, so that it is not part of it.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Lock", deny_unknown_fields)]
struct Parts {
    resources: Vec<Part>,
    value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<FencingToken>,
}

/// A name: text if it is UTF-8, and a list of bytes otherwise.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Part {
    Text(String),
    Bytes(Vec<u8>),
}

impl Part {
    fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl Serialize for Lock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let part = |name: &Arc<[u8]>| match std::str::from_utf8(name) {
            Ok(text) => Part::Text(text.into()),
            Err(_) => Part::Bytes(name.to_vec()),
        };
        let parts = Parts {
            resources: self.shared_resources().as_slice().iter().map(part).collect(),
            value: self.value().into(),
            token: self.token(),
        };
        parts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Lock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Parts {
            resources,
            value,
            token,
        } = Parts::deserialize(deserializer)?;
        let resources: Resources = resources.into_iter().map(Part::into_bytes).collect();
        let mut lock = Self::from_parts(resources, value);
        if let Some(token) = token {
            lock = lock.with_token(token);
        }
        let checked: Result<(), InvalidResource> = Resources::check(lock.shared_resources(), 0);
        checked.map_err(de::Error::custom)?;
        Ok(lock)
    }
}

impl Serialize for Server {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.without_secrets())
    }
}

impl<'de> Deserialize<'de> for Server {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let address = String::deserialize(deserializer)?;
        Self::parse(&address).map_err(de::Error::custom)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A number.
impl Serialize for FencingToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        u64::from(*self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FencingToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self::from)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let address = String::deserialize(deserializer)?;
        address.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_lock_is_handed_over_by_its_resources_and_its_value() {
        for (lock, data) in [
            (Lock::from_parts("r", "v"), json!({"resources": ["r"], "value": "v"})),
            (
                Lock::from_parts(["b", "a"], "v"),
                json!({"resources": ["a", "b"], "value": "v"}),
            ),
            (
                Lock::from_parts("r", "v").with_token(7.into()),
                json!({"resources": ["r"], "value": "v", "token": 7}),
            ),
            (
                Lock::from_parts(b"\xff\0", "v"),
                json!({"resources": [[255, 0]], "value": "v"}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&lock).unwrap(), data);
            let read: Lock = serde_json::from_value(data).unwrap();
            assert_eq!(read.shared_resources(), lock.shared_resources());
            assert_eq!(read.value(), lock.value());
            assert_eq!(read.token(), lock.token());
            assert!(!read.is_valid(), "nothing is known of it until it is renewed");
        }
    }

    #[test]
    fn what_is_no_lock_is_not_read() {
        for (data, problem) in [
            (json!({"resources": [], "value": "v"}), "no resource is named"),
            (json!({"resources": [""], "value": "v"}), "the resource is empty"),
            (json!({"resources": ["r"]}), "missing field `value`"),
            (json!({"resources": ["r"], "value": "v", "x": 1}), "unknown field `x`"),
            (json!({"resources": ["r"], "value": "v", "token": "7"}), "expected u64"),
        ] {
            let error = serde_json::from_value::<Lock>(data).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn a_server_is_written_as_it_is_read() {
        for address in [
            "redis://h:6379",
            "redis://us%20er@h:1/3",
            "redis://[::1]:6379",
            "redis+unix:///run/redis.sock",
            "redis+unix:///run/redis.sock?untrusted=true",
            "redis://user@h:1/3?untrusted=true",
            "redis-sentinel://a:26379?sentinelServiceName=s&untrusted=true",
            "memory://a",
            "redis-cluster://user@a:7000?node=b:7001&node=c:7000",
            "redis-sentinel://user@a:26379/2?sentinelServiceName=my%20master&node=b:26379&sentinelUsername=watch",
            #[cfg(feature = "tls")]
            "rediss://h:6379",
            #[cfg(feature = "tls")]
            "rediss-cluster://h:6379",
        ] {
            let server: Server = serde_json::from_value(json!(address)).unwrap();
            assert_eq!(serde_json::to_value(&server).unwrap(), json!(address));
            let shown = serde_json::to_value(server.address()).unwrap();
            assert_eq!(serde_json::from_value::<Address>(shown).unwrap(), server.address());
        }
    }

    #[test]
    fn a_password_is_never_written() {
        for address in [
            "redis://:hunter2@h",
            "valkey://user:hunter2@h/1",
            "redis-cluster://user:hunter2@a?node=b",
            "redis-sentinel://:hunter2@a?sentinelServiceName=m&sentinelUsername=u&sentinelPassword=hunter2",
            #[cfg(feature = "tls")]
            "rediss://user:hunter2@h",
        ] {
            let server: Server = serde_json::from_value(json!(address)).unwrap();
            let written = serde_json::to_string(&(&server, server.address())).unwrap();
            assert!(!written.contains("hunter2"), "{written}");
        }
        let server = Server::unix("/s").username("user").password("hunter2");
        assert_eq!(serde_json::to_value(&server).unwrap(), json!("redis+unix:///s"));
    }

    #[test]
    fn a_wrong_address_is_named_without_its_password() {
        let error = serde_json::from_str::<Server>(r#""redis://u:hunter2@h:0""#).unwrap_err();
        assert!(error.to_string().contains("port 0"), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
