//! Asks for an interface that no wasmfn offers.

use wstd::http::{Body, Error, Request, Response};

wit_bindgen::generate!({
    inline: "
        package example:missing@1.0.0;
        interface weather { today: func() -> string; }
        world forecaster { import weather; }
    ",
    world: "forecaster",
});

#[wstd::http_server]
async fn main(_request: Request<Body>) -> Result<Response<Body>, Error> {
    Ok(Response::new(example::missing::weather::today().into()))
}
