//! What the full-screen view shows.

use crate::{duration::show, facts, output::style};
use multiredlock::{
    event::Event,
    status::{DownReason, Quorum, ServerState, ServerStatus},
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, List, Row, Table},
};
use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

/// How many round trips a line shows.
const TRIPS: usize = 24;

/// How many events are kept: more than fit on any screen.
const EVENTS: usize = 200;

/// The levels of a round trip in a line of them.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

const GOOD: Style = Style::new().fg(Color::Green);
const WARN: Style = Style::new().fg(Color::Yellow);
const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);

/// The servers as they are, and what happened to them.
#[derive(Debug, Default)]
pub(super) struct View {
    servers: Vec<ServerStatus>,
    quorums: Vec<Quorum>,
    /// Of each server the last round trips; none while it was down.
    trips: Vec<VecDeque<Option<Duration>>>,
    /// The last first.
    events: VecDeque<(SystemTime, Event)>,
}

impl View {
    /// Notes how the servers are at one more moment.
    pub(super) fn look(&mut self, servers: Vec<ServerStatus>, quorums: Vec<Quorum>) {
        self.trips.resize_with(servers.len(), VecDeque::new);
        for (trips, server) in self.trips.iter_mut().zip(&servers) {
            trips.push_back(server.round_trip);
            while trips.len() > TRIPS {
                trips.pop_front();
            }
        }
        self.renew(servers, quorums);
    }

    /// Notes how the servers are now, which is no moment of its own.
    pub(super) fn renew(&mut self, servers: Vec<ServerStatus>, quorums: Vec<Quorum>) {
        self.servers = servers;
        self.quorums = quorums;
    }

    pub(super) fn note(&mut self, at: SystemTime, event: Event) {
        self.events.push_front((at, event));
        self.events.truncate(EVENTS);
    }

    pub(super) fn draw(&self, frame: &mut Frame<'_>) {
        let servers = u16::try_from(self.servers.len()).unwrap_or(u16::MAX);
        let groups = u16::try_from(self.quorums.len().max(1)).unwrap_or(u16::MAX);
        let [quorums, table, events, help] = Layout::vertical([
            Constraint::Length(groups),
            Constraint::Length(servers.saturating_add(3)),
            Constraint::Min(3),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let lines = self.quorums.iter().map(|quorum| self.quorum(quorum));
        frame.render_widget(List::new(lines), quorums);
        frame.render_widget(self.table(), table);
        let lines = self.events.iter().map(|(at, event)| transition(*at, event));
        frame.render_widget(List::new(lines).block(Block::bordered().title(" transitions ")), events);
        frame.render_widget(Line::styled("q quits", FAINT), help);
    }

    fn quorum(&self, quorum: &Quorum) -> Line<'static> {
        let (style, word) = if quorum.is_reached() {
            (GOOD, "connected")
        } else if self.is_connecting(quorum.group) {
            (FAINT, "connecting")
        } else {
            (BAD, "disconnected")
        };
        Line::from(vec![
            Span::raw(facts::of_group(quorum, self.quorums.len())),
            Span::styled(word, style),
            Span::raw(format!(": {quorum}")),
        ])
    }

    /// Whether a server of a group was not tried yet.
    fn is_connecting(&self, group: usize) -> bool {
        let not_yet = ServerState::Down(DownReason::NotYet);
        let mut of_group = self.servers.iter().filter(|server| server.group == group);
        of_group.any(|server| server.state == not_yet)
    }

    fn table(&self) -> Table<'_> {
        let rows = self.servers.iter().zip(&self.trips).map(|(server, trips)| {
            let (style, state) = match &server.state {
                ServerState::Down(reason) => (BAD, format!("down: {reason}")),
                _ => (GOOD, "up".into()),
            };
            Row::new([
                Span::raw(server.address.to_string()),
                Span::styled(state, style),
                Span::raw(show(whole_seconds(server.unchanged_for))),
                Span::raw(server.round_trip.map_or_else(|| "–".into(), show)),
                Span::raw(sparkline(trips)),
            ])
        });
        let addresses = self.servers.iter().map(|server| server.address.as_str().len());
        let address = addresses.max().unwrap_or(0);
        let widths = [
            Constraint::Length(u16::try_from(address).unwrap_or(u16::MAX)),
            Constraint::Min(20),
            Constraint::Length(9),
            Constraint::Length(10),
            Constraint::Length(u16::try_from(TRIPS).unwrap_or(u16::MAX)),
        ];
        Table::new(rows, widths)
            .header(Row::new(["server", "state", "for", "round trip", ""]).style(FAINT))
            .block(Block::bordered().title(" servers "))
    }
}

fn transition(at: SystemTime, event: &Event) -> Line<'static> {
    let (kind, words) = facts::event(event);
    let style = match kind {
        kind if kind == style::GOOD => GOOD,
        kind if kind == style::WARN => WARN,
        kind if kind == style::BAD => BAD,
        _ => FAINT,
    };
    Line::from(vec![
        Span::styled(format!("{} ", humantime::format_rfc3339_seconds(at)), FAINT),
        Span::styled(words, style),
    ])
}

fn whole_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

/// A line of bars, the longest round trip the highest; a gap while there was none.
fn sparkline(trips: &VecDeque<Option<Duration>>) -> String {
    let longest = trips.iter().flatten().max().copied().unwrap_or_default();
    let level = |trip: Duration| {
        let top = LEVELS.len() - 1;
        let level = top as u128 * trip.as_nanos() / longest.as_nanos().max(1);
        LEVELS[usize::try_from(level).unwrap_or(top).min(top)]
    };
    trips.iter().map(|trip| trip.map_or(' ', level)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use multiredlock::{Redlock, testing::MemoryServer};
    use ratatui::{Terminal, backend::TestBackend};
    use std::time::UNIX_EPOCH;

    #[test]
    fn the_longest_round_trip_is_the_highest_bar_and_a_gap_is_one() {
        let trips = |trips: &[Option<u64>]| trips.iter().map(|trip| trip.map(Duration::from_micros)).collect();
        assert_eq!(sparkline(&trips(&[])), "");
        assert_eq!(sparkline(&trips(&[Some(0)])), "▁");
        assert_eq!(sparkline(&trips(&[Some(70), None, Some(140), Some(10)])), "▄ █▁");
    }

    #[tokio::test(start_paused = true)]
    async fn a_majority_is_missing_only_once_each_server_was_tried() {
        let servers = ["early-a", "early-b"].map(MemoryServer::named);
        servers.iter().for_each(MemoryServer::crash);
        let redlock = Redlock::builder().servers(&servers).build().unwrap();
        let mut view = View::default();
        view.look(redlock.servers(), redlock.quorums());
        assert!(drawn(&view, 90, 14).contains("connecting: 0 of 2 servers can vote, 2 required"));
        tokio::time::sleep(Duration::from_millis(10)).await;
        view.look(redlock.servers(), redlock.quorums());
        assert!(drawn(&view, 90, 14).contains("disconnected: 0 of 2 servers can vote, 2 required"));
    }

    fn drawn(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn the_servers_the_quorum_and_what_happened_are_on_the_screen() {
        let servers = ["a", "b", "c"].map(MemoryServer::named);
        let redlock = Redlock::builder().servers(&servers).build().unwrap();
        redlock.wait_connected().await.unwrap();
        let mut view = View::default();
        let mut events = redlock.events();
        tokio::time::sleep(Duration::from_secs(2)).await;
        view.look(redlock.servers(), redlock.quorums());
        servers[1].crash();
        tokio::time::sleep(Duration::from_secs(3)).await;
        view.look(redlock.servers(), redlock.quorums());
        while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(1), events.recv()).await {
            view.note(UNIX_EPOCH, event);
        }
        let screen = drawn(&view, 90, 14);
        for words in [
            "connected: 2 of 3 servers can vote, 2 required",
            "memory://b",
            "down: connection refused",
            "1970-01-01T00:00:00Z memory://b is down: connection lost",
            "1970-01-01T00:00:00Z connected: ",
            "q quits",
        ] {
            assert!(screen.contains(words), "{words} in\n{screen}");
        }
        // Whatever the size, nothing panics.
        for (width, height) in [(1, 1), (10, 3), (300, 100)] {
            drawn(&view, width, height);
        }
        drawn(&View::default(), 80, 24);
    }
}
