//! The gateway on loopback, between scripted clients and scripted pods. No cluster is needed.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do: where they cannot go on"
)]

mod admin;
mod certificate;
mod client;
mod drain;
mod fairness;
mod floods;
mod grpc;
mod heads;
mod pod;
mod pressure;
mod proxying;
mod queueing;
mod raw;
mod reaching;
mod retrying;
mod rolling;
mod setup;
mod shared;
mod slow;
mod strict;
mod tls;
mod wakes;
mod watching;
