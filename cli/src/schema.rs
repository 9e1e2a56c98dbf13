//! Checks a document against the schema of the custom resource, as the API server would: fields that
//! there are not, and values out of bounds. The rules that the schema holds in CEL come later.

use regex::Regex;
use serde_json::Value;

/// A field that is not as it must be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// Where it is, such as `spec.limits.timeoutSeconds`.
    pub field: String,
    /// What is wrong with it, beginning with a verb.
    pub problem: String,
}

/// The first fault of `value` by `schema`, an `OpenAPI` v3 schema of Kubernetes.
#[must_use]
pub fn first_fault(value: &Value, schema: &Value) -> Option<Fault> {
    fault_in(value, schema, "")
}

fn fault_in(value: &Value, schema: &Value, path: &str) -> Option<Fault> {
    let fault = |problem: String| {
        Some(Fault {
            field: path.to_owned(),
            problem,
        })
    };
    if value.is_null() && schema["nullable"] == true {
        return None;
    }
    if let Some(expected) = schema["type"].as_str()
        && !has_type(value, expected)
    {
        return fault(format!("must be {}", with_article(expected)));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let words: Vec<String> = allowed.iter().map(shown).collect();
        return fault(format!("must be one of {}", words.join(", ")));
    }
    if let Some(number) = value.as_f64() {
        for (bound, is_kept, word) in [
            (
                &schema["minimum"],
                number >= schema["minimum"].as_f64().unwrap_or(f64::MIN),
                "at least",
            ),
            (
                &schema["maximum"],
                number <= schema["maximum"].as_f64().unwrap_or(f64::MAX),
                "at most",
            ),
        ] {
            if !is_kept {
                return fault(format!("must be {word} {bound}"));
            }
        }
    }
    if let Some(problem) = count_problem(value, schema) {
        return fault(problem);
    }
    match value {
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            fault_in(item, &schema["items"], &format!("{path}[{index}]"))
        }),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(name, field)| fault_in_field(name, field, schema, path)),
        _ => None,
    }
}

/// What is wrong with the length of a text or list, the number of fields, or the form of a text.
fn count_problem(value: &Value, schema: &Value) -> Option<String> {
    let (count, least, most, what) = match value {
        Value::String(text) => (text.chars().count(), "minLength", "maxLength", "characters"),
        Value::Array(items) => (items.len(), "minItems", "maxItems", "entries"),
        Value::Object(fields) => (fields.len(), "minProperties", "maxProperties", "fields"),
        _ => return None,
    };
    let bound = |name: &str| schema[name].as_u64();
    if let Some(least) = bound(least).filter(|least| (count as u64) < *least) {
        return Some(format!("must have at least {least} {what}"));
    }
    if let Some(most) = bound(most).filter(|most| count as u64 > *most) {
        return Some(format!("must have at most {most} {what}"));
    }
    let pattern = schema["pattern"].as_str()?;
    // One that cannot be read is for the API server.
    let is_other =
        Regex::new(pattern).is_ok_and(|regex| !regex.is_match(value.as_str().unwrap_or_default()));
    is_other.then(|| format!("must match {pattern}"))
}

fn fault_in_field(name: &str, value: &Value, schema: &Value, path: &str) -> Option<Fault> {
    let field = if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    };
    if let Some(known) = schema["properties"].get(name) {
        return fault_in(value, known, &field);
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return None;
    }
    match (
        &schema["additionalProperties"],
        schema["properties"].as_object(),
    ) {
        (Value::Object(_), _) => fault_in(value, &schema["additionalProperties"], &field),
        (Value::Bool(true), _) | (_, None) => None,
        (_, Some(known)) => {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            let problem = format!("is unknown; there are: {}", names.join(", "));
            Some(Fault { field, problem })
        }
    }
}

fn has_type(value: &Value, expected: &str) -> bool {
    match expected {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    }
}

fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {kind}")
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "seconds": { "type": "integer", "minimum": 1, "maximum": 300 },
                "kind": { "type": "string", "enum": ["Shared", "Dedicated"] },
                "hosts": { "type": "array", "items": { "type": "string" } },
                "config": {
                    "type": "object",
                    "additionalProperties": { "type": "object", "properties": { "value": { "type": "string" } } },
                },
                "maybe": { "type": "string", "nullable": true },
                "name": { "type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$" },
                "few": { "type": "array", "maxItems": 1, "items": { "type": "string" } },
            },
        })
    }

    #[test]
    fn what_fits_has_no_fault() {
        let value = json!({
            "seconds": 300, "kind": "Shared", "hosts": ["a"], "maybe": null,
            "config": { "any": { "value": "x" } },
        });
        assert_eq!(first_fault(&value, &schema()), None);
    }

    #[test]
    fn faults_are_named_by_their_field() {
        let table = [
            (
                json!({ "second": 1 }),
                "second",
                "is unknown; there are: config, few, hosts",
            ),
            (json!({ "seconds": 0 }), "seconds", "must be at least 1"),
            (json!({ "seconds": 301 }), "seconds", "must be at most 300"),
            (json!({ "seconds": "30" }), "seconds", "must be an integer"),
            (
                json!({ "kind": "shared" }),
                "kind",
                "must be one of Shared, Dedicated",
            ),
            (json!({ "hosts": ["a", 1] }), "hosts[1]", "must be a string"),
            (
                json!({ "config": { "a": { "text": "" } } }),
                "config.a.text",
                "is unknown",
            ),
            (
                json!({ "name": "a" }),
                "name",
                "must have at least 2 characters",
            ),
            (
                json!({ "name": "abcde" }),
                "name",
                "must have at most 4 characters",
            ),
            (json!({ "name": "a-b" }), "name", "must match ^[a-z]+$"),
            (
                json!({ "few": ["a", "b"] }),
                "few",
                "must have at most 1 entries",
            ),
            (json!(3), "", "must be an object"),
        ];
        for (value, field, problem) in table {
            let fault = first_fault(&value, &schema()).expect("there is a fault");
            assert_eq!(fault.field, field);
            assert!(fault.problem.starts_with(problem), "{}", fault.problem);
        }
    }
}
