//! A guest that does harm, each path another. It uses the interfaces as they are, without a library
//! that would keep it from doing so.

use guests::Query;
use wasip2::{
    clocks::monotonic_clock::subscribe_duration,
    exports::http::incoming_handler::Guest,
    filesystem::preopens,
    http::{
        outgoing_handler,
        types::{
            Fields, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse,
            RequestOptions, ResponseOutparam, Scheme,
        },
    },
    random::random,
    sockets::{
        instance_network::instance_network, ip_name_lookup, network::IpAddressFamily,
        tcp_create_socket, udp_create_socket,
    },
};

struct Hostile;

wasip2::http::proxy::export!(Hostile);

/// Programs of this target need one; nobody calls it.
fn main() {}

/// What one write may carry.
const CHUNK_BYTES: usize = 4096;

impl Guest for Hostile {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query = Query::new(query);
        let count = query.number("count", 0);
        match path {
            "/silent" => {}
            "/panic" => panic!("on purpose"),
            "/recurse" => say(out, 200, &recurse(count).to_string()),
            "/leak-handles" => leak_handles(),
            "/leak-streams" => leak_streams(&request),
            "/large-call" => large_call(usize::try_from(count).unwrap_or(usize::MAX)),
            "/long-words" => say(out, 200, &long_words(usize::try_from(count).unwrap_or(usize::MAX))),
            "/random" => say(out, 200, &random::get_random_bytes(count).len().to_string()),
            "/log" => {
                for line in 0..count {
                    println!("line {line}");
                }
                say(out, 200, "logged");
            }
            "/long-line" => {
                for _ in 0..count {
                    print!("{}", "a".repeat(CHUNK_BYTES));
                }
                say(out, 200, "logged");
            }
            "/status" => answer(out, u16::try_from(count).unwrap_or(0), &[], Body::Text("status")),
            "/headers" => {
                let headers: Vec<_> = (0..count).map(|index| (format!("x-{index}"), "v".to_owned())).collect();
                answer(out, 200, &headers, Body::Text("headers"));
            }
            "/long-header" => {
                let value = "v".repeat(usize::try_from(count).unwrap_or(0));
                answer(out, 200, &[("x-long".to_owned(), value)], Body::Text("headers"));
            }
            "/header" => {
                let header = (query.text("name"), query.text("value"));
                answer(out, 200, &[header], Body::Text("0123456789"));
            }
            "/trailers" => answer(out, 200, &[], Body::Trailers(count)),
            "/forever" => answer(out, 200, &[], Body::Forever),
            "/drip" => answer(out, 200, &[], Body::Drip),
            "/trap-after" => answer(out, 200, &[], Body::Trap),
            "/unfinished" => answer(out, 200, &[], Body::Unfinished),
            "/unread" => {
                // The body is never asked for.
                say(out, 200, "unread");
            }
            "/calls" => say(out, 200, &calls(&query.text("authority"), count)),
            "/timeouts" => say(out, 200, &timeouts(&query.text("authority"), count)),
            "/outside" => say(out, 200, &outside()),
            _ => say(out, 200, "hello"),
        }
    }
}

/// What follows a head.
enum Body<'a> {
    Text(&'a str),
    Trailers(u64),
    Forever,
    Drip,
    Trap,
    Unfinished,
}

fn say(out: ResponseOutparam, status: u16, text: &str) {
    answer(out, status, &[], Body::Text(text));
}

fn answer(out: ResponseOutparam, status: u16, headers: &[(String, String)], content: Body<'_>) {
    let fields = Fields::new();
    for (name, value) in headers {
        if let Err(error) = fields.append(name, value.as_bytes()) {
            return say(out, 200, &format!("{error:?}"));
        }
    }
    let response = OutgoingResponse::new(fields);
    if response.set_status_code(status).is_err() {
        return say(out, 200, "no such status");
    }
    let body = response.body().expect("the first of the response");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the first of the body");
    let chunk = [b'a'; CHUNK_BYTES];
    let trailers = match content {
        Body::Text(text) => {
            let _ = stream.blocking_write_and_flush(text.as_bytes());
            None
        }
        Body::Trailers(count) => {
            let fields = Fields::new();
            for index in 0..count {
                if fields.append(&format!("x-{index}"), b"v").is_err() {
                    break;
                }
            }
            Some(fields)
        }
        Body::Forever => {
            while stream.blocking_write_and_flush(&chunk).is_ok() {}
            None
        }
        Body::Drip => {
            while stream.blocking_write_and_flush(b"a").is_ok() {
                subscribe_duration(10_000_000).block();
            }
            None
        }
        Body::Trap => {
            let _ = stream.blocking_write_and_flush(&chunk);
            core::arch::wasm32::unreachable()
        }
        Body::Unfinished => {
            let _ = stream.blocking_write_and_flush(&chunk);
            // Dropped without `finish`.
            return;
        }
    };
    drop(stream);
    let _ = OutgoingBody::finish(body, trailers);
}

fn recurse(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 32]);
    if depth == 0 { here[0] } else { recurse(depth - 1) + here[31] }
}

fn leak_handles() {
    loop {
        std::mem::forget(Fields::new());
    }
}

/// Leaks what only the host's own table counts: pollables of one body.
fn leak_streams(request: &IncomingRequest) {
    let body = request.consume().expect("the first");
    let stream = body.stream().expect("the first");
    loop {
        std::mem::forget(stream.subscribe());
    }
}

/// Passes so many bytes to the host in one call.
fn large_call(bytes: usize) {
    let text = "a".repeat(bytes);
    let request = OutgoingRequest::new(Fields::new());
    let _ = request.set_authority(Some(&text));
}

/// Which words of a request the host takes that have so many letters: method, authority, path.
fn long_words(letters: usize) -> String {
    let word = "A".repeat(letters);
    let request = OutgoingRequest::new(Fields::new());
    let taken = [
        request.set_method(&Method::Other(word.clone())),
        request.set_authority(Some(&word)),
        request.set_path_with_query(Some(&format!("/{word}"))),
    ];
    format!("{:?}", taken.map(|taken| taken.is_ok()))
}

fn outgoing(authority: &str) -> OutgoingRequest {
    let request = OutgoingRequest::new(Fields::new());
    let _ = request.set_method(&Method::Get);
    let _ = request.set_scheme(Some(&Scheme::Http));
    let _ = request.set_authority(Some(authority));
    let _ = request.set_path_with_query(Some("/"));
    request
}

/// Calls again and again; how often it went well, and how the last call went.
fn calls(authority: &str, count: u64) -> String {
    let mut well = 0;
    let mut last = String::new();
    for _ in 0..count {
        last = match outgoing_handler::handle(outgoing(authority), None) {
            Err(error) => format!("{error:?}"),
            Ok(future) => {
                future.subscribe().block();
                match future.get().expect("it is ready").expect("the first time") {
                    Ok(answer) => {
                        well += 1;
                        format!("{}", answer.status())
                    }
                    Err(error) => format!("{error:?}"),
                }
            }
        };
    }
    format!("{well} {last}")
}

/// A call whose every time is `nanoseconds`.
fn timeouts(authority: &str, nanoseconds: u64) -> String {
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(Some(nanoseconds));
    let _ = options.set_first_byte_timeout(Some(nanoseconds));
    let _ = options.set_between_bytes_timeout(Some(nanoseconds));
    match outgoing_handler::handle(outgoing(authority), Some(options)) {
        Err(error) => format!("{error:?}"),
        Ok(future) => {
            future.subscribe().block();
            match future.get().expect("it is ready").expect("the first time") {
                Ok(answer) => answer.status().to_string(),
                Err(error) => format!("{error:?}"),
            }
        }
    }
}

/// What there is besides HTTP.
fn outside() -> String {
    let folders = preopens::get_directories().len();
    let network = instance_network();
    let name = match ip_name_lookup::resolve_addresses(&network, "localhost") {
        Err(error) => format!("{error:?}"),
        Ok(found) => {
            found.subscribe().block();
            format!("{:?}", found.resolve_next_address())
        }
    };
    let tcp = tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4).map(|socket| {
        let address = wasip2::sockets::network::IpSocketAddress::Ipv4(
            wasip2::sockets::network::Ipv4SocketAddress {
                port: 0,
                address: (127, 0, 0, 1),
            },
        );
        socket.start_bind(&network, address).and_then(|()| socket.finish_bind())
    });
    let udp = udp_create_socket::create_udp_socket(IpAddressFamily::Ipv4).map(|socket| {
        let address = wasip2::sockets::network::IpSocketAddress::Ipv4(
            wasip2::sockets::network::Ipv4SocketAddress {
                port: 0,
                address: (127, 0, 0, 1),
            },
        );
        socket.start_bind(&network, address).and_then(|()| socket.finish_bind())
    });
    format!("folders {folders}, name {name}, tcp {tcp:?}, udp {udp:?}")
}
