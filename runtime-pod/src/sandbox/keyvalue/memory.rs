//! In the memory of this process, for development.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    PAGE_KEYS, Space,
    backend::{Answer, Backend, Page, StoreError, sum},
};
use crate::budget::{Budget, Reservation};

/// Keys and values of one function, in bytes.
const SPACE_MAX_BYTES: usize = 4 << 20;
/// Keys and values of all functions, in bytes: a charge on the pod's budget.
const STORE_MAX_BYTES: usize = 16 << 20;
/// What an entry costs besides its key and value.
const ENTRY_BYTES: usize = 128;

/// A store that ends with the process.
pub(super) struct Memory {
    contents: Mutex<Contents>,
    _budget: Reservation,
}

#[derive(Default)]
struct Contents {
    spaces: HashMap<Space, Entries>,
    used_bytes: usize,
}

#[derive(Default)]
struct Entries {
    by_key: BTreeMap<String, Entry>,
    used_bytes: usize,
    last_number: u64,
}

struct Entry {
    value: Vec<u8>,
    /// The order in which keys came, for cursors that survive changes.
    number: u64,
}

impl Memory {
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self {
            contents: Mutex::default(),
            _budget: budget.charge(STORE_MAX_BYTES as u64),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn get(&self, space: &Space, key: &str) -> Option<&[u8]> {
        let entry = self.spaces.get(space)?.by_key.get(key)?;
        Some(&entry.value)
    }

    fn set(&mut self, space: &Space, key: &str, value: Vec<u8>) -> Result<(), StoreError> {
        let before = self.size(space, key);
        let after = key.len() + value.len() + ENTRY_BYTES;
        let entries = self.spaces.entry(space.clone()).or_default();
        let of_space = entries.used_bytes - before + after;
        let of_store = self.used_bytes - before + after;
        if of_space > SPACE_MAX_BYTES || of_store > STORE_MAX_BYTES {
            return Err(StoreError::Full);
        }
        entries.used_bytes = of_space;
        self.used_bytes = of_store;
        match entries.by_key.get_mut(key) {
            Some(entry) => entry.value = value,
            None => {
                entries.last_number += 1;
                let number = entries.last_number;
                let entry = Entry { value, number };
                entries.by_key.insert(key.to_owned(), entry);
            }
        }
        Ok(())
    }

    fn delete(&mut self, space: &Space, key: &str) {
        let size = self.size(space, key);
        let Some(entries) = self.spaces.get_mut(space) else {
            return;
        };
        entries.by_key.remove(key);
        entries.used_bytes -= size;
        self.used_bytes -= size;
        if entries.by_key.is_empty() {
            self.spaces.remove(space);
        }
    }

    /// What the entry of a key costs; 0 where there is none.
    fn size(&self, space: &Space, key: &str) -> usize {
        self.get(space, key)
            .map_or(0, |value| key.len() + value.len() + ENTRY_BYTES)
    }

    fn keys(&self, space: &Space, cursor: Option<u64>) -> Page {
        let Some(entries) = self.spaces.get(space) else {
            return Page::default();
        };
        let from = cursor.unwrap_or(0);
        let by_number: BTreeMap<u64, &String> = entries
            .by_key
            .iter()
            .map(|(key, entry)| (entry.number, key))
            .collect();
        let mut rest = by_number.range((Bound::Included(from), Bound::Unbounded));
        let keys = rest.by_ref().take(PAGE_KEYS);
        Page {
            keys: keys.map(|(_, key)| (*key).clone()).collect(),
            cursor: rest.next().map(|(number, _)| *number),
        }
    }
}

fn now<'a, T: Send + 'a>(result: Result<T, StoreError>) -> Answer<'a, T> {
    Box::pin(std::future::ready(result))
}

impl Backend for Memory {
    fn get<'a>(&'a self, space: &'a Space, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        now(Ok(self.lock().get(space, key).map(<[u8]>::to_vec)))
    }

    fn set<'a>(&'a self, space: &'a Space, key: &'a str, value: Vec<u8>) -> Answer<'a, ()> {
        now(self.lock().set(space, key, value))
    }

    fn delete<'a>(&'a self, space: &'a Space, key: &'a str) -> Answer<'a, ()> {
        self.lock().delete(space, key);
        now(Ok(()))
    }

    fn exists<'a>(&'a self, space: &'a Space, key: &'a str) -> Answer<'a, bool> {
        now(Ok(self.lock().get(space, key).is_some()))
    }

    fn keys<'a>(&'a self, space: &'a Space, cursor: Option<u64>) -> Answer<'a, Page> {
        now(Ok(self.lock().keys(space, cursor)))
    }

    fn increment<'a>(&'a self, space: &'a Space, key: &'a str, delta: u64) -> Answer<'a, u64> {
        let mut contents = self.lock();
        let result = sum(contents.get(space, key), delta).and_then(|sum| {
            contents.set(space, key, sum.to_string().into_bytes())?;
            Ok(sum)
        });
        now(result)
    }
}
