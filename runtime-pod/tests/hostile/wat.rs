//! Components around a core module: the smallest handlers that there can be.

use bytes::Bytes;

/// A component whose handler is the function `handle` of `module`, a core module in text. It gets
/// two handles and returns nothing, which is no answer.
pub fn component(module: &str) -> Bytes {
    let text = format!(
        r#"(component
            (import "wasi:http/types@0.2.0" (instance $types
                (export "incoming-request" (type (sub resource)))
                (export "response-outparam" (type (sub resource)))))
            (alias export $types "incoming-request" (type $request))
            (alias export $types "response-outparam" (type $out))
            {module}
            (core instance $guest (instantiate $module))
            (func $handle (param "request" (own $request)) (param "response-out" (own $out))
                (canon lift (core func $guest "handle")))
            (instance $handler (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    );
    wat::parse_str(text).unwrap().into()
}

/// A module of these fields, whose handler does `body`.
pub fn handler(fields: &str, body: &str) -> Bytes {
    component(&format!(
        r#"(core module $module {fields} (func (export "handle") (param i32 i32) {body}))"#
    ))
}
