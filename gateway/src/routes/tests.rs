use serde_json::json;

use super::*;
use crate::counts::{Counted, Stage};

fn rules() -> Arc<HostRules> {
    Arc::new(HostRules {
        domain: "localhost".into(),
        cluster_domain: "cluster.local".into(),
        granted_suffixes: [("shop".to_owned(), vec!["shop.example".to_owned()])].into(),
    })
}

fn object(name: &str, uid: &str, more: &serde_json::Value) -> Arc<WasmFunction> {
    let mut spec = json!({"image": "r/x:1"});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let mut object = WasmFunction::new(name, serde_json::from_value(spec).unwrap());
    object.metadata.namespace = Some("shop".into());
    object.metadata.uid = Some(uid.into());
    Arc::new(object)
}

fn routes(objects: &[Arc<WasmFunction>]) -> Routes {
    Routes::empty(rules()).next(objects, &Crossings::default())
}

#[test]
fn each_entrance_has_its_hosts() {
    let routes = routes(&[
        object(
            "cart",
            "1",
            &json!({"route": {"hosts": ["www.shop.example"]}}),
        ),
        object("inner", "2", &json!({"route": {"visibility": "Cluster"}})),
    ]);
    let cases = [
        ("cart.shop.localhost", Some("cart"), Some("cart")),
        ("www.shop.example", Some("cart"), Some("cart")),
        ("cart.shop.svc.cluster.local", None, Some("cart")),
        ("cart.shop.svc", None, Some("cart")),
        ("cart.shop", None, Some("cart")),
        ("inner.shop.localhost", None, Some("inner")),
        ("inner.shop.svc", None, Some("inner")),
        ("none.shop.svc", None, None),
        ("none.shop.localhost", None, None),
    ];
    for (host, public, cluster) in cases {
        for (entrance, expected) in [(Entrance::Public, public), (Entrance::Cluster, cluster)] {
            let found = routes.find(entrance, host, "/");
            let name = found.map(|route| route.function.id.name.as_str());
            assert_eq!(name, expected, "{entrance:?} {host}");
        }
    }
}

#[test]
fn what_is_new_or_gone_is_told_and_what_is_not_is_not() {
    let with = |name: &str, uid: &str, generation| {
        let mut object = WasmFunction::clone(&object(name, uid, &json!({})));
        object.metadata.generation = Some(generation);
        Arc::new(object)
    };
    let before = routes(&[
        with("same", "1", 1),
        with("changed", "2", 1),
        with("anew", "3", 1),
        with("gone", "4", 1),
    ]);
    let crossings = Crossings::default();
    let after = before.next(
        &[
            with("same", "1", 1),
            with("changed", "2", 2),
            with("anew", "5", 1),
            with("new", "6", 1),
        ],
        &crossings,
    );
    let mut news: Vec<_> = after
        .news_since(&before)
        .map(|(id, generation)| (id.uid.as_str(), generation))
        .collect();
    news.sort_unstable();
    assert_eq!(
        news,
        [("2", Some(2)), ("4", None), ("5", Some(1)), ("6", Some(1))]
    );
}

#[test]
fn a_function_is_the_same_through_changes_but_not_when_made_anew() {
    let crossings = Crossings::default();
    let first = Routes::empty(rules()).next(&[object("cart", "1", &json!({}))], &crossings);
    let second = first.next(
        &[object("cart", "1", &json!({"suspend": true}))],
        &crossings,
    );
    let third = second.next(&[object("cart", "2", &json!({}))], &crossings);
    let of = |routes: &Routes| {
        let found = routes.find(Entrance::Cluster, "cart.shop", "/");
        found.unwrap().clone()
    };
    assert!(Arc::ptr_eq(&of(&first).function, &of(&second).function));
    assert!(!Arc::ptr_eq(&of(&second).function, &of(&third).function));
    assert!(second.wakes_waiters(&first), "it was suspended");
    assert!(third.wakes_waiters(&second), "it was made anew");
    assert!(
        third.of(&of(&second).function).is_none(),
        "that one is gone"
    );
    let same = third.next(&[object("cart", "2", &json!({}))], &crossings);
    assert!(!same.wakes_waiters(&third));
}

#[test]
fn what_is_gone_is_remembered_while_it_holds_requests() {
    let crossings = Crossings::default();
    let first = Routes::empty(rules()).next(&[object("cart", "1", &json!({}))], &crossings);
    let function = first.functions().next().unwrap().clone();
    let counted = Counted::new(function.counts.clone(), Stage::InFlight);
    let second = first.next(&[], &crossings);
    assert_eq!(second.functions().count(), 1);
    assert!(second.find(Entrance::Cluster, "cart.shop", "/").is_none());
    drop(counted);
    assert_eq!(second.next(&[], &crossings).functions().count(), 0);
}

#[test]
fn requests_go_to_the_runtime_that_serves() {
    let mut moved = object("cart", "1", &json!({"placement": "Dedicated"}));
    let before = routes(&[moved.clone()]);
    let runtime = |routes: &Routes| {
        let found = routes.find(Entrance::Cluster, "cart.shop", "/");
        found.unwrap().runtime.name.clone()
    };
    assert_eq!(runtime(&before), "wasmfn-fn-cart");
    Arc::make_mut(&mut moved).status = Some(
        serde_json::from_value(json!({
            "serving": {"digest": "sha256:0", "generation": 1, "runtime": "wasmfn-shared"}
        }))
        .unwrap(),
    );
    let after = before.next(&[moved], &Crossings::default());
    assert_eq!(runtime(&after), "wasmfn-shared");
    assert!(after.wakes_waiters(&before));
}
