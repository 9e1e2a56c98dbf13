//! A Redis or Valkey server. Each function has one hash, whose fields are its keys: what a guest
//! says is never part of the name of a hash, and a list of its keys touches nobody else's.

use redis::{
    Client, ConnectionInfo, FromRedisValue, IntoConnectionInfo, RedisError,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

use super::{
    PAGE_KEYS, Space,
    backend::{Answer, Backend, Page, StoreError},
    stores::{Credentials, OPERATION_TIMEOUT},
};

/// Keys of a part of a hash, without the values.
const KEYS_SCRIPT: &str = "local part = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2]) \
    local keys = {} \
    for index = 1, #part[2], 2 do keys[#keys + 1] = part[2][index] end \
    return {part[1], keys}";

/// A connection, made again where it was lost.
pub(super) struct Redis(ConnectionManager);

impl Redis {
    /// Takes note of a server; it is connected to when it is first needed.
    pub(super) fn new(url: &str, credentials: Option<&Credentials>) -> Result<Self, RedisError> {
        let mut info: ConnectionInfo = url.into_connection_info()?;
        if let Some(credentials) = credentials {
            let mut settings = info
                .redis_settings()
                .clone()
                .set_password(&credentials.password);
            if let Some(username) = &credentials.username {
                settings = settings.set_username(username);
            }
            info = info.set_redis_settings(settings);
        }
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(OPERATION_TIMEOUT))
            .set_response_timeout(Some(OPERATION_TIMEOUT));
        let client = Client::open(info)?;
        Ok(Self(ConnectionManager::new_lazy_with_config(
            client, config,
        )?))
    }

    async fn ask<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, StoreError> {
        let mut connection = self.0.clone();
        command
            .query_async(&mut connection)
            .await
            .map_err(StoreError::server)
    }
}

/// A command on the hash of a function.
fn command(name: &str, space: &Space) -> redis::Cmd {
    let mut command = redis::cmd(name);
    command.arg(hash(space));
    command
}

fn hash(space: &Space) -> String {
    format!("wasmfn:{}", space.joined(':'))
}

impl Backend for Redis {
    fn get<'a>(&'a self, space: &'a Space, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.ask(command("HGET", space).arg(key)).await })
    }

    fn set<'a>(&'a self, space: &'a Space, key: &'a str, value: Vec<u8>) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut command = command("HSET", space);
            self.ask(command.arg(key).arg(value)).await
        })
    }

    fn delete<'a>(&'a self, space: &'a Space, key: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.ask(command("HDEL", space).arg(key)).await })
    }

    fn exists<'a>(&'a self, space: &'a Space, key: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { self.ask(command("HEXISTS", space).arg(key)).await })
    }

    fn keys<'a>(&'a self, space: &'a Space, cursor: Option<u64>) -> Answer<'a, Page> {
        Box::pin(async move {
            let mut command = redis::cmd("EVAL");
            command.arg(KEYS_SCRIPT).arg(1).arg(hash(space));
            command.arg(cursor.unwrap_or(0)).arg(PAGE_KEYS);
            let (next, keys): (u64, Vec<String>) = self.ask(&command).await?;
            Ok(Page {
                keys,
                cursor: (next != 0).then_some(next),
            })
        })
    }

    fn increment<'a>(&'a self, space: &'a Space, key: &'a str, delta: u64) -> Answer<'a, u64> {
        Box::pin(async move {
            let delta = i64::try_from(delta).map_err(|_| StoreError::NotANumber)?;
            let mut command = command("HINCRBY", space);
            let sum: Result<i64, _> = {
                let mut connection = self.0.clone();
                command
                    .arg(key)
                    .arg(delta)
                    .query_async(&mut connection)
                    .await
            };
            match sum {
                Ok(sum) => u64::try_from(sum).map_err(|_| StoreError::NotANumber),
                // What the server itself refuses, it refuses for the value.
                Err(error) if error.code() == Some("ERR") => Err(StoreError::NotANumber),
                Err(error) => Err(StoreError::server(error)),
            }
        })
    }
}
