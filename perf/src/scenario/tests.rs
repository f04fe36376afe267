//! What files of scenarios may say, and what follows from it.

use super::*;
use crate::load::adapter::Role;

#[test]
fn every_scenario_file_is_valid() {
    let names = names().expect("the folder is there");
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        read(&name).expect(&name);
    }
}

#[test]
fn unknown_keys_and_contradictions_are_refused() {
    let good = "about = \"a\"\nkind = \"fanout\"\nsubscribers = 10\nwindow = 1\n";
    assert!(parse(good).is_ok());
    let cases = [
        ("subscriber = 10", "unknown field"),
        ("per_second = 5.0", "either closed"),
        ("rooms_per_subscriber = 2", "more than there are rooms"),
        ("stopped_readers = 11", "stopped_readers"),
        ("rooms = 1000", "raise publishers"),
    ];
    for (line, says) in cases {
        let error = parse(&format!("{good}{line}\n")).expect_err(line);
        assert!(error.contains(says), "{line}: {error}");
    }
    assert!(parse(&good.replace("window = 1", "window = 65")).is_err());
}

#[test]
fn rooms_have_the_same_number_of_subscribers() {
    let text = "about=\"\"\nkind=\"fanout\"\nsubscribers=2000\nrooms=200\nwindow=1\nrooms_per_subscriber=3\n";
    let scenario = parse(text).expect("valid");
    let mut counts = vec![0; 200];
    for who in scenario.people() {
        if let Role::Subscriber(rooms) = who.role {
            for room in rooms {
                counts[room as usize] += 1;
            }
        }
    }
    assert!(counts.iter().all(|count| *count == 30), "{counts:?}");
}

#[test]
fn a_zipf_order_prefers_the_first_rooms() {
    let text = "about=\"\"\nkind=\"fanout\"\nsubscribers=100\nrooms=100\nper_second=1.0\nzipf=1.0\n";
    let order = parse(text).expect("valid").order();
    let share = |room| order.iter().filter(|other| **other == room).count() as f64 / order.len() as f64;
    assert!(share(0) > 0.15 && share(0) > 5.0 * share(20), "{} {}", share(0), share(20));
}
