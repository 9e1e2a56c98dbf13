//! Who is next: those that wait, taken by turns of their groups.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Items that wait, each in a group. However many a group has, its turn comes once a round.
#[derive(Debug)]
pub(super) struct Ring<G, T> {
    order: VecDeque<G>,
    waiting: HashMap<G, VecDeque<T>>,
}

impl<G, T> Default for Ring<G, T> {
    fn default() -> Self {
        Self {
            order: VecDeque::new(),
            waiting: HashMap::new(),
        }
    }
}

impl<G: Copy + Eq + Hash, T> Ring<G, T> {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether anyone of `group` waits.
    pub(super) fn has(&self, group: G) -> bool {
        self.waiting.contains_key(&group)
    }

    /// Lets an item wait behind the others of its group; a group that had none waits behind the
    /// other groups.
    pub(super) fn push(&mut self, group: G, item: T) {
        let items = self.waiting.entry(group).or_default();
        if items.is_empty() {
            self.order.push_back(group);
        }
        items.push_back(item);
    }

    /// Takes the item that waits longest in the group whose turn it is.
    pub(super) fn pop(&mut self) -> Option<(G, T)> {
        let group = self.order.pop_front()?;
        let items = self.waiting.get_mut(&group)?;
        let item = items.pop_front()?;
        if items.is_empty() {
            self.waiting.remove(&group);
        } else {
            self.order.push_back(group);
        }
        Some((group, item))
    }

    /// The items of a group.
    pub(super) fn group_mut(&mut self, group: G) -> impl Iterator<Item = &mut T> {
        self.waiting.get_mut(&group).into_iter().flatten()
    }

    /// Lets go of items of a group.
    pub(super) fn remove(&mut self, group: G, is_gone: impl Fn(&T) -> bool) {
        let Some(items) = self.waiting.get_mut(&group) else {
            return;
        };
        items.retain(|item| !is_gone(item));
        if items.is_empty() {
            self.waiting.remove(&group);
            self.order.retain(|other| *other != group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    #[test]
    fn a_hundred_of_one_group_weigh_as_much_as_one_of_another() {
        let mut ring = Ring::default();
        for number in 0..100 {
            ring.push('a', number);
        }
        ring.push('b', 0);
        let groups: Vec<char> = std::iter::repeat_with(|| {
            let (group, item) = ring.pop().unwrap();
            // They all want to go on.
            ring.push(group, item);
            group
        })
        .take(6)
        .collect();
        assert_eq!(groups, ['a', 'b', 'a', 'b', 'a', 'b']);
    }

    #[test]
    fn a_group_that_let_go_of_its_last_item_has_no_turn() {
        let mut ring = Ring::default();
        ring.push('a', 1);
        ring.push('b', 2);
        ring.push('a', 3);
        ring.remove('a', |item| *item == 1);
        assert!(ring.has('a'));
        ring.remove('a', |item| *item == 3);
        assert!(!ring.has('a'));
        assert_eq!(ring.pop(), Some(('b', 2)));
        assert_eq!(ring.pop(), None);
        assert!(ring.is_empty());
    }

    proptest! {
        /// In any stretch of turns, no group that waits throughout gets two more than another.
        #[test]
        fn turns_are_shared_evenly(sizes in vec(1_usize..20, 1..8), turns in 1_usize..200) {
            let mut ring = Ring::default();
            for (group, size) in sizes.iter().enumerate() {
                for item in 0..*size {
                    ring.push(group, item);
                }
            }
            let mut counts = vec![0_usize; sizes.len()];
            for _ in 0..turns {
                let (group, item) = ring.pop().unwrap();
                counts[group] += 1;
                ring.push(group, item);
            }
            let least = *counts.iter().min().unwrap();
            let most = *counts.iter().max().unwrap();
            prop_assert!(most - least <= 1, "{counts:?}");
        }

        /// Within a group, everyone has a turn before anyone has a second.
        #[test]
        fn nobody_of_a_group_is_passed_over(size in 1_usize..30) {
            let mut ring = Ring::default();
            for item in 0..size {
                ring.push((), item);
            }
            for expected in (0..size).chain(0..size) {
                let (group, item) = ring.pop().unwrap();
                prop_assert_eq!(item, expected);
                ring.push(group, item);
            }
        }
    }
}
