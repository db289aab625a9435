//! Conferences of one account: they begin when two are there of whom one may begin it, and end when somebody leaves who
//! ends them (<https://www.twilio.com/docs/voice/twiml/conference>).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// How far a conference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RoomState {
    /// Those who are there hear music.
    Waiting,
    /// Those who are there hear each other.
    Talking,
    /// Everybody is put out.
    Ended,
}

/// A conference that took place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meeting {
    /// The conference's name.
    pub room: String,
    /// The calls that were in it, in the order they came.
    pub calls: Vec<String>,
}

/// How somebody enters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) starts: bool,
    pub(crate) ends: bool,
}

#[derive(Debug)]
struct Room {
    present: Vec<(String, Entry)>,
    state: watch::Sender<RoomState>,
}

#[derive(Debug, Default)]
struct Books {
    rooms: HashMap<String, Room>,
    meetings: Vec<Meeting>,
}

/// The conferences of a line and its clones.
#[derive(Debug, Clone, Default)]
pub struct Rooms(Arc<Mutex<Books>>);

impl Rooms {
    /// The conferences in which people talked, in the order they began.
    #[must_use]
    pub fn meetings(&self) -> Vec<Meeting> {
        self.lock().meetings.clone()
    }

    /// The calls in a conference that has not begun.
    #[must_use]
    pub fn waiting(&self) -> Vec<String> {
        let books = self.lock();
        let waiting = books.rooms.values();
        let waiting = waiting.filter(|room| *room.state.borrow() == RoomState::Waiting);
        let calls = waiting.flat_map(|room| room.present.iter().map(|(call, _)| call.clone()));
        calls.collect()
    }

    pub(crate) fn enter(&self, name: &str, call: &str, entry: Entry) -> Seat {
        let mut books = self.lock();
        let room = books.rooms.entry(name.to_owned()).or_insert_with(|| Room {
            present: Vec::new(),
            state: watch::Sender::new(RoomState::Waiting),
        });
        room.present.push((call.to_owned(), entry));
        let state = room.state.subscribe();
        let may_begin = room.present.iter().any(|(_, entry)| entry.starts);
        let begins = room.present.len() >= 2 && may_begin;
        let calls: Vec<String> = room.present.iter().map(|(call, _)| call.clone()).collect();
        if begins && room.state.send_replace(RoomState::Talking) == RoomState::Waiting {
            let room = name.to_owned();
            books.meetings.push(Meeting { room, calls });
        }
        Seat {
            rooms: self.clone(),
            name: name.to_owned(),
            call: call.to_owned(),
            state,
        }
    }

    fn leave(&self, name: &str, call: &str) {
        let mut books = self.lock();
        let Some(room) = books.rooms.get_mut(name) else {
            return;
        };
        let Some(place) = room.present.iter().position(|(there, _)| there == call) else {
            return;
        };
        let (_, entry) = room.present.remove(place);
        if entry.ends || room.present.is_empty() {
            room.state.send_replace(RoomState::Ended);
            books.rooms.remove(name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a conference; dropped, it is left.
#[derive(Debug)]
pub(crate) struct Seat {
    rooms: Rooms,
    name: String,
    call: String,
    state: watch::Receiver<RoomState>,
}

impl Seat {
    pub(crate) fn state(&self) -> RoomState {
        *self.state.borrow()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.rooms.leave(&self.name, &self.call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Entry = Entry {
        starts: true,
        ends: true,
    };

    #[test]
    fn a_conference_begins_with_the_second_and_ends_with_the_first_who_leaves() {
        let rooms = Rooms::default();
        let one = rooms.enter("a", "CA1", BOTH);
        assert_eq!(one.state(), RoomState::Waiting);
        assert_eq!(rooms.waiting(), ["CA1"]);
        let two = rooms.enter("a", "CA2", BOTH);
        assert_eq!(
            (one.state(), two.state()),
            (RoomState::Talking, RoomState::Talking)
        );
        drop(one);
        assert_eq!(two.state(), RoomState::Ended);
        let calls = vec!["CA1".to_owned(), "CA2".to_owned()];
        assert_eq!(
            rooms.meetings(),
            [Meeting {
                room: "a".to_owned(),
                calls
            }]
        );
        // Under the same name it is another one.
        let late = rooms.enter("a", "CA3", BOTH);
        assert_eq!(late.state(), RoomState::Waiting);
    }
}
