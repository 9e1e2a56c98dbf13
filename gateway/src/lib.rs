//! The front door: routes, counts, holds and balances requests.
//!
//! A request reaches a listener ([`listener`]), its head is checked ([`proxy::head`]), its function
//! is found by host and path ([`routes`]), it is counted ([`counts`]) and goes to the better of two
//! pods ([`balance`], [`endpoints`], [`upstream`]). Where no pod can begin it, it waits its turn
//! ([`queue`]). What the gateway counts, the operator hears by a stream ([`report`]).
//!
//! The library takes its routes and endpoints from any source ([`world::World`]); only [`watch`]
//! knows the API server.

pub mod admin;
pub mod answer;
pub mod balance;
pub mod client;
pub mod command;
pub mod config;
pub mod counts;
pub mod drain;
pub mod endpoints;
pub mod listener;
pub mod metrics;
pub mod places;
pub mod probe;
pub mod proxy;
pub mod queue;
pub mod report;
pub mod routes;
pub mod run;
pub mod telemetry;
pub mod token;
pub mod upstream;
pub mod watch;
pub mod world;
