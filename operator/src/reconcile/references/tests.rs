use serde_json::json;

use super::*;

fn function(uid: &str, spec: serde_json::Value) -> WasmFunction {
    let mut spec = spec;
    spec["image"] = json!("r/x:1");
    serde_json::from_value(json!({
        "apiVersion": "wasmfn.dev/v1alpha1",
        "kind": "WasmFunction",
        "metadata": { "name": uid, "namespace": "a", "uid": uid },
        "spec": spec,
    }))
    .unwrap()
}

fn naming(uid: &str, names: std::ops::Range<usize>) -> WasmFunction {
    let env: Vec<_> = names
        .map(|number| {
            json!({ "name": format!("E{number}"), "valueFrom": {
                "secretKeyRef": { "name": format!("s{number}"), "key": "k" } } })
        })
        .collect();
    function(uid, json!({ "env": env }))
}

#[test]
fn finds_all_that_a_function_names() {
    let references = References::of(
        &function(
            "a",
            json!({
                "imagePullSecrets": [{ "name": "pull" }],
                "env": [
                    { "name": "PLAIN", "value": "1" },
                    { "name": "S", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
                ],
                "config": { "c": { "valueFrom": { "configMapKeyRef": { "name": "m", "key": "k" } } } },
            }),
        ),
        &StoreOffers::new(),
    );
    let pairs = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(name, key)| ((*name).to_owned(), (*key).to_owned()))
            .collect()
    };
    assert_eq!(
        references,
        References {
            secrets: pairs(&[("pull", ".dockerconfigjson"), ("s", "k")]),
            config_maps: pairs(&[("m", "k")]),
        }
    );
    assert_eq!(references.names().len(), 3);
    assert_ne!(references.digest(), References::default().digest());
}

#[test]
fn a_path_that_no_volume_takes_is_a_problem() {
    for (name, key, fine) in [
        ("s", "k", true),
        ("a.b-c", ".dockerconfigjson", true),
        ("s", "..", false),
        ("s", ".", false),
        ("s", "..data", false),
        ("a/b", "k", false),
        ("..", "k", false),
        ("S", "k", false),
        ("-a", "k", false),
    ] {
        let references = References {
            secrets: [(name.to_owned(), key.to_owned())].into(),
            ..References::default()
        };
        assert_eq!(problem(&references).is_none(), fine, "{name} {key}");
    }
}

#[test]
fn those_who_come_later_are_left_out_of_a_full_volume() {
    let functions = [
        naming("old", 0..100),
        naming("full", 100..200),
        naming("late", 200..201),
        naming("sharing", 5..7),
    ];
    let gathered = gather(&functions, &StoreOffers::new());
    assert_eq!(gathered.references.names().len(), MOST_NAMES);
    assert_eq!(gathered.left_out, ["late".to_owned()].into());
}

#[test]
fn a_changed_set_rolls_after_ten_seconds_and_one_roll_at_a_time() {
    let start = Instant::now();
    let roll = |live, rolling| Roll {
        live,
        wanted: "b",
        differs_since: start,
        rolling,
    };
    let early = start + Duration::from_secs(3);
    let late = start + GATHER;
    assert_eq!(pace(roll(None, false), start), Pace::Now, "the first time");
    assert_eq!(
        pace(roll(Some("b"), true), start),
        Pace::Now,
        "the same set"
    );
    assert_eq!(pace(roll(Some("a"), false), early), Pace::Until(late));
    assert_eq!(pace(roll(Some("a"), false), late), Pace::Now);
    assert_eq!(
        pace(roll(Some("a"), true), late),
        Pace::Until(late + GATHER)
    );
}

#[test]
fn a_stores_credentials_come_to_those_who_name_it() {
    let server = |secret: Option<&str>| json!({ "kind": "Redis", "url": "redis://valkey", "secret": secret });
    let offers = json!({ "open": server(None), "closed": server(Some("valkey")) });
    let offers: StoreOffers = serde_json::from_value(offers).unwrap();
    let of = |stores: &[&str]| References::of(&function("a", json!({ "stores": stores })), &offers);
    assert_eq!(of(&["open", "unknown"]), References::default());
    let fields = ["password", "username"].map(|field| ("valkey".to_owned(), field.to_owned()));
    assert_eq!(of(&["closed"]).secrets, BTreeSet::from(fields));
}
