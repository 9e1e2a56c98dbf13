//! The line that is printed for each request.

use std::time::Duration;

use wasmfn_runtime::serve::Observed;

/// `METHOD PATH STATUS DURATION`, without anything that a terminal would obey.
#[must_use]
pub fn request_line(request: &Observed) -> String {
    let path: String = request
        .path
        .chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect();
    let broken = if request.is_broken {
        " (broken off)"
    } else {
        ""
    };
    format!(
        "{} {path} {} {}{broken}",
        request.method,
        request.status.as_u16(),
        milliseconds(request.duration),
    )
}

/// Fewer digits the longer it took.
fn milliseconds(duration: Duration) -> String {
    let number = duration.as_secs_f64() * 1000.0;
    if number < 10.0 {
        format!("{number:.1} ms")
    } else {
        format!("{number:.0} ms")
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::*;

    #[test]
    fn a_request_is_one_line() {
        let mut request = Observed {
            method: Method::GET,
            path: "/a?b=c".to_owned(),
            status: StatusCode::OK,
            is_broken: false,
            duration: Duration::from_micros(1234),
        };
        assert_eq!(request_line(&request), "GET /a?b=c 200 1.2 ms");
        request.path = "/\u{1b}[31m".to_owned();
        request.status = StatusCode::GATEWAY_TIMEOUT;
        request.duration = Duration::from_millis(30_000);
        request.is_broken = true;
        assert_eq!(
            request_line(&request),
            "GET /?[31m 504 30000 ms (broken off)"
        );
    }
}
