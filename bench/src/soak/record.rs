//! What a client says, a line each. All times are nanoseconds of the clock that the processes share.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A lock was granted that was asked for then.
    Granted {
        id: String,
        resources: Vec<String>,
        asked: u64,
        granted: u64,
        token: u64,
    },
    /// It was found valid for the last time.
    Held { id: String, until: u64 },
    /// A waiter that was to wait no longer than this was served or told.
    Waited {
        asked: u64,
        within: u64,
        told: u64,
        served: bool,
    },
    /// The client itself saw what must not be.
    Wrong(String),
    /// The process is done: how many tasks are left of its clients, and its memory in KiB, in the middle and at the end.
    Ended { tasks: usize, quarter: u64, end: u64 },
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted {
                id,
                resources,
                asked,
                granted,
                token,
            } => write!(f, "granted {id} {} {asked} {granted} {token}", resources.join(",")),
            Self::Held { id, until } => write!(f, "held {id} {until}"),
            Self::Waited {
                asked,
                within,
                told,
                served,
            } => write!(f, "waited {asked} {within} {told} {served}"),
            Self::Wrong(what) => write!(f, "wrong {what}"),
            Self::Ended { tasks, quarter, end } => write!(f, "ended {tasks} {quarter} {end}"),
        }
    }
}

impl Record {
    pub fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ')?;
        let mut words = rest.split(' ');
        let mut text = || words.next().map(str::to_owned);
        let record = match word {
            "granted" => Self::Granted {
                id: text()?,
                resources: text()?.split(',').map(str::to_owned).collect(),
                asked: text()?.parse().ok()?,
                granted: text()?.parse().ok()?,
                token: text()?.parse().ok()?,
            },
            "held" => Self::Held {
                id: text()?,
                until: text()?.parse().ok()?,
            },
            "waited" => Self::Waited {
                asked: text()?.parse().ok()?,
                within: text()?.parse().ok()?,
                told: text()?.parse().ok()?,
                served: text()?.parse().ok()?,
            },
            "wrong" => return Some(Self::Wrong(rest.to_owned())),
            "ended" => Self::Ended {
                tasks: text()?.parse().ok()?,
                quarter: text()?.parse().ok()?,
                end: text()?.parse().ok()?,
            },
            _ => return None,
        };
        text().is_none().then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for record in [
            Record::Granted {
                id: "3:7".into(),
                resources: vec!["a".into(), "b".into()],
                asked: 1,
                granted: 2,
                token: 3,
            },
            Record::Held {
                id: "3:7".into(),
                until: 9,
            },
            Record::Waited {
                asked: 1,
                within: 2,
                told: 3,
                served: true,
            },
            Record::Wrong("it is connected twice".into()),
            Record::Ended {
                tasks: 0,
                quarter: 1,
                end: 2,
            },
        ] {
            assert_eq!(Record::parse(&record.to_string()), Some(record));
        }
        for nonsense in ["", "granted", "granted a b c d e", "held a 1 2", "panic at"] {
            assert_eq!(Record::parse(nonsense), None, "{nonsense}");
        }
    }
}
