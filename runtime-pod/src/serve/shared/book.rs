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
    /// CPU time that a request has used that was there from the beginning: of each poll, those that have
    /// begun bear equal parts.
    clock: Duration,
    /// CPU time used since the last one began, by all.
    since_last: Duration,
    /// Who is there, in the order in which they came, which is that in which they begin.
    present: Vec<Present>,
    /// Where the clock stood when the last one began.
    last_began: Duration,
    next: Ticket,
}

#[derive(Debug)]
struct Present {
    ticket: Ticket,
    /// Where the clock stood when it began, if it has.
    began: Option<Duration>,
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
            last_began: Duration::ZERO,
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
        let began = None;
        self.present.push(Present { ticket, began });
        Some(ticket)
    }

    /// It begins; false, if it has left.
    pub(super) fn begin(&mut self, ticket: Ticket) -> bool {
        let present = self.present.iter_mut();
        let Some(present) = present.rev().find(|present| present.ticket == ticket) else {
            return false;
        };
        present.began = Some(self.clock);
        self.last_began = self.clock;
        self.since_last = Duration::ZERO;
        true
    }

    /// It leaves: whether it was there and had begun.
    pub(super) fn leave(&mut self, ticket: Ticket) -> bool {
        let of = |present: &Present| present.ticket == ticket;
        let place = self.present.iter().position(of);
        place.is_some_and(|place| self.present.remove(place).began.is_some())
    }

    /// The instance has used so much CPU time.
    pub(in crate::serve) fn charge(&mut self, took: Duration) {
        let bearers = self.begun().count();
        self.clock += took / u32::try_from(bearers).unwrap_or(u32::MAX).max(1);
        self.since_last += took;
    }

    /// CPU time since the last one began.
    pub(in crate::serve) const fn since_last(&self) -> Duration {
        self.since_last
    }

    /// Whether one has used all that it may. What is used when nobody is there is that of the last one.
    pub(in crate::serve) fn is_used_up(&self) -> bool {
        let first = self.begun().next().unwrap_or(self.last_began);
        self.clock.saturating_sub(first) >= self.limit
    }

    /// How many more may come.
    pub(super) const fn left(&self) -> u32 {
        self.left
    }

    /// Where the clock stood when each of those began who are there and have.
    fn begun(&self) -> impl Iterator<Item = Duration> {
        self.present.iter().filter_map(|present| present.began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: Duration = Duration::from_millis(100);

    /// One comes and begins.
    fn begun(book: &mut Book) -> Ticket {
        let ticket = book.enter().unwrap();
        assert!(book.begin(ticket));
        ticket
    }

    #[test]
    fn no_more_come_than_may() {
        let mut book = Book::new(2, 3, LIMIT);
        let first = book.enter().unwrap();
        assert!(book.enter().is_some());
        assert_eq!(book.enter(), None);
        book.leave(first);
        assert!(book.enter().is_some());
        assert_eq!(book.left(), 0);
        book.leave(1);
        assert_eq!(book.enter(), None, "it has served all that it may");
    }

    #[test]
    fn who_is_alone_bears_all_and_who_is_in_company_a_part() {
        let mut book = Book::new(10, 10, LIMIT);
        let first = begun(&mut book);
        book.charge(LIMIT / 2);
        let second = begun(&mut book);
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
    fn who_has_not_begun_bears_nothing() {
        let mut book = Book::new(10, 10, LIMIT);
        begun(&mut book);
        for _ in 0..9 {
            assert!(book.enter().is_some());
        }
        book.charge(LIMIT);
        assert!(book.is_used_up());
    }

    #[test]
    fn who_leaves_tells_whether_it_had_begun_and_begins_no_more() {
        let mut book = Book::new(10, 10, LIMIT);
        let first = begun(&mut book);
        assert!(book.leave(first));
        assert!(!book.leave(first), "it has left");
        let second = book.enter().unwrap();
        assert!(!book.leave(second));
        assert!(!book.begin(second));
    }

    #[test]
    fn work_that_is_left_behind_is_that_of_the_last_one() {
        let mut book = Book::new(10, 10, LIMIT);
        book.charge(LIMIT * 9 / 10);
        let ticket = begun(&mut book);
        book.leave(ticket);
        book.charge(LIMIT * 9 / 10);
        assert!(!book.is_used_up());
        book.charge(LIMIT / 10);
        assert!(book.is_used_up());
    }

    #[test]
    fn a_first_slice_begins_with_each_that_begins() {
        let mut book = Book::new(10, 10, LIMIT);
        begun(&mut book);
        book.charge(LIMIT / 2);
        assert_eq!(book.since_last(), LIMIT / 2);
        begun(&mut book);
        assert_eq!(book.since_last(), Duration::ZERO);
    }

    proptest! {
        /// However they come, begin and go, all together use no more than each may, and one poll.
        #[test]
        fn together_they_use_no_more_than_each_may(
            steps in proptest::collection::vec((0_u8..4, 1_u64..20), 1..200),
        ) {
            let mut book = Book::new(8, 1000, LIMIT);
            let (mut coming, mut present) = (Vec::new(), Vec::new());
            let (mut begun, mut used) = (0_u32, Duration::ZERO);
            for (step, number) in steps {
                match step {
                    0 => coming.extend(book.enter()),
                    1 if !coming.is_empty() => {
                        let ticket = coming.remove(0);
                        prop_assert!(book.begin(ticket));
                        present.push(ticket);
                        begun += 1;
                    },
                    2 if !present.is_empty() => {
                        let place = usize::try_from(number).unwrap() % present.len();
                        prop_assert!(book.leave(present.remove(place)));
                    },
                    3 if begun > 0 => {
                        let took = Duration::from_millis(number);
                        book.charge(took);
                        used += took;
                        if book.is_used_up() {
                            break;
                        }
                    },
                    _ => {}
                }
            }
            prop_assert!(used <= LIMIT * begun.max(1) + Duration::from_millis(20));
        }
    }
}
