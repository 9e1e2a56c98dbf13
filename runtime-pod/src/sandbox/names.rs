//! Words of a request that a guest makes: the host keeps them outside of the guest's memory, so they have
//! bounds of their own. Beyond them the guest is told that the word is none, as of any that is malformed.

use wasmtime::{
    Result, StoreContextMut,
    component::{Linker, Resource},
};
use wasmtime_wasi_http::{WasiHttpView, p2, p3};

use super::Sandbox;

/// Longest method: the longest that is registered has 17 letters.
const METHOD_MAX_BYTES: usize = 64;
/// Longest authority: a name has 255 bytes at most (RFC 1035, 2.3.4), and a port six.
const AUTHORITY_MAX_BYTES: usize = 512;
/// Longest path with its query: twice what servers have to take (RFC 9110, 4.1).
const PATH_MAX_BYTES: usize = 16_000;

/// What a word is set to; nothing, where it is refused.
type Set = (std::result::Result<(), ()>,);

const REFUSED: Set = (Err(()),);

fn is_long(word: Option<&String>, most_bytes: usize) -> bool {
    word.is_some_and(|word| word.len() > most_bytes)
}

/// Puts bounds to what guests of WASI 0.2 set.
pub(super) fn bound_p2(linker: &mut Linker<Sandbox>) -> Result<()> {
    use p2::bindings::http::types::{HostOutgoingRequest, Method, OutgoingRequest};

    type Request = Resource<OutgoingRequest>;
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: StoreContextMut<'_, Sandbox>, (request, method): (Request, Method)| {
            if matches!(&method, Method::Other(word) if word.len() > METHOD_MAX_BYTES) {
                return Ok(REFUSED);
            }
            let mut http = store.data_mut().http();
            Ok((HostOutgoingRequest::set_method(&mut http, request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: StoreContextMut<'_, Sandbox>, (request, word): (Request, Option<String>)| {
            if is_long(word.as_ref(), AUTHORITY_MAX_BYTES) {
                return Ok(REFUSED);
            }
            let mut http = store.data_mut().http();
            Ok((HostOutgoingRequest::set_authority(
                &mut http, request, word,
            )?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut store: StoreContextMut<'_, Sandbox>, (request, word): (Request, Option<String>)| {
            if is_long(word.as_ref(), PATH_MAX_BYTES) {
                return Ok(REFUSED);
            }
            let mut http = store.data_mut().http();
            let set = HostOutgoingRequest::set_path_with_query(&mut http, request, word)?;
            Ok((set,))
        },
    )
}

/// Puts bounds to what guests of WASI 0.3 set.
pub(super) fn bound_p3(linker: &mut Linker<Sandbox>) -> Result<()> {
    use p3::bindings::http::types::{HostRequest, Method, Request};

    let mut types = linker.instance("wasi:http/types@0.3.0")?;
    types.func_wrap(
        "[method]request.set-method",
        |mut store: StoreContextMut<'_, Sandbox>,
         (request, method): (Resource<Request>, Method)| {
            if matches!(&method, Method::Other(word) if word.len() > METHOD_MAX_BYTES) {
                return Ok(REFUSED);
            }
            let mut http = store.data_mut().http();
            Ok((HostRequest::set_method(&mut http, request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]request.set-authority",
        |mut store: StoreContextMut<'_, Sandbox>,
         (request, word): (Resource<Request>, Option<String>)| {
            if is_long(word.as_ref(), AUTHORITY_MAX_BYTES) {
                return Ok(REFUSED);
            }
            let mut http = store.data_mut().http();
            Ok((HostRequest::set_authority(&mut http, request, word)?,))
        },
    )?;
    types.func_wrap(
        "[method]request.set-path-with-query",
        |mut store: StoreContextMut<'_, Sandbox>,
         (request, word): (Resource<Request>, Option<String>)| {
            if is_long(word.as_ref(), PATH_MAX_BYTES) {
                return Ok(REFUSED);
            }
            let mut http = store.data_mut().http();
            Ok((HostRequest::set_path_with_query(&mut http, request, word)?,))
        },
    )
}
