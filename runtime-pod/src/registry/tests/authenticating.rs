//! Logins, tokens, and who never gets to see them.

use axum::response::Response;
use http::StatusCode;
use serde_json::json;
use wasmfn_crds::Reason;

use super::scripted::{Image, ScriptedRegistry, Seen, error, ok, status, with_header};
use super::*;

/// `ann:right` in base64.
const ANN: &str = "Basic YW5uOnJpZ2h0";

fn unauthorized(challenge: &str) -> Response {
    let refused = error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
    with_header(refused, "www-authenticate", challenge)
}

fn basic(image: &Image, seen: &Seen) -> Response {
    if seen.authorization.as_deref() == Some(ANN) {
        return image.answer(seen);
    }
    unauthorized("Basic realm=\"registry\"")
}

async fn basic_registry() -> ScriptedRegistry {
    let image = Image::hello();
    ScriptedRegistry::start(move |seen| basic(&image, seen)).await
}

#[tokio::test]
async fn a_password_is_sent_only_when_asked_for_and_then_remembered() {
    let registry = basic_registry().await;
    let logins = [registry.login("ann", "right")];
    let (reference, digest) = (registry.image("team/hello:v1"), Image::hello().digest());
    let client = client();
    assert_eq!(
        client.resolve(&reference, &logins).await,
        Ok(digest.clone())
    );
    assert!(
        client
            .pull(&reference, &digest, &logins, MAX_BYTES)
            .await
            .is_ok()
    );
    let seen = registry.seen();
    assert_eq!(seen[0].authorization, None);
    assert_eq!(seen.len(), 4, "one refusal, then head, manifest and layer");
}

#[tokio::test]
async fn a_wrong_password_is_said_with_its_user() {
    let registry = basic_registry().await;
    let logins = [registry.login("bob", "hunter2")];
    let failure = client()
        .resolve(&registry.image("team/hello:v1"), &logins)
        .await
        .unwrap_err();
    assert_eq!(failure.reason(), Reason::RegistryDenied);
    let said = failure.to_string();
    assert!(
        said.contains("\"bob\"") && said.contains("401 UNAUTHORIZED"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn no_login_is_said_with_what_to_do() {
    let registry = basic_registry().await;
    let failure = client()
        .resolve(&registry.image("team/hello:v1"), &[])
        .await
        .unwrap_err();
    assert_eq!(failure.reason(), Reason::RegistryDenied);
    assert!(
        failure.to_string().contains("imagePullSecrets"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_changed_password_counts_at_once_and_nobody_elses_does() {
    let registry = basic_registry().await;
    let reference = registry.image("team/hello:v1");
    let (right, wrong) = (registry.login("ann", "right"), registry.login("ann", "old"));
    let client = client();
    assert!(
        client
            .resolve(&reference, std::slice::from_ref(&wrong))
            .await
            .is_err()
    );
    assert!(
        client
            .resolve(&reference, std::slice::from_ref(&right))
            .await
            .is_ok()
    );
    assert!(
        client
            .resolve(&reference, std::slice::from_ref(&wrong))
            .await
            .is_err()
    );
    assert!(client.resolve(&reference, &[]).await.is_err());
    assert!(client.resolve(&reference, &[wrong, right]).await.is_ok());
}

/// A registry that wants a token, and the server that gives it.
async fn with_token_server(
    give: impl Fn(&Seen) -> Response + Clone + Send + Sync + 'static,
) -> (ScriptedRegistry, ScriptedRegistry) {
    let tokens = ScriptedRegistry::start(give).await;
    let challenge = format!(
        "Bearer realm=\"http://{}/token\",service=\"the registry\",scope=\"repository:team/hello:pull\"",
        tokens.authority
    );
    let image = Image::hello();
    let registry = ScriptedRegistry::start(move |seen| {
        if seen.authorization.as_deref() == Some("Bearer good") {
            return image.answer(seen);
        }
        unauthorized(&challenge)
    })
    .await;
    (registry, tokens)
}

#[tokio::test]
async fn a_token_is_fetched_once_and_used_for_the_repository() {
    let (registry, tokens) =
        with_token_server(|_| ok(json!({ "token": "good", "expires_in": 300 }).to_string())).await;
    let logins = [registry.login("ann", "right")];
    let (reference, digest) = (registry.image("team/hello:v1"), Image::hello().digest());
    let client = client();
    assert_eq!(
        client.resolve(&reference, &logins).await,
        Ok(digest.clone())
    );
    assert!(
        client
            .pull(&reference, &digest, &logins, MAX_BYTES)
            .await
            .is_ok()
    );
    let asked = tokens.seen();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].authorization.as_deref(), Some(ANN));
    assert_eq!(
        asked[0].target,
        "/token?service=the+registry&scope=repository%3Ateam%2Fhello%3Apull"
    );
    let basic = |seen: &Seen| seen.authorization.as_deref() == Some(ANN);
    assert!(
        !registry.seen().iter().any(basic),
        "the registry never sees the password"
    );
}

#[tokio::test]
async fn public_images_get_a_token_without_a_login() {
    let (registry, tokens) =
        with_token_server(|_| ok(json!({ "access_token": "good" }).to_string())).await;
    let found = client()
        .resolve(&registry.image("team/hello:v1"), &[])
        .await;
    assert_eq!(found, Ok(Image::hello().digest()));
    assert_eq!(tokens.seen()[0].authorization, None);
}

#[tokio::test]
async fn an_identity_token_is_traded_for_a_token() {
    let (registry, tokens) =
        with_token_server(|_| ok(json!({ "access_token": "good" }).to_string())).await;
    let config = json!({
        "auths": { (registry.authority.clone()): { "identitytoken": "refresh&me" } }
    });
    let logins = [Credentials::from_docker_config(config.to_string().as_bytes()).unwrap()];
    let found = client()
        .resolve(&registry.image("team/hello:v1"), &logins)
        .await;
    assert_eq!(found, Ok(Image::hello().digest()));
    let asked = &tokens.seen()[0];
    assert_eq!(asked.method, Method::POST);
    assert_eq!(asked.target, "/token");
    let body = String::from_utf8(asked.body.to_vec()).unwrap();
    assert!(body.contains("grant_type=refresh_token"), "{body}");
    assert!(body.contains("refresh_token=refresh%26me"), "{body}");
}

#[tokio::test]
async fn a_token_that_ended_early_is_fetched_anew() {
    let tokens = ScriptedRegistry::start(|seen| {
        ok(json!({ "token": format!("t{}", seen.before), "expires_in": 300 }).to_string())
    })
    .await;
    let challenge = format!("Bearer realm=\"http://{}/token\"", tokens.authority);
    let image = Image::hello();
    let registry = ScriptedRegistry::start(move |seen| {
        let good = if seen.before < 2 {
            "Bearer t0"
        } else {
            "Bearer t1"
        };
        if seen.authorization.as_deref() == Some(good) {
            return image.answer(seen);
        }
        unauthorized(&challenge)
    })
    .await;
    let reference = registry.image("team/hello:v1");
    let client = client();
    assert!(client.resolve(&reference, &[]).await.is_ok());
    assert!(client.resolve(&reference, &[]).await.is_ok());
    assert_eq!(tokens.seen().len(), 2);
}

#[tokio::test]
async fn a_token_server_that_refuses_or_talks_nonsense_is_named() {
    type Give = fn(&Seen) -> Response;
    let table: [(Give, Reason); 7] = [
        (
            |_| error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
            Reason::RegistryDenied,
        ),
        (|_| status(StatusCode::NOT_FOUND), Reason::RegistryInvalid),
        (|_| ok("<html>internal-detail"), Reason::RegistryInvalid),
        (|_| ok("{}"), Reason::RegistryInvalid),
        (
            |_| ok(json!({ "token": "a\nb" }).to_string()),
            Reason::RegistryInvalid,
        ),
        (|_| ok(vec![b' '; 200 << 10]), Reason::RegistryInvalid),
        (
            |_| status(StatusCode::SERVICE_UNAVAILABLE),
            Reason::RegistryUnavailable,
        ),
    ];
    for (give, reason) in table {
        let (registry, tokens) = with_token_server(give).await;
        let logins = [registry.login("ann", "right")];
        let failure = client()
            .resolve(&registry.image("team/hello:v1"), &logins)
            .await
            .unwrap_err();
        assert_eq!(failure.reason(), reason, "{failure}");
        let said = failure.to_string();
        assert!(said.contains(&tokens.authority), "{said}");
        assert!(!said.contains("internal-detail"), "{said}");
    }
}

#[tokio::test]
async fn no_password_goes_to_a_token_server_without_tls() {
    let challenge = "Bearer realm=\"http://tokens.invalid/token\"";
    let registry = ScriptedRegistry::start(move |_| unauthorized(challenge)).await;
    let logins = [registry.login("ann", "right")];
    let failure = client()
        .resolve(&registry.image("team/hello:v1"), &logins)
        .await
        .unwrap_err();
    assert_eq!(failure.reason(), Reason::RegistryInvalid);
    assert!(failure.to_string().contains("token server"), "{failure}");
}

#[tokio::test]
async fn a_redirect_to_another_host_takes_no_login_along() {
    let image = Image::hello();
    let module = image.module.clone();
    let storage = ScriptedRegistry::start(move |_| ok(module.clone())).await;
    let (location, served) = (
        format!("http://{}/blob?sig=x", storage.authority),
        image.clone(),
    );
    let registry = ScriptedRegistry::start(move |seen| {
        if seen.authorization.is_some() && seen.target == served.blob_path() {
            return with_header(
                status(StatusCode::TEMPORARY_REDIRECT),
                "location",
                &location,
            );
        }
        basic(&served, seen)
    })
    .await;
    let logins = [registry.login("ann", "right")];
    let reference = registry.image("team/hello:v1");
    let pulled = client()
        .pull(&reference, &image.digest(), &logins, MAX_BYTES)
        .await;
    assert_eq!(pulled, Ok(image.module));
    let seen = storage.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].target, "/blob?sig=x");
    assert_eq!(seen[0].authorization, None);
}

#[tokio::test]
async fn a_challenge_of_another_host_is_not_answered() {
    let storage = ScriptedRegistry::start(|_| unauthorized("Basic realm=\"storage\"")).await;
    let image = Image::hello();
    let (location, served) = (format!("http://{}/blob", storage.authority), image.clone());
    let registry = ScriptedRegistry::start(move |seen| {
        if seen.target == served.blob_path() {
            return with_header(status(StatusCode::FOUND), "location", &location);
        }
        served.answer(seen)
    })
    .await;
    let logins = [registry.login("ann", "right")];
    let reference = registry.image("team/hello:v1");
    let failure = client()
        .pull(&reference, &image.digest(), &logins, MAX_BYTES)
        .await
        .unwrap_err();
    assert_eq!(failure.reason(), Reason::RegistryDenied);
    assert!(
        failure.to_string().contains(&storage.authority),
        "{failure}"
    );
    assert_eq!(storage.seen().len(), 1);
    assert_eq!(storage.seen()[0].authorization, None);
}

#[tokio::test]
async fn a_redirect_to_plain_http_is_not_followed() {
    let image = Image::hello();
    let served = image.clone();
    let registry = ScriptedRegistry::start(move |seen| {
        if seen.target == served.blob_path() {
            let moved = status(StatusCode::FOUND);
            return with_header(moved, "location", "http://169.254.169.254/latest/meta-data");
        }
        served.answer(seen)
    })
    .await;
    let reference = registry.image("team/hello:v1");
    let failure = client()
        .pull(&reference, &image.digest(), &[], MAX_BYTES)
        .await
        .unwrap_err();
    assert_eq!(failure.reason(), Reason::RegistryInvalid);
    assert!(!failure.to_string().contains("169.254"), "{failure}");
}
