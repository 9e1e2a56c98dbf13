//! Registries that are away, busy or broken.

use std::time::{Duration, Instant};

use http::StatusCode;
use wasmfn_crds::Reason;

use super::scripted::{Image, ScriptedRegistry, error, status, with_header};
use super::*;

#[tokio::test]
async fn a_fault_that_passes_is_not_noticed() {
    for code in [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::TOO_MANY_REQUESTS,
    ] {
        let image = Image::hello();
        let digest = image.digest();
        let registry = ScriptedRegistry::start(move |seen| {
            if seen.before == 0 {
                return status(code);
            }
            image.answer(seen)
        })
        .await;
        let found = client()
            .resolve(&registry.image("team/hello:v1"), &[])
            .await;
        assert_eq!(found, Ok(digest));
        assert_eq!(registry.seen().len(), 2);
    }
}

#[tokio::test]
async fn a_fault_that_stays_is_told_after_three_attempts() {
    let registry = ScriptedRegistry::start(|_| error(StatusCode::BAD_GATEWAY, "UNKNOWN")).await;
    let failure = client()
        .resolve(&registry.image("a"), &[])
        .await
        .unwrap_err();
    assert_eq!(failure.reason(), Reason::RegistryUnavailable);
    assert!(failure.is_transient());
    assert!(failure.to_string().contains("502"), "{failure}");
    assert_eq!(registry.seen().len(), 3);
}

#[tokio::test]
async fn a_registry_is_left_alone_as_long_as_it_asks() {
    let image = Image::hello();
    let digest = image.digest();
    let registry = ScriptedRegistry::start(move |seen| {
        if seen.before == 0 {
            return with_header(status(StatusCode::TOO_MANY_REQUESTS), "retry-after", "1");
        }
        image.answer(seen)
    })
    .await;
    let started = Instant::now();
    let found = client()
        .resolve(&registry.image("team/hello:v1"), &[])
        .await;
    assert_eq!(found, Ok(digest));
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_long_wait_is_told_instead_of_waited() {
    let registry = ScriptedRegistry::start(|_| {
        let busy = error(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS");
        with_header(busy, "retry-after", "120")
    })
    .await;
    let failure = client()
        .resolve(&registry.image("a"), &[])
        .await
        .unwrap_err();
    assert_eq!(failure.retry_after(), Some(Duration::from_secs(120)));
    assert_eq!(failure.reason(), Reason::RegistryUnavailable);
    assert_eq!(registry.seen().len(), 1);
}

#[tokio::test]
async fn nobody_there_is_said_by_host_and_cause() {
    // Refuses, since it does not listen.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let authority = held.local_addr().unwrap().to_string();
    let failure = client()
        .resolve(&format!("{authority}/a:v1"), &[])
        .await
        .unwrap_err();
    assert_eq!(failure.reason(), Reason::RegistryUnavailable);
    let said = failure.to_string();
    assert!(
        said.contains(&authority) && said.contains("refused"),
        "{said}"
    );
}

#[tokio::test]
async fn a_registry_without_tls_that_is_not_listed_is_named_so() {
    let registry = ScriptedRegistry::holding(Image::hello()).await;
    let failure = strict_client()
        .resolve(&registry.image("team/hello:v1"), &[])
        .await
        .unwrap_err();
    assert_eq!(failure.reason(), Reason::RegistryUnavailable);
    assert!(failure.to_string().contains("TLS"), "{failure}");
    assert!(registry.seen().is_empty());
}

#[tokio::test]
async fn an_answer_that_no_registry_gives_is_invalid() {
    for code in [
        StatusCode::IM_A_TEAPOT,
        StatusCode::NO_CONTENT,
        StatusCode::BAD_REQUEST,
    ] {
        let registry = ScriptedRegistry::start(move |_| status(code)).await;
        let failure = client()
            .resolve(&registry.image("a"), &[])
            .await
            .unwrap_err();
        assert_eq!(failure.reason(), Reason::RegistryInvalid, "{failure}");
        assert!(failure.to_string().contains(code.as_str()), "{failure}");
    }
}
