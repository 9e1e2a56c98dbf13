use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::spec::WasmFunctionSpec;

fn rules() -> HostRules {
    HostRules {
        domain: "fn.example.com".into(),
        cluster_domain: "cluster.local".into(),
        granted_suffixes: BTreeMap::from([
            ("shop".into(), vec!["shop.example.com".into()]),
            (
                "blog".into(),
                vec!["shop.example.com".into(), "blog.org".into()],
            ),
        ]),
    }
}

fn function(namespace: &str, name: &str, age: i64, hosts: &[&str], paths: &[&str]) -> WasmFunction {
    let spec: WasmFunctionSpec = serde_json::from_value(serde_json::json!({
        "image": "r/x:1",
        "route": { "hosts": hosts, "paths": paths },
    }))
    .unwrap();
    let mut function = WasmFunction::new(name, spec);
    function.metadata.namespace = Some(namespace.into());
    function.metadata.uid = Some(format!("{namespace}-{name}"));
    function.metadata.creation_timestamp =
        Some(Time(jiff::Timestamp::from_second(10_000 - age).unwrap()));
    function
}

fn found(table: &HostTable, host: &str, path: &str) -> Option<String> {
    table.find(host, path).map(|(key, _)| key.to_string())
}

#[test]
fn every_function_owns_its_name_with_every_path() {
    let functions = [function("shop", "cart", 0, &[], &["/cart"])];
    let table = HostTable::build(&rules(), &functions);
    let host = "cart.shop.fn.example.com";
    assert_eq!(found(&table, host, "/x").as_deref(), Some("shop/cart"));
    assert_eq!(found(&table, "other.shop.fn.example.com", "/"), None);
}

#[test]
fn hosts_need_a_granted_suffix() {
    let cases = [
        ("shop", "shop.example.com", true),
        ("shop", "a.b.shop.example.com", true),
        ("shop", "ashop.example.com", false),
        ("shop", "blog.org", false),
        ("none", "shop.example.com", false),
    ];
    for (namespace, host, allowed) in cases {
        let functions = [function(namespace, "f", 0, &[host], &[])];
        let table = HostTable::build(&rules(), &functions);
        assert_eq!(
            found(&table, host, "/").is_some(),
            allowed,
            "{namespace} {host}"
        );
        let key = FunctionKey::of(&functions[0]);
        assert_eq!(
            table.problems(&key).is_empty(),
            allowed,
            "{namespace} {host}"
        );
    }
}

#[test]
fn nobody_claims_under_the_own_domain_even_with_a_grant() {
    let mut rules = rules();
    rules
        .granted_suffixes
        .insert("evil".into(), vec!["example.com".into()]);
    let functions = [function("evil", "f", 0, &["cart.shop.fn.example.com"], &[])];
    let table = HostTable::build(&rules, &functions);
    assert_eq!(found(&table, "cart.shop.fn.example.com", "/"), None);
}

#[test]
fn the_older_function_has_a_contested_host_in_any_order() {
    let old = function("shop", "old", 100, &["www.shop.example.com"], &[]);
    let young = function("blog", "young", 1, &["www.shop.example.com"], &[]);
    for order in [[&old, &young], [&young, &old]] {
        let table = HostTable::build(&rules(), order);
        assert_eq!(
            found(&table, "www.shop.example.com", "/").as_deref(),
            Some("shop/old")
        );
        assert!(table.problems(&FunctionKey::of(&old)).is_empty());
        let problems = table.problems(&FunctionKey::of(&young));
        assert!(
            matches!(problems, [HostProblem::Taken { .. }]),
            "{problems:?}"
        );
    }
}

#[test]
fn equal_age_is_settled_by_uid() {
    let one = function("blog", "a", 5, &["www.shop.example.com"], &[]);
    let two = function("shop", "a", 5, &["www.shop.example.com"], &[]);
    let table = HostTable::build(&rules(), [&two, &one]);
    assert_eq!(
        found(&table, "www.shop.example.com", "/").as_deref(),
        Some("blog/a")
    );
}

#[test]
fn the_longest_prefix_of_whole_segments_wins() {
    let functions = [
        function("shop", "all", 3, &["shop.example.com"], &[]),
        function("shop", "api", 2, &["shop.example.com"], &["/api/"]),
        function("shop", "v2", 1, &["shop.example.com"], &["/api/v2"]),
    ];
    let table = HostTable::build(&rules(), &functions);
    for (path, name) in [
        ("/", "shop/all"),
        ("/apifoo", "shop/all"),
        ("/api", "shop/api"),
        ("/api/x", "shop/api"),
        ("/api/v2/x", "shop/v2"),
    ] {
        assert_eq!(
            found(&table, "shop.example.com", path).as_deref(),
            Some(name),
            "{path}"
        );
    }
}

#[test]
fn internal_names() {
    let rules = rules();
    for host in ["cart.shop", "cart.shop.svc", "cart.shop.svc.cluster.local"] {
        let key = rules.internal(host).expect(host);
        assert_eq!(key.to_string(), "shop/cart", "{host}");
    }
    for host in ["cart", "a.b.c", ".svc", "cart.svc.cluster.local.evil.com"] {
        assert_eq!(rules.internal(host), None, "{host}");
    }
}
