use super::*;

fn file(spec: &str) -> String {
    format!(
        "apiVersion: wasmfn.dev/v1alpha1\nkind: WasmFunction\nmetadata: {{ name: hello, labels: {{ a: b }} }}\nspec: {spec}\n"
    )
}

fn parsed(text: &str) -> Result<WasmFunction, String> {
    parse(Path::new("function.yaml"), text).map_err(|error| error.to_string())
}

fn completed(spec: &str, env: &[(&str, &str)]) -> Result<WasmFunction, String> {
    let env: Vec<(String, String)> = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    complete(parsed(&file(spec))?, &env, &[], Path::new("function.yaml"))
        .map_err(|error| error.to_string())
}

#[test]
fn a_function_is_read_with_its_defaults() {
    let function = parsed(&file(
        "{ image: r.example/a, limits: { timeoutSeconds: 7 } }",
    ))
    .unwrap();
    assert_eq!(function.spec.limits.timeout_seconds, 7);
    assert_eq!(function.spec.limits.cpu_milliseconds_per_request, 10_000);
    let without_image = parsed(&file("{ limits: {} }")).unwrap();
    assert_eq!(without_image.spec.image, LOCAL_IMAGE);
}

#[test]
fn the_example_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/hello/function.yaml");
    let function = read(&path).unwrap();
    assert!(complete(function, &[], &[], &path).is_ok());
}

#[test]
fn faults_name_their_field() {
    let table = [
        (
            "{ limits: { timeoutSecond: 7 } }",
            "`spec.limits.timeoutSecond` is unknown",
        ),
        (
            "{ limits: { timeoutSeconds: soon } }",
            "`spec.limits.timeoutSeconds` must be an integer",
        ),
        (
            "{ limits: { timeoutSeconds: 0 } }",
            "`spec.limits.timeoutSeconds` must be at least 1",
        ),
        (
            "{ env: [{ name: A, valu: x }] }",
            "`spec.env[0].valu` is unknown",
        ),
        ("{ placement: shared }", "`spec.placement` must be one of"),
        (
            "{ outbound: { hosts: ['https://ok.example', 'https://api.example/v1'] } }",
            "`spec.outbound.hosts[1]` must match",
        ),
        (
            "{ env: [{ name: 1st, value: x }] }",
            "`spec.env[0].name` must match",
        ),
        ("3", "`spec` must be an object"),
    ];
    for (spec, expected) in table {
        let error = parsed(&file(spec)).expect_err(spec);
        assert!(error.contains(expected), "{spec}: {error}");
        assert!(error.starts_with("function.yaml"), "{error}");
    }
}

#[test]
fn what_is_no_function_is_said() {
    let two = format!("{}---\n{}", file("{}"), file("{}"));
    let table = [
        ("", "holds nothing"),
        ("---\n", "holds nothing"),
        ("apiVersion: v1\nkind: Pod\n", "`kind: Pod`"),
        (two.as_str(), "2 documents"),
        ("a: [", "no valid YAML"),
    ];
    for (text, expected) in table {
        let error = parsed(text).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn values_of_a_cluster_are_asked_for() {
    let kept = "{ env: [{ name: TOKEN, valueFrom: { secretKeyRef: { name: s, key: k } } }] }";
    let error = completed(kept, &[]).unwrap_err();
    assert!(error.contains("--env TOKEN=VALUE"), "{error}");
    let function = completed(kept, &[("TOKEN", "x")]).unwrap();
    assert_eq!(function.spec.env[0].value.as_deref(), Some("x"));
    let kept = "{ config: { color: { valueFrom: { configMapKeyRef: { name: m, key: k } } } } }";
    let error = completed(kept, &[]).unwrap_err();
    assert!(error.contains("--config color=VALUE"), "{error}");
}

#[test]
fn secrets_for_the_image_are_a_clusters() {
    let function = completed("{ imagePullSecrets: [{ name: regcred }] }", &[]).unwrap();
    assert_eq!(function.spec.image_pull_secrets, []);
}

#[test]
fn the_rules_of_the_api_hold() {
    let error = completed("{ replicas: 2 }", &[]).unwrap_err();
    assert!(error.contains("`replicas` must be unset"), "{error}");
    assert!(completed("{ limits: { timeoutSeconds: 301 } }", &[]).is_err());
}

#[test]
fn a_function_without_a_file_keeps_the_rules() {
    let path = Path::new("-");
    assert!(complete(default_function("hello"), &[], &[], path).is_ok());
}
