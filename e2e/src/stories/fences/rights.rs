//! What each account may do, against the list in `rights.txt`.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::context::Context;
use crate::settings::SYSTEM_NAMESPACE;

/// One line a right: account, at home or in a namespace with functions, then groups, resources, names
/// and verbs.
const EXPECTED: &str = include_str!("rights.txt");

pub(super) async fn are_those_of_the_list(context: &Context) -> Result<()> {
    let home = context.in_namespace(SYSTEM_NAMESPACE);
    let runtime = format!("{}:wasmfn-runtime", context.namespace);
    let mut lines = Vec::new();
    for (who, account, place) in [
        (
            "operator at home",
            format!("{SYSTEM_NAMESPACE}:wasmfn-operator"),
            &home,
        ),
        (
            "operator elsewhere",
            format!("{SYSTEM_NAMESPACE}:wasmfn-operator"),
            context,
        ),
        (
            "gateway at home",
            format!("{SYSTEM_NAMESPACE}:wasmfn-gateway"),
            &home,
        ),
        (
            "gateway elsewhere",
            format!("{SYSTEM_NAMESPACE}:wasmfn-gateway"),
            context,
        ),
        ("runtime at home", runtime.clone(), context),
        ("runtime elsewhere", runtime, &home),
    ] {
        let account = format!("system:serviceaccount:{account}");
        let rights = rights_of(place, &account).await?;
        lines.extend(rights.into_iter().map(|right| format!("{who}: {right}")));
    }
    let found = lines.join("\n");
    ensure!(
        found.trim() == EXPECTED.trim(),
        "the accounts may:\n{found}"
    );
    Ok(())
}

async fn rights_of(context: &Context, account: &str) -> Result<Vec<String>> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": { "namespace": context.namespace },
    });
    let create = [
        "create",
        "--validate=false",
        "--filename=-",
        "--output=json",
        "--as",
        account,
    ];
    let answer = context
        .kubectl()
        .args(create)
        .input(review.to_string())
        .output()
        .await?;
    let answer: Value = serde_json::from_str(&answer)?;
    let rules = answer["status"]["resourceRules"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut lines: Vec<String> = rules
        .iter()
        .filter(|rule| !is_everybodys(rule))
        .map(line)
        .collect();
    lines.sort();
    lines.dedup();
    Ok(lines)
}

fn line(rule: &Value) -> String {
    let list = |field: &str| {
        let words = rule[field].as_array().into_iter().flatten();
        let mut words: Vec<&str> = words.filter_map(Value::as_str).collect();
        words.sort_unstable();
        words.join(",")
    };
    let names = list("resourceNames");
    let names = if names.is_empty() {
        names
    } else {
        format!(" [{names}]")
    };
    let group = list("apiGroups");
    let group = if group.is_empty() {
        "core".to_owned()
    } else {
        group
    };
    format!("{group} {}{names}: {}", list("resources"), list("verbs"))
}

/// Rights that Kubernetes gives every account: to ask about itself.
fn is_everybodys(rule: &Value) -> bool {
    let groups = rule["apiGroups"].to_string();
    groups.contains("authorization.k8s.io") && rule["resources"].to_string().contains("self")
        || groups.contains("authentication.k8s.io")
}
