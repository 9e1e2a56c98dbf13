//! What is logged of the pod, and of its guests.

/// The target of what guests write.
const GUEST: &str = "guest";

/// What to log where `asked` is the variable `RUST_LOG`: who asks for less of the pod itself asks for no less of
/// its guests, whose log is their authors'. A filter that names them counts as it stands.
#[must_use]
pub fn log_filter(asked: Option<&str>) -> String {
    let asked = asked
        .filter(|asked| !asked.is_empty())
        .unwrap_or(wasmfn_api_server::LOG_FILTER);
    let names_guests = asked
        .split(',')
        .any(|directive| directive.split('=').next() == Some(GUEST));
    if names_guests {
        asked.to_owned()
    } else {
        format!("{asked},{GUEST}=info")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_heard_unless_somebody_says_otherwise() {
        let default = wasmfn_api_server::LOG_FILTER;
        for (asked, expected) in [
            (Some("warn"), "warn,guest=info"),
            (Some("off,wasmfn=debug"), "off,wasmfn=debug,guest=info"),
            (Some("info,guest=off"), "info,guest=off"),
            (Some("guestbook=info"), "guestbook=info,guest=info"),
            (None, &format!("{default},guest=info")),
            (Some(""), &format!("{default},guest=info")),
        ] {
            assert_eq!(log_filter(asked), expected, "{asked:?}");
        }
    }
}
