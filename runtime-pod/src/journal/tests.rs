use std::fs;

use tempfile::TempDir;

use super::*;

const UID: &str = "uid-hello";
const NOW: u64 = 1_800_000_000;

struct World(TempDir);

impl World {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Starts a process; the one before is gone.
    fn start(&self, now_seconds: u64) -> Arc<Journal> {
        Journal::open_at(&self.0.path().join("journal"), now_seconds).unwrap()
    }
}

#[test]
fn a_function_that_runs_at_two_crashes_is_quarantined_and_its_neighbours_are_not() {
    let world = World::new();
    for (crash, expected) in [(0, None), (60, None), (120, Some(2))] {
        let journal = world.start(NOW + crash);
        let hello = journal.entry(UID);
        let neighbour = journal.entry("uid-neighbour");
        assert_eq!(hello.quarantined(), expected, "{crash}");
        assert_eq!(neighbour.quarantined(), None);
        hello.serves(2);
        neighbour.serves(1);
        hello.runs();
        neighbour.runs();
        neighbour.rest(|| false);
    }
    // Another generation is given another chance.
    let journal = world.start(NOW + 180);
    journal.entry(UID).serves(3);
    assert_eq!(journal.entry(UID).quarantined(), None);
    journal.close();
    assert_eq!(world.start(NOW + 240).entry(UID).quarantined(), None);
}

#[test]
fn a_process_that_ends_as_it_should_blames_nobody() {
    let world = World::new();
    for start in 0..4 {
        let journal = world.start(NOW + start);
        let hello = journal.entry(UID);
        assert_eq!(hello.quarantined(), None);
        hello.serves(1);
        hello.runs();
        journal.close();
    }
}

#[test]
fn a_quarantine_outlives_processes_that_end_as_they_should() {
    let world = World::new();
    for start in [0, 1] {
        let journal = world.start(NOW + start);
        journal.entry(UID).serves(1);
        journal.entry(UID).runs();
    }
    for start in 2..5 {
        let journal = world.start(NOW + start);
        assert_eq!(journal.entry(UID).quarantined(), Some(1));
        journal.close();
    }
}

#[test]
fn a_request_that_comes_while_the_mark_is_taken_away_keeps_it() {
    let world = World::new();
    let journal = world.start(NOW);
    let hello = journal.entry(UID);
    hello.runs();
    let looks = std::cell::Cell::new(0);
    hello.rest(|| {
        looks.set(looks.get() + 1);
        looks.get() == 2
    });
    assert!(hello.lock().is_running);
    hello.rest(|| false);
    assert!(!hello.lock().is_running);
    hello.runs();
    assert!(hello.lock().is_running);
}

#[test]
fn what_was_used_last_is_known_after_a_restart() {
    let world = World::new();
    let journal = world.start(NOW);
    assert_eq!(journal.entry(UID).used_at(), 0);
    journal.entry(UID).runs();
    let used_at = journal.entry(UID).used_at();
    assert!(used_at > 0);
    assert_eq!(world.start(NOW).entry(UID).used_at(), used_at);
}

#[test]
fn a_full_journal_forgets_those_that_are_gone() {
    let world = World::new();
    let journal = world.start(NOW);
    let held: Vec<Entry> = (0..MAX_RECORDS)
        .map(|index| journal.entry(&index.to_string()))
        .collect();
    assert_eq!(journal.entry(UID).place, None);
    held[7].runs();
    drop(held);
    let place = journal.entry(UID).place;
    assert!(place.is_some());
    assert!(journal.entry("7").used_at() > 0, "it ran last");
}

#[test]
fn what_is_no_journal_is_begun_anew() {
    let world = World::new();
    for text in ["", "something else", &"x".repeat(600_000)] {
        fs::write(world.0.path().join("journal"), text).unwrap();
        let journal = world.start(NOW);
        assert_eq!(journal.entry(UID).quarantined(), None);
        journal.entry(UID).runs();
    }
}
