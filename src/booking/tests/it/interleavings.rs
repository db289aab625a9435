//! Random callers who book, move and cancel in any order.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Value, json};

use super::support::{Shelf, double_bookings};

#[derive(Debug, Clone)]
enum Wish {
    Book {
        caller: usize,
        service: usize,
        day: usize,
        half_hour: usize,
    },
    Move {
        caller: usize,
        which: usize,
        day: usize,
        half_hour: usize,
    },
    Cancel {
        caller: usize,
        which: usize,
    },
}

const SERVICES: [&str; 3] = ["Hot stone massage", "Back massage", "Facial"];
const DAYS: [&str; 2] = ["2026-11-23", "2026-11-24"];

fn wish() -> impl Strategy<Value = Wish> {
    let caller = 0..3_usize;
    let slot = (0..2_usize, 0..6_usize);
    prop_oneof![
        4 => (caller.clone(), 0..3_usize, slot.clone())
            .prop_map(|(caller, service, (day, half_hour))| Wish::Book { caller, service, day, half_hour }),
        3 => (caller.clone(), 0..4_usize, slot)
            .prop_map(|(caller, which, (day, half_hour))| Wish::Move { caller, which, day, half_hour }),
        2 => (caller, 0..4_usize).prop_map(|(caller, which)| Wish::Cancel { caller, which }),
    ]
}

fn clock(half_hour: usize) -> String {
    format!("{}:{}0", 10 + half_hour / 2, half_hour % 2 * 3)
}

/// What was confirmed to callers: code to day and time.
type Promised = BTreeMap<String, (String, String)>;

fn promise(promised: &mut Promised, told: &Value) {
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    promised.insert(text("code"), (text("day"), text("time")));
}

fn follow(shelf: &Shelf, mine: &mut [Vec<String>], promised: &mut Promised, wish: &Wish) {
    let number = |caller: usize| format!("+1555700000{caller}");
    let call = |caller: usize, tool: &str, arguments: Value| {
        shelf.call(Some(&number(caller)), tool, arguments)
    };
    match *wish {
        Wish::Book {
            caller,
            service,
            day,
            half_hour,
        } => {
            let arguments = json!({"service": SERVICES[service], "day": DAYS[day], "time": clock(half_hour), "name": "C"});
            let answer = call(caller, "book_appointment", arguments);
            if answer["booked"].is_object() {
                promise(promised, &answer["booked"]);
                let code = answer["booked"]["code"].as_str().unwrap().to_owned();
                // The very appointment this caller has already comes back as it stands.
                assert_eq!(mine[caller].contains(&code), answer["note"].is_string());
                if !mine[caller].contains(&code) {
                    mine[caller].push(code);
                }
            } else {
                assert!(
                    answer["error"].as_str().unwrap().contains("is taken"),
                    "{answer}"
                );
            }
        }
        Wish::Move {
            caller,
            which,
            day,
            half_hour,
        } => {
            let Some(code) = mine[caller].get(which).cloned() else {
                return;
            };
            let answer = call(
                caller,
                "move_appointment",
                json!({"code": code, "day": DAYS[day], "time": clock(half_hour)}),
            );
            if answer["moved"].is_object() {
                promise(promised, &answer["moved"]);
            } else {
                assert!(
                    answer["error"].as_str().unwrap().contains("is taken"),
                    "{answer}"
                );
            }
        }
        Wish::Cancel { caller, which } => {
            if which >= mine[caller].len() {
                return;
            }
            let code = mine[caller].remove(which);
            assert!(
                call(caller, "cancel_appointment", json!({"code": code}))["cancelled"].is_object()
            );
            promised.remove(&code);
        }
    }
}

fn standing(shelf: &Shelf) -> Promised {
    let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
    let told = |appointment: appointment_book::Appointment| {
        let begins = appointment.begins.to_zoned(zone.clone());
        (
            appointment.code,
            (
                begins.date().to_string(),
                format!("{:02}:{:02}", begins.hour(), begins.minute()),
            ),
        )
    };
    shelf.standing().into_iter().map(told).collect()
}

proptest! {
    #![proptest_config(Config { cases: 24, failure_persistence: None, ..Config::default() })]

    #[test]
    fn what_was_promised_stands_and_nothing_is_booked_double(wishes in prop::collection::vec(wish(), 1..40)) {
        let shelf = Shelf::new();
        let mut promised = Promised::new();
        let mut mine = vec![Vec::new(); 3];
        for wish in &wishes {
            follow(&shelf, &mut mine, &mut promised, wish);
            prop_assert_eq!(&standing(&shelf), &promised, "after {:?}", wish);
            prop_assert_eq!(double_bookings(&shelf.standing()), 0);
        }
        // No time is lost: when all is cancelled, the book is as free as a new one.
        for caller in 0..mine.len() {
            while !mine[caller].is_empty() {
                follow(&shelf, &mut mine, &mut promised, &Wish::Cancel { caller, which: 0 });
            }
        }
        let fresh = Shelf::new();
        for service in SERVICES {
            let ask = json!({"service": service, "day": DAYS[0]});
            prop_assert_eq!(shelf.anna("find_times", ask.clone()), fresh.anna("find_times", ask));
        }
    }

    #[test]
    fn callers_at_the_same_time_keep_what_they_were_promised(
        wishes in prop::collection::vec(prop::collection::vec(wish(), 1..12), 3..4)
    ) {
        let shelf = Shelf::new();
        // One thread a caller: each follows its own list, and nobody else changes what is theirs.
        let promises: Vec<Promised> = std::thread::scope(|scope| {
            let threads: Vec<_> = wishes.iter().enumerate().map(|(caller, wishes)| {
                let shelf = &shelf;
                scope.spawn(move || {
                    let (mut mine, mut promised) = (vec![Vec::new(); 3], Promised::new());
                    for wish in wishes {
                        follow(shelf, &mut mine, &mut promised, &wish.of(caller));
                    }
                    promised
                })
            }).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        prop_assert_eq!(standing(&shelf), promises.into_iter().flatten().collect());
        prop_assert_eq!(double_bookings(&shelf.standing()), 0);
    }
}

impl Wish {
    fn of(&self, caller: usize) -> Self {
        match *self {
            Self::Book {
                service,
                day,
                half_hour,
                ..
            } => Self::Book {
                caller,
                service,
                day,
                half_hour,
            },
            Self::Move {
                which,
                day,
                half_hour,
                ..
            } => Self::Move {
                caller,
                which,
                day,
                half_hour,
            },
            Self::Cancel { which, .. } => Self::Cancel { caller, which },
        }
    }
}
