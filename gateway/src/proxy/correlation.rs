//! By what a request is found again in logs and traces: `x-request-id` and `traceparent`.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header with a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// W3C Trace Context: where the request stands in its trace.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// The same, for those that keep more; of no use without the other.
const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");

/// Longest id that is kept, in bytes.
const ID_BYTES: usize = 128;
/// Bytes of a `traceparent` of version 00 (W3C Trace Context, 3.2.2); later ones may go on.
const TRACE_PARENT_BYTES: usize = 55;
/// In a `traceparent`, nobody has recorded anything of the request.
const NOT_SAMPLED: &str = "00";

/// Keeps what identifies the request, or makes it with random numbers where it is missing or not
/// valid. Returns the request's id.
pub fn set(headers: &mut HeaderMap, mut random: impl FnMut() -> u128) -> HeaderValue {
    if !only(headers, &TRACE_PARENT).is_some_and(is_trace_parent) {
        headers.remove(TRACE_STATE);
        let parent = trace_parent(random(), random());
        headers.insert(TRACE_PARENT, parent);
    }
    if let Some(id) = only(headers, &REQUEST_ID)
        && is_id(id)
    {
        return id.clone();
    }
    let id = HeaderValue::try_from(format!("{:032x}", random())).expect("digits are valid");
    headers.insert(REQUEST_ID, id.clone());
    id
}

/// The header's value, if there is one and no more.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether an id can stand in logs and URLs as it is.
fn is_id(value: &HeaderValue) -> bool {
    (1..=ID_BYTES).contains(&value.len())
        && value
            .as_bytes()
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte))
}

fn is_trace_parent(value: &HeaderValue) -> bool {
    let Ok(value) = value.to_str() else {
        return false;
    };
    let Some((known, more)) = value.split_at_checked(TRACE_PARENT_BYTES) else {
        return false;
    };
    let fields: Vec<&str> = known.split('-').collect();
    let [version, trace, parent, flags] = fields[..] else {
        return false;
    };
    let goes_on = more.starts_with('-') && version != "00";
    is_hex(version, 2)
        && version != "ff"
        && is_hex(trace, 32)
        && is_hex(parent, 16)
        && is_hex(flags, 2)
        && (more.is_empty() || goes_on)
        && [trace, parent]
            .iter()
            .all(|id| id.bytes().any(|digit| digit != b'0'))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn trace_parent(trace: u128, parent: u128) -> HeaderValue {
    // Neither may be zero.
    let (trace, parent) = (trace.max(1), ((parent >> u64::BITS) as u64).max(1));
    HeaderValue::try_from(format!("00-{trace:032x}-{parent:016x}-{NOT_SAMPLED}"))
        .expect("digits are valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const MADE_ID: &str = "00000000000000000000000000000007";
    const MADE_PARENT: &str = "00-00000000000000000000000000000007-0000000000000001-00";

    fn sent(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers: HeaderMap = pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                )
            })
            .collect();
        let id = set(&mut headers, || 7);
        assert_eq!(
            headers.get_all(REQUEST_ID).iter().collect::<Vec<_>>(),
            [&id]
        );
        headers
    }

    #[test]
    fn an_id_is_kept_if_it_is_one() {
        let longest = "a".repeat(128);
        for id in ["1", "b7Zx-_.:/+=", &longest] {
            assert_eq!(sent(&[("x-request-id", id)])["x-request-id"], *id);
        }
        let too_long = "a".repeat(129);
        for id in ["", "a b", "a\"b", "a,b", "ä", "${jndi:ldap}", &too_long] {
            assert_eq!(sent(&[("x-request-id", id)])["x-request-id"], MADE_ID);
        }
        let twice = [("x-request-id", "a"), ("x-request-id", "b")];
        assert_eq!(sent(&twice)["x-request-id"], MADE_ID);
        assert_eq!(sent(&[])["x-request-id"], MADE_ID);
    }

    #[test]
    fn a_trace_goes_on_if_it_is_one() {
        let later = format!("{}-more", PARENT.replacen("00", "01", 1));
        for parent in [PARENT, &later] {
            let sent = sent(&[("traceparent", parent), ("tracestate", "a=b")]);
            assert_eq!(sent["traceparent"], *parent);
            assert_eq!(sent["tracestate"], "a=b");
        }
    }

    #[test]
    fn what_is_no_trace_begins_a_new_one() {
        let malformed = [
            "",
            "00",
            &PARENT[..54],
            &PARENT.replacen("00", "ff", 1),
            &PARENT.to_uppercase(),
            &PARENT.replace('-', "_"),
            &format!("{PARENT}-more"),
            &format!("{PARENT}0"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47361-0f067aa0ba902b7-01",
        ];
        for parent in malformed {
            let sent = sent(&[("traceparent", parent), ("tracestate", "a=b")]);
            assert_eq!(sent["traceparent"], MADE_PARENT, "{parent}");
            assert!(!sent.contains_key("tracestate"), "{parent}");
        }
        let twice = sent(&[("traceparent", PARENT), ("traceparent", PARENT)]);
        assert_eq!(twice.get_all("traceparent").iter().count(), 1);
        assert_eq!(twice["traceparent"], MADE_PARENT);
        assert_eq!(sent(&[("tracestate", "a=b")])["traceparent"], MADE_PARENT);
    }
}
