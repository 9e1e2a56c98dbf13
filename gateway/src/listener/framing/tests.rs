use proptest::prelude::*;

use super::*;

/// A request that has nothing odd about it but what `head` adds.
fn request(head: &str, body: &str) -> String {
    format!("POST /a HTTP/1.1\r\nhost: x\r\n{head}\r\n{body}")
}

fn scanned(text: &str) -> (Framing, Result<(), Refused>) {
    let mut framing = Framing::default();
    let result = framing.scan(text.as_bytes());
    (framing, result)
}

#[test]
fn what_is_strictly_http_passes() {
    let requests = [
        request("", ""),
        request("content-length: 0\r\n", ""),
        request("Content-Length:3\r\n", "\n\n\n"),
        request("transfer-encoding: Chunked\r\n", "0\r\n\r\n"),
        request(
            "Transfer-Encoding:\tchunked \r\n",
            "3\r\n\r\n\n\r\n00a;x=\"y\"\r\n0123456789\r\n0;end\r\nx-sum: 1\r\n\r\n",
        ),
        request("x: content-length: 3\r\nx-content-length: 3\r\n", ""),
        format!("\r\n\r\n{}", request("", "")),
    ];
    let all = requests.concat();
    for text in requests.iter().chain([&all]) {
        let (framing, result) = scanned(text);
        assert_eq!(result, Ok(()), "{text:?}");
        assert_eq!(framing.place, Place::Head, "{text:?}");
        assert!(!framing.is_in_head(), "{text:?}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let heads = [
        "content-length: 3\r\ncontent-length: 3\r\n",
        "content-length: 3\r\ncontent-length: 4\r\n",
        "content-length: 3, 3\r\n",
        "content-length: +3\r\n",
        "content-length: 0x3\r\n",
        "content-length: \r\n",
        "content-length: 18446744073709551616\r\n",
        "content-length: 3\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: \u{b}chunked\r\n",
        "transfer-encoding\t: chunked\r\n",
        "content-length : 3\r\n",
        "x: 1\n",
        "x: 1\r\n\n",
        "x: 1\rcontent-length: 3\r\n",
        "x: 1\r\n more\r\n",
        "x: 1\r\n\tmore: 2\r\n",
        " content-length: 3\r\n",
        "nothing\r\n",
    ];
    for head in heads {
        let (_, result) = scanned(&request(head, "abc"));
        let refused = result.expect_err(head);
        assert!(!refused.in_body, "{head:?}");
    }
    for start in [
        "GET /a#b HTTP/1.1\r\n",
        "GET / HTTP/1.1\n",
        "\nGET / HTTP/1.1\r\n",
    ] {
        let (_, result) = scanned(&format!("{start}host: x\r\n\r\n"));
        assert_eq!(
            result,
            Err(Refused {
                passed: 0,
                in_body: false
            }),
            "{start:?}"
        );
    }
}

#[test]
fn bad_chunks_are_refused() {
    let bodies = [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        "1 \r\na\r\n",
        " 1\r\na\r\n",
        "11111111111111111\r\n",
        "1\na\r\n",
        "1\r\nab\r\n",
        "1\r\na\n",
        "1;x\ny\r\na\r\n",
        "1;x\0y\r\na\r\n",
        "0\r\nnothing\r\n\r\n",
        "0\r\n folded: 1\r\n\r\n",
        "0\r\nx: 1\n\r\n",
        "0\r\n\n",
    ];
    for body in bodies {
        let (_, result) = scanned(&request("transfer-encoding: chunked\r\n", body));
        let refused = result.expect_err(body);
        assert!(refused.in_body, "{body:?}");
    }
}

#[test]
fn a_head_is_under_way_from_its_first_byte_to_its_last() {
    let mut framing = Framing::default();
    for (piece, in_head) in [
        ("\r\n", false),
        ("P", true),
        ("OST / HTTP/1.1\r\n", true),
        ("content-length: 2\r\n\r", true),
        ("\n", false),
        ("a", false),
        ("bG", true),
    ] {
        framing.scan(piece.as_bytes()).unwrap();
        assert_eq!(framing.is_in_head(), in_head, "{piece:?}");
    }
}

/// A body as it goes over the wire, and the field that announces it.
fn body() -> impl Strategy<Value = String> {
    let text = "[a-z\r\n]{0,40}";
    prop_oneof![
        Just(request("", "")),
        text.prop_map(|text| request(&format!("content-length: {}\r\n", text.len()), &text)),
        prop::collection::vec("[a-z\r\n]{1,20}", 0..4).prop_map(|chunks| {
            let chunks: String = chunks
                .iter()
                .map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len()))
                .collect();
            request(
                "transfer-encoding: chunked\r\n",
                &format!("{chunks}0\r\n\r\n"),
            )
        }),
    ]
}

proptest! {
    #[test]
    fn requests_end_where_they_end_however_they_come(
        requests in prop::collection::vec(body(), 1..4),
        pieces in prop::collection::vec(1_usize..30, 1..20),
    ) {
        let mut framing = Framing::default();
        for request in &requests {
            let mut rest = request.as_bytes();
            for size in pieces.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                prop_assert_eq!(framing.scan(piece), Ok(()));
                rest = after;
            }
            prop_assert_eq!(framing.place, Place::Head);
            prop_assert!(!framing.is_in_head());
        }
    }

    #[test]
    fn a_refusal_does_not_depend_on_the_pieces(
        text in "(POST / HTTP/1.1\r\n|x: 1\r\n|content-length: [0-9]\r\n|transfer-encoding: chunked\r\n|\r\n|[0-9]\r\n|\n| |a){0,12}",
        size in 1_usize..20,
    ) {
        let (_, whole) = scanned(&text);
        let mut framing = Framing::default();
        let pieces = text.as_bytes().chunks(size).try_for_each(|piece| framing.scan(piece));
        prop_assert_eq!(
            whole.map_err(|refused| refused.in_body),
            pieces.map_err(|refused| refused.in_body)
        );
    }
}
