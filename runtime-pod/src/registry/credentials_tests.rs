use super::*;

fn users(json: &str, image: &str) -> Vec<String> {
    let credentials = [Credentials::from_docker_config(json.as_bytes()).unwrap()];
    let reference: Reference = image.parse().unwrap();
    logins_for(&credentials, &reference)
        .into_iter()
        .map(|login| login.user.clone())
        .collect()
}

fn one(key: &str) -> String {
    format!(r#"{{"auths":{{"{key}":{{"username":"u","password":"p"}}}}}}"#)
}

#[test]
fn keys_match_by_host_port_and_path() {
    let table = [
        ("r.example", "r.example/a/b", true),
        ("https://r.example", "r.example/a/b", true),
        ("https://r.example/v2/", "r.example/a/b", true),
        ("R.Example", "r.example/a", true),
        ("r.example:5000", "r.example:5000/a", true),
        ("r.example", "r.example:5000/a", false),
        ("r.example:5000", "r.example/a", false),
        ("r.example/a", "r.example/a/b", true),
        ("r.example/a", "r.example/a", true),
        ("r.example/a", "r.example/ab", false),
        ("r.example/v1x", "r.example/a", false),
        ("*.example", "r.example/a", true),
        ("*.example", "x.r.example/a", false),
        ("r-*.example", "r-eu.example/a", true),
        ("r*u.e*e", "r-eu.example/a", true),
        ("evil.example", "r.example/a", false),
        ("https://index.docker.io/v1/", "hello", true),
        ("docker.io", "team/hello", true),
        ("registry-1.docker.io", "hello", true),
        ("docker.io", "r.example/hello", false),
    ];
    for (key, image, fits) in table {
        assert_eq!(
            !users(&one(key), image).is_empty(),
            fits,
            "{key} for {image}"
        );
    }
}

#[test]
fn the_most_specific_goes_first_and_all_are_tried() {
    let json = r#"{"auths":{
        "*.example":{"username":"wild","password":"p"},
        "r.example":{"username":"host","password":"p"},
        "r.example/team":{"username":"team","password":"p"}}}"#;
    assert_eq!(users(json, "r.example/team/a"), ["team", "host", "wild"]);
    assert_eq!(users(json, "r.example/other"), ["host", "wild"]);
}

#[test]
fn all_forms_of_an_entry_are_read() {
    let encoded = STANDARD.encode("ann:pa:ss");
    let broken = format!("{}\\n{}", &encoded[..6], &encoded[6..]);
    let table = [
        (format!(r#"{{"auth":"{encoded}"}}"#), Some(("ann", "pa:ss"))),
        (format!(r#"{{"auth":"{broken}"}}"#), Some(("ann", "pa:ss"))),
        (
            r#"{"auth":"","username":"ann","password":"x"}"#.to_owned(),
            Some(("ann", "x")),
        ),
        (
            r#"{"username":"ann","password":"x","identitytoken":""}"#.to_owned(),
            Some(("ann", "x")),
        ),
        (r#"{"email":"ann@r.example"}"#.to_owned(), None),
    ];
    for (entry, expected) in table {
        let json =
            format!(r#"{{"auths":{{"r.example":{entry}}},"credHelpers":{{"r.example":"rm"}}}}"#);
        let credentials = Credentials::from_docker_config(json.as_bytes()).unwrap();
        let found = credentials.entries.first().map(|entry| &entry.login);
        let expected = expected.map(|(user, password)| Login {
            user: user.to_owned(),
            proof: Proof::Password(password.to_owned()),
        });
        assert!(found == expected.as_ref(), "{entry}");
    }
}

#[test]
fn identity_tokens_are_read_and_kept_apart() {
    let json = r#"{"auths":{"r.example":{"auth":"MDAwMDo=","identitytoken":"secret"}}}"#;
    let credentials = Credentials::from_docker_config(json.as_bytes()).unwrap();
    let login = &credentials.entries[0].login;
    assert!(login.proof == Proof::IdentityToken("secret".to_owned()));
    let password = Login {
        user: login.user.clone(),
        proof: Proof::Password("secret".to_owned()),
    };
    assert_ne!(login.fingerprint(), password.fingerprint());
}

#[test]
fn errors_and_debug_show_no_contents() {
    let texts = [
        "hunter2",
        r#"{"auths":"hunter2"}"#,
        r#"{"auths":{"r.example":"hunter2"}}"#,
        r#"{"auths":{"r.example":{"auth":"hunter2!"}}}"#,
        r#"{"auths":{"r.example":{"auth":"aHVudGVyMg=="}}}"#,
        r#"{"r.example":{"auth":"hunter2"}}"#,
        "",
    ];
    for text in texts {
        let error = Credentials::from_docker_config(text.as_bytes()).expect_err(text);
        assert_eq!(error.reason(), wasmfn_crds::Reason::RegistryDenied);
        let said = error.to_string();
        assert!(
            !said.contains("hunter2") && !said.contains("aHVu"),
            "{said}"
        );
    }
    let good = Credentials::from_docker_config(
        one("r.example").replace("\"p\"", "\"hunter2\"").as_bytes(),
    );
    assert!(!format!("{good:?}").contains("hunter2"));
}
