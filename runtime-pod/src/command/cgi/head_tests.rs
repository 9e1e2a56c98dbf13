use proptest::prelude::*;

use super::*;

fn head(text: &str) -> Head {
    parse(text.as_bytes()).unwrap().unwrap()
}

#[test]
fn a_document_has_a_type_and_a_body() {
    let text = "Content-Type: text/plain\r\nX-A: 1\r\n\r\nbody";
    let head = head(text);
    assert_eq!(head.status, 200);
    assert_eq!(head.headers["content-type"], "text/plain");
    assert_eq!(head.headers["x-a"], "1");
    assert_eq!(&text[head.length_bytes..], "body");
}

#[test]
fn lines_may_end_either_way() {
    let head = head("Status: 404 Not Found\nContent-Type:text/html \n\r\n<p>");
    assert_eq!(head.status, 404);
    assert_eq!(head.headers["content-type"], "text/html");
    assert!(!head.headers.contains_key("status"));
}

#[test]
fn a_location_is_a_redirect() {
    assert_eq!(head("Location: https://example.com/\n\n").status, 302);
    assert_eq!(head("Location: /elsewhere?a=1\n\n").status, 302);
    assert_eq!(head("Location: /new\nStatus: 308\n\n").status, 308);
    assert_eq!(head("Location: /made\nStatus: 201 Created\n\n").status, 201);
}

#[test]
fn cookies_may_be_several() {
    let head = head("Status: 204\nSet-Cookie: a=1\nSet-Cookie: b=2\n\n");
    assert_eq!(head.headers.get_all("set-cookie").iter().count(), 2);
}

#[test]
fn a_head_is_waited_for() {
    for text in ["", "Content-", "Content-Type: a\n", "Content-Type: a\r\n\r"] {
        assert_eq!(parse(text.as_bytes()), Ok(None), "{text:?}");
    }
    assert_eq!(unfinished(b""), HeadError::Empty);
    assert_eq!(unfinished(b"a: b\n"), HeadError::Unfinished);
}

#[test]
fn what_is_wrong_is_named() {
    let many = format!("{}\n", "x-a: 1\n".repeat(201));
    let long = format!("x-a: {}\n\n", "a".repeat(HEAD_MAX_BYTES));
    let endless = "a".repeat(HEAD_MAX_BYTES + 1);
    let cases = [
        ("\n", HeadError::NothingSaid),
        ("X-A: 1\n\n", HeadError::NothingSaid),
        ("hello world\n\n", HeadError::Line(1)),
        ("Content-Type: a\n folded: b\n\n", HeadError::Line(2)),
        ("Content-Type: a\nb c: d\n\n", HeadError::Line(2)),
        (": a\n\n", HeadError::Line(1)),
        ("Content-Type: a\u{1}b\n\n", HeadError::Value(1)),
        ("Status: 100\n\n", HeadError::Status),
        ("Status: 600\n\n", HeadError::Status),
        ("Status: fine\n\n", HeadError::Status),
        ("Status:\n\n", HeadError::Status),
        ("Status: 200\nStatus: 200\n\n", HeadError::Twice("Status")),
        (
            "Location: /a\nLocation: /b\n\n",
            HeadError::Twice("Location"),
        ),
        (
            "Content-Type: a\nContent-Length: 1\nContent-Length: 2\n\n",
            HeadError::Twice("Content-Length"),
        ),
        ("HTTP/1.1 200 OK\n", HeadError::NotParsed),
        ("{\"a\":1}", HeadError::Json),
        (many.as_str(), HeadError::TooManyHeaders),
        (long.as_str(), HeadError::TooLong),
        (endless.as_str(), HeadError::TooLong),
    ];
    for (text, expected) in cases {
        let start = &text[..text.len().min(40)];
        assert_eq!(parse(text.as_bytes()), Err(expected), "{start:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_look_too_far(printed in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(Some(head)) = parse(&printed) {
            prop_assert!(head.length_bytes <= printed.len());
            prop_assert!((200..600).contains(&head.status.as_u16()));
        }
    }

    #[test]
    fn it_does_not_matter_in_which_pieces_a_head_comes(
        pairs in prop::collection::vec(("x-[a-z]{1,8}", "[!-~]{0,12}"), 0..12),
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut text = String::from("Status: 200 OK\n");
        for (name, value) in &pairs {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push('\n');
        let length = text.len();
        let mut printed = text.into_bytes();
        printed.extend(body);
        for end in 0..length {
            prop_assert_eq!(parse(&printed[..end]), Ok(None));
        }
        let head = parse(&printed).unwrap().unwrap();
        prop_assert_eq!(head.length_bytes, length);
        prop_assert_eq!(head.headers.len(), pairs.len());
    }
}
