//! What every kind of store has to do, held against each: the servers are real ones, started by
//! the test where their program is installed.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::net::{TcpSocket, TcpStream};
use wasmfn_crds::stores::{ServerOffer, StoreOffer, StoreOffers};

use super::{
    Backend, Granted, PAGE_KEYS, Space, StoreError, Stores, VALUE_MAX_BYTES, stores::Offers,
};
use crate::{budget::Budget, references::References};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
const PASSWORD: &str = "secret";

/// A server, ended when dropped.
struct Server {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Starts `program`; none where it is not installed, which is said.
    async fn start(program: &str, arguments: impl Fn(u16, &str) -> Vec<String>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        // Holds the port until the program listens there, which may reuse it as well.
        let held = TcpSocket::new_v4().unwrap();
        held.set_reuseaddr(true).unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = held.local_addr().unwrap();
        let process = Command::new(program)
            .args(arguments(address.port(), folder.path().to_str().unwrap()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(process) = process else {
            println!("skipped: `{program}` is not installed");
            return None;
        };
        let server = Self {
            process,
            address,
            _folder: folder,
        };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).await.is_err() {
            assert!(Instant::now() < deadline, "`{program}` does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Some(server)
    }

    async fn redis() -> Option<Self> {
        Self::start("redis-server", |port, folder| {
            format!(
                "--port {port} --bind 127.0.0.1 --save  --dir {folder} --requirepass {PASSWORD}"
            )
            .split(' ')
            .map(str::to_owned)
            .collect()
        })
        .await
    }
}

impl Server {
    async fn nats() -> Option<Self> {
        Self::start("nats-server", |port, folder| {
            format!(
                "--port {port} --addr 127.0.0.1 --jetstream --store_dir {folder} --user wasmfn --pass {PASSWORD}"
            )
            .split(' ')
            .map(str::to_owned)
            .collect()
        })
        .await
    }
}

/// Stores under the name `store`, and a volume with the credentials of its Secret.
struct World {
    stores: Arc<Stores>,
    references: Arc<References>,
    _folder: TempDir,
}

impl World {
    fn new(offer: StoreOffer, username: Option<&str>, password: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secrets/store");
        std::fs::create_dir_all(&secret).unwrap();
        std::fs::write(secret.join("password"), password).unwrap();
        if let Some(username) = username {
            std::fs::write(secret.join("username"), username).unwrap();
        }
        let offers = StoreOffers::from([("store".to_owned(), offer)]);
        Self {
            stores: Stores::new(Offers::Named(offers), Budget::new(1 << 30)),
            references: References::new(Some(folder.path().to_owned())),
            _folder: folder,
        }
    }

    fn redis(address: SocketAddr, password: &str) -> Self {
        let offer = StoreOffer::Redis(server(format!("redis://{address}")));
        Self::new(offer, None, password)
    }

    fn nats(address: SocketAddr, password: &str) -> Self {
        let offer = StoreOffer::Nats(server(format!("nats://{address}")));
        Self::new(offer, Some("wasmfn"), password)
    }

    fn grant(&self, namespace: &str, function: &str) -> Granted {
        let names = ["store".to_owned()];
        let space = Space::new(namespace, function);
        self.stores.grant(space, &names, &self.references).unwrap()
    }
}

fn server(url: String) -> ServerOffer {
    ServerOffer {
        url,
        secret: Some("store".to_owned()),
    }
}

fn store(granted: &Granted) -> (&dyn Backend, &Space) {
    (granted.store("store").unwrap().as_ref(), granted.space())
}

/// All keys of a space, by pages.
async fn all_keys(granted: &Granted) -> Vec<String> {
    let (store, space) = store(granted);
    let mut keys = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.keys(space, cursor).await.unwrap();
        keys.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            keys.sort();
            keys.dedup();
            return keys;
        }
    }
}

async fn values_come_and_go(world: &World) {
    let granted = world.grant("team", "values");
    let (store, space) = store(&granted);
    assert_eq!(store.get(space, "a").await.unwrap(), None);
    assert!(!store.exists(space, "a").await.unwrap());
    let odd = "ä key: with *everything?* [.] >\n\0";
    let large = vec![0xff; VALUE_MAX_BYTES];
    for (key, value) in [("a", &b""[..]), (odd, b"\0\xffbytes"), ("large", &large)] {
        store.set(space, key, value.to_vec()).await.unwrap();
        assert_eq!(store.get(space, key).await.unwrap().as_deref(), Some(value));
        assert!(store.exists(space, key).await.unwrap());
    }
    store.set(space, "a", b"second".to_vec()).await.unwrap();
    assert_eq!(store.get(space, "a").await.unwrap().unwrap(), b"second");
    assert_eq!(all_keys(&granted).await, ["a", "large", odd]);
    for key in ["a", "large", odd, "never there"] {
        store.delete(space, key).await.unwrap();
        assert_eq!(store.get(space, key).await.unwrap(), None);
    }
    assert_eq!(all_keys(&granted).await, Vec::<String>::new());
}

async fn lists_come_in_pages(world: &World) {
    let granted = world.grant("team", "pages");
    let (store, space) = store(&granted);
    let count = 3 * PAGE_KEYS + 7;
    let mut expected: Vec<String> = (0..count).map(|index| format!("key-{index}")).collect();
    expected.sort();
    for key in &expected {
        // Too long for what Redis gives all at once.
        store.set(space, key, vec![b'v'; 100]).await.unwrap();
    }
    let first = store.keys(space, None).await.unwrap();
    assert!(first.cursor.is_some());
    assert!(first.keys.len() < count, "{}", first.keys.len());
    assert_eq!(all_keys(&granted).await, expected);
}

async fn numbers_are_counted_together(world: &World) {
    let granted = world.grant("team", "numbers");
    let (store, space) = store(&granted);
    let counts = (0..20).map(|_| store.increment(space, "count", 3));
    let mut sums = futures::future::try_join_all(counts).await.unwrap();
    sums.sort_unstable();
    let expected: Vec<u64> = (1..=20).map(|index| index * 3).collect();
    assert_eq!(sums, expected);
    assert_eq!(store.get(space, "count").await.unwrap().unwrap(), b"60");
    store.set(space, "text", b"none".to_vec()).await.unwrap();
    let almost = i64::MAX.to_string().into_bytes();
    store.set(space, "almost", almost).await.unwrap();
    for (key, delta) in [("text", 1), ("almost", 1), ("count", u64::MAX)] {
        let error = store.increment(space, key, delta).await.unwrap_err();
        assert!(matches!(error, StoreError::NotANumber), "{key}: {error:?}");
    }
}

async fn functions_do_not_meet(world: &World) {
    let spaces = [("a", "b-c"), ("a-b", "c"), ("a", "b"), ("a-b-c", "d")];
    for (index, (namespace, function)) in spaces.into_iter().enumerate() {
        let granted = world.grant(namespace, function);
        let (store, space) = store(&granted);
        assert_eq!(all_keys(&granted).await, Vec::<String>::new());
        let value = index.to_string().into_bytes();
        store.set(space, "key", value).await.unwrap();
    }
    for (index, (namespace, function)) in spaces.into_iter().enumerate() {
        let granted = world.grant(namespace, function);
        let (store, space) = store(&granted);
        let value = store.get(space, "key").await.unwrap().unwrap();
        assert_eq!(value, index.to_string().into_bytes());
        assert_eq!(all_keys(&granted).await, ["key"]);
    }
}

/// What every store has to do.
async fn does_what_stores_do(world: &World) {
    values_come_and_go(world).await;
    lists_come_in_pages(world).await;
    numbers_are_counted_together(world).await;
    functions_do_not_meet(world).await;
}

#[tokio::test]
async fn memory_does_what_stores_do() {
    does_what_stores_do(&World::new(StoreOffer::Memory, None, PASSWORD)).await;
}

#[tokio::test]
async fn redis_does_what_stores_do() {
    let Some(server) = Server::redis().await else {
        return;
    };
    does_what_stores_do(&World::redis(server.address, PASSWORD)).await;
    fails_without_its_password(&World::redis(server.address, "wrong")).await;
}

#[tokio::test]
async fn nats_does_what_stores_do() {
    let Some(server) = Server::nats().await else {
        return;
    };
    does_what_stores_do(&World::nats(server.address, PASSWORD)).await;
    fails_without_its_password(&World::nats(server.address, "wrong")).await;
}

async fn fails_without_its_password(world: &World) {
    let granted = world.grant("team", "values");
    let (store, space) = store(&granted);
    let error = store.get(space, "a").await.unwrap_err();
    assert!(matches!(error, StoreError::Server(_)), "{error:?}");
    assert_eq!(error.to_string(), "the store failed");
}

#[tokio::test]
async fn a_memory_store_is_bounded_by_function_and_gives_back() {
    let world = World::new(StoreOffer::Memory, None, PASSWORD);
    let granted = world.grant("team", "hoarder");
    let (store, space) = store(&granted);
    let value = || vec![0; VALUE_MAX_BYTES];
    let mut kept = 0;
    let error = loop {
        match store.set(space, &format!("key-{kept}"), value()).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full), "{error:?}");
    assert_eq!(kept, 3);
    let neighbour = world.grant("team", "neighbour");
    let (of_neighbour, space_of_neighbour) = (neighbour.store("store").unwrap(), neighbour.space());
    of_neighbour
        .set(space_of_neighbour, "key", value())
        .await
        .unwrap();
    store.delete(space, "key-0").await.unwrap();
    store.set(space, "again", value()).await.unwrap();
}

#[test]
fn stores_are_opened_once_for_all_functions() {
    let world = World::new(StoreOffer::Memory, None, PASSWORD);
    let (one, other) = (world.grant("team", "one"), world.grant("team", "other"));
    assert!(Arc::ptr_eq(
        one.store("store").unwrap(),
        other.store("store").unwrap()
    ));
}

#[test]
fn what_is_not_offered_or_lacks_its_secret_is_named() {
    let world = World::new(StoreOffer::Memory, None, PASSWORD);
    let grant = |stores: &Stores, references: &References, name: &str| {
        let names = [name.to_owned()];
        let granted = stores.grant(Space::new("team", "f"), &names, references);
        granted.unwrap_err().to_string()
    };
    assert_eq!(
        grant(&world.stores, &world.references, "other"),
        "`spec.stores` names `other`, which is not offered in this namespace"
    );
    let offer = StoreOffer::Redis(server("redis://127.0.0.1:1".to_owned()));
    let world = World::new(offer, None, PASSWORD);
    let nothing = References::new(None);
    assert_eq!(
        grant(&world.stores, &nothing, "store"),
        "the credentials of the store `store` are missing: Secret `store` has no field `password`, or does not exist"
    );
    let offer = StoreOffer::Redis(server("http://127.0.0.1:1".to_owned()));
    let world = World::new(offer, None, PASSWORD);
    assert_eq!(
        grant(&world.stores, &world.references, "store"),
        "the store `store` cannot be used as it is set up"
    );
}
