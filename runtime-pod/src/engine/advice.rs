//! What to do about an import that wasmfn does not offer.

use super::inspect::list;

/// Beginnings of imports, and what to do instead. The first that fits counts.
const ADVICE: [(&str, &str); 18] = [
    (
        "fermyon:spin/",
        "the Spin SDK's interfaces are Spin's own: use `wasi:http`, `wasi:config` and `wasi:keyvalue`",
    ),
    (
        "spin:",
        "the Spin SDK's interfaces are Spin's own: use `wasi:http`, `wasi:config` and `wasi:keyvalue`",
    ),
    (
        "wasmcloud:",
        "wasmCloud's interfaces are its own: use `wasi:http`, `wasi:config` and `wasi:keyvalue`",
    ),
    (
        "wasi:config/runtime",
        "it is an older name of `wasi:config/store`: build against 0.2.0-rc.1",
    ),
    (
        "wasi:keyvalue/",
        "build against `wasi:keyvalue` 0.2.0-draft, and name a store in `stores`",
    ),
    (
        "wasi:blobstore/",
        "reach an object store over HTTP, with its host in `outbound.hosts`",
    ),
    (
        "wasi:sockets/",
        "guests open no sockets: call over HTTP, with the host in `outbound.hosts`",
    ),
    (
        "wasi:tls/",
        "guests open no sockets: call over HTTPS, with the host in `outbound.hosts`",
    ),
    (
        "wasi:messaging/",
        "call a broker over HTTP, with its host in `outbound.hosts`",
    ),
    (
        "wasi:nn/",
        "call a model over HTTP, with its host in `outbound.hosts`",
    ),
    (
        "gojs/",
        "it is built for browsers: build it with `GOOS=wasip1 GOARCH=wasm`",
    ),
    (
        "go/",
        "it is built for browsers: build it with `GOOS=wasip1 GOARCH=wasm`",
    ),
    (
        "wbg/",
        "it is built for browsers: build it for `wasm32-wasip2`, without wasm-bindgen",
    ),
    (
        "__wbindgen",
        "it is built for browsers: build it for `wasm32-wasip2`, without wasm-bindgen",
    ),
    (
        "javy_",
        "it leaves its JavaScript engine out: build it with the engine inside (`javy build` without `-C dynamic`)",
    ),
    (
        "shopify_function",
        "Shopify's own functions are not offered: read standard input and write standard output",
    ),
    (
        "wasi_snapshot_preview1/",
        "it is no function of WASI preview 1: build it for `wasm32-wasip1` or with wasi-sdk",
    ),
    (
        "env/",
        "a symbol was left undefined, or the toolchain brings its own host: build for `wasm32-wasip1` or with wasi-sdk",
    ),
];

/// Most pieces of advice in one sentence.
const SHOWN: usize = 2;

/// The imports in a sentence, and what to do about them.
pub(super) fn with_list(imports: &[String]) -> String {
    let mut shown: Vec<&str> = Vec::new();
    for import in imports {
        if let Some(advice) = advice(import)
            && !shown.contains(&advice)
            && shown.len() < SHOWN
        {
            shown.push(advice);
        }
    }
    std::iter::once(list(imports))
        .chain(shown.into_iter().map(str::to_owned))
        .collect::<Vec<_>>()
        .join("; ")
}

fn advice(import: &str) -> Option<&'static str> {
    ADVICE
        .iter()
        .find(|(beginning, _)| import.starts_with(beginning))
        .map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(imports: &[&str]) -> String {
        let imports: Vec<String> = imports.iter().map(|name| (*name).to_owned()).collect();
        with_list(&imports)
    }

    #[test]
    fn says_where_to_grant_or_what_to_build_instead() {
        let text = sentence(&["fermyon:spin/redis@2.0.0", "fermyon:spin/sqlite@2.0.0"]);
        assert!(text.starts_with("`fermyon:spin/redis@2.0.0`, `fermyon:spin/sqlite@2.0.0`; "));
        assert_eq!(text.matches("Spin's own").count(), 1);
        assert!(sentence(&["wasi:blobstore/container@0.2.0"]).contains("`outbound.hosts`"));
        assert!(sentence(&["wasi:keyvalue/store@0.1.0"]).contains("`stores`"));
    }

    #[test]
    fn what_nobody_knows_is_only_listed() {
        assert_eq!(sentence(&["team:store/items"]), "`team:store/items`");
    }

    #[test]
    fn a_sentence_does_not_grow_with_its_imports() {
        let text = sentence(&["env/a", "gojs/b", "wasi:nn/c", "wbg/d"]);
        assert_eq!(text.matches("; ").count(), SHOWN, "{text}");
    }
}
