use std::time::Duration;

use ipnet::IpNet;

use crate::config::Config;

/// How many clients are let in, how they have to behave, and whom to believe.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Connections over all doors; more wait in the kernel.
    pub max_connections: usize,
    /// Connections of one client; more are closed. Any number where there is none.
    pub max_connections_per_client: Option<usize>,
    /// Requests at the same time; more are refused.
    pub max_requests: usize,
    /// Time for the handshake of TLS.
    pub handshake_within: Duration,
    /// Time for the head of a request, from its first byte.
    pub head_within: Duration,
    /// Longest pause in a body that is being read.
    pub body_within: Duration,
    /// Longest time in which a client takes nothing of an answer.
    pub taken_within: Duration,
    /// A connection without a request is closed after this time.
    pub idle_after: Duration,
    /// Proxies that may say for whom they ask.
    pub trusted_proxies: Vec<IpNet>,
}

impl From<&Config> for Rules {
    fn from(config: &Config) -> Self {
        let (limits, timeouts) = (&config.limits, &config.timeouts);
        Self {
            max_connections: limits.max_connections,
            max_connections_per_client: Some(limits.max_connections_per_client)
                .filter(|most| *most > 0),
            max_requests: limits.max_requests,
            handshake_within: Duration::from_secs(timeouts.handshake_seconds),
            head_within: Duration::from_secs(timeouts.head_seconds),
            body_within: Duration::from_secs(timeouts.body_seconds),
            taken_within: Duration::from_secs(timeouts.answer_seconds),
            idle_after: Duration::from_secs(timeouts.idle_seconds),
            trusted_proxies: config.trusted_proxies.clone(),
        }
    }
}
