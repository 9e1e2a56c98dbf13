//! Who is in a shared instance, and what each has used of it: pure.

use std::time::Duration;

/// One that is in the instance, or on its way.
pub(super) type Ticket = u64;

/// Keeps count.
#[derive(Debug)]
pub(in crate::serve) struct Book {
    /// At the same time.
    most: u32,
    /// Requests that may still come.
    left: u32,
    /// CPU time of one request.
    limit: Duration,
    /// CPU time that a request has used that was there from the beginning: of each poll, those that are
    /// there bear equal parts.
    clock: Duration,
    /// CPU time used since the last one came, by all.
    since_last: Duration,
    /// Who is there, and where the clock stood when they came; the first of them first.
    present: Vec<(Ticket, Duration)>,
    /// Where the clock stood when the last one came that has left.
    came_last: Duration,
    next: Ticket,
}

impl Book {
    /// Of an instance that takes `left` more requests, at most `most` at the same time, each of which may
    /// use `limit` of CPU time.
    pub(super) const fn new(most: u32, left: u32, limit: Duration) -> Self {
        Self {
            most,
            left,
            limit,
            clock: Duration::ZERO,
            since_last: Duration::ZERO,
            present: Vec::new(),
            came_last: Duration::ZERO,
            next: 0,
        }
    }

    /// One more comes, if it may.
    pub(super) fn enter(&mut self) -> Option<Ticket> {
        if self.present.len() >= self.most as usize {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        let ticket = self.next;
        self.next += 1;
        self.since_last = Duration::ZERO;
        self.came_last = self.clock;
        self.present.push((ticket, self.clock));
        Some(ticket)
    }

    /// It leaves.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.present.retain(|(present, _)| *present != ticket);
    }

    /// The instance has used so much CPU time.
    pub(in crate::serve) fn charge(&mut self, took: Duration) {
        let bearers = u32::try_from(self.present.len()).unwrap_or(u32::MAX);
        self.clock += took / bearers.max(1);
        self.since_last += took;
    }

    /// CPU time since the last one came.
    pub(in crate::serve) const fn since_last(&self) -> Duration {
        self.since_last
    }

    /// Whether one has used all that it may. What is used when nobody is there is that of the last one.
    pub(in crate::serve) fn is_used_up(&self) -> bool {
        let first = self
            .present
            .first()
            .map_or(self.came_last, |(_, came)| *came);
        self.clock.saturating_sub(first) >= self.limit
    }

    /// How many are there.
    pub(super) const fn present(&self) -> usize {
        self.present.len()
    }

    /// How many more may come.
    pub(super) const fn left(&self) -> u32 {
        self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: Duration = Duration::from_millis(100);

    #[test]
    fn no_more_come_than_may() {
        let mut book = Book::new(2, 3, LIMIT);
        let first = book.enter().unwrap();
        assert!(book.enter().is_some());
        assert_eq!(book.enter(), None);
        book.leave(first);
        assert!(book.enter().is_some());
        assert_eq!((book.present(), book.left()), (2, 0));
        book.leave(1);
        assert_eq!(book.enter(), None, "it has served all that it may");
    }

    #[test]
    fn who_is_alone_bears_all_and_who_is_in_company_a_part() {
        let mut book = Book::new(10, 10, LIMIT);
        let first = book.enter().unwrap();
        book.charge(LIMIT / 2);
        let second = book.enter().unwrap();
        book.charge(LIMIT / 2);
        assert!(!book.is_used_up());
        book.charge(LIMIT / 2);
        assert!(
            book.is_used_up(),
            "the first has used a half and two quarters"
        );
        book.leave(first);
        assert!(!book.is_used_up(), "the second has used two quarters");
        book.charge(LIMIT / 2);
        assert!(book.is_used_up());
        book.leave(second);
    }

    #[test]
    fn work_that_is_left_behind_is_that_of_the_last_one() {
        let mut book = Book::new(10, 10, LIMIT);
        book.charge(LIMIT * 9 / 10);
        let ticket = book.enter().unwrap();
        book.leave(ticket);
        book.charge(LIMIT * 9 / 10);
        assert!(!book.is_used_up());
        book.charge(LIMIT / 10);
        assert!(book.is_used_up());
    }

    #[test]
    fn a_first_slice_begins_with_each_that_comes() {
        let mut book = Book::new(10, 10, LIMIT);
        let _first = book.enter();
        book.charge(LIMIT / 2);
        assert_eq!(book.since_last(), LIMIT / 2);
        let _second = book.enter();
        assert_eq!(book.since_last(), Duration::ZERO);
    }

    proptest! {
        /// However they come and go, all together use no more than each may, and one poll.
        #[test]
        fn together_they_use_no_more_than_each_may(
            steps in proptest::collection::vec((0_u8..3, 1_u64..20), 1..200),
        ) {
            let mut book = Book::new(8, 1000, LIMIT);
            let (mut present, mut came, mut used) = (Vec::new(), 0_u32, Duration::ZERO);
            for (step, milliseconds) in steps {
                match step {
                    0 => if let Some(ticket) = book.enter() {
                        present.push(ticket);
                        came += 1;
                    },
                    1 => if let Some(ticket) = present.pop() {
                        book.leave(ticket);
                    },
                    _ if came > 0 => {
                        let took = Duration::from_millis(milliseconds);
                        book.charge(took);
                        used += took;
                        if book.is_used_up() {
                            break;
                        }
                    },
                    _ => {}
                }
            }
            prop_assert!(used <= LIMIT * came.max(1) + Duration::from_millis(20));
        }
    }
}
