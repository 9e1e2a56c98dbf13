//! How many connections one client may have at the same time.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard},
};

/// Bits of an IPv6 address that one client cannot choose: a network of its own has the rest.
const CLIENT_BITS: u32 = 64;

/// Counts the connections of each client, and bounds them.
#[derive(Debug)]
pub struct PerClient {
    most: Option<usize>,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection of a client, counted until this is dropped.
#[derive(Debug)]
pub struct Place {
    limit: Arc<PerClient>,
    client: IpAddr,
}

impl PerClient {
    /// At most so many at the same time; any number where there is none.
    #[must_use]
    pub fn new(most: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            most,
            open: Mutex::default(),
        })
    }

    /// Counts one more connection from `address`. Nothing where there are as many as may be.
    #[must_use]
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let client = client(address);
        let mut open = self.open();
        let count = open.entry(client).or_default();
        if self.most.is_some_and(|most| *count >= most) {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Place {
            limit: self.clone(),
            client,
        })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.limit.open();
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mask = u128::MAX << (Ipv6Addr::BITS - CLIENT_BITS);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_so_many_and_no_more() {
        let limit = PerClient::new(Some(2));
        let take = |address: &str| limit.take(address.parse().unwrap());
        let (first, _second) = (
            take("192.0.2.1").unwrap(),
            take("::ffff:192.0.2.1").unwrap(),
        );
        assert!(take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some());
        drop(first);
        assert!(take("192.0.2.1").is_some());
        let _one_network = (take("2001:db8::1").unwrap(), take("2001:db8::2").unwrap());
        assert!(take("2001:db8::3").is_none());
        assert!(take("2001:db8:0:1::1").is_some());
    }

    #[test]
    fn without_a_limit_nothing_is_kept_of_those_that_are_gone() {
        let limit = PerClient::new(None);
        let places: Vec<_> = (0..100)
            .map(|_| limit.take([192, 0, 2, 1].into()).unwrap())
            .collect();
        drop(places);
        assert!(limit.open().is_empty());
    }
}
