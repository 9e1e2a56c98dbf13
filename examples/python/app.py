"""Greets whoever the path names."""

from urllib.parse import unquote

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import Fields, OutgoingBody, OutgoingResponse, ResponseOutparam

requests = 0


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request, response_out):
        global requests
        requests += 1
        path = (request.path_with_query() or "/").partition("?")[0]
        name = unquote(path[1:]) or "world"
        print(f"greeting {name}")
        response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain; charset=utf-8")]))
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            stream.blocking_write_and_flush(f"Hello, {name}! Request {requests} of this instance.\n".encode())
        OutgoingBody.finish(body, None)
