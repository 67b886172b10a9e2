"""Something between a client and a web tool that damages answers in ways no honest server would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx

from denodo_demo.standin import StandinServer


@dataclass(frozen=True)
class Tampering:
    port: int


@contextmanager
def tampering(
    server: StandinServer, path: str, alter: Callable[[bytes], bytes], *, without: str = ""
) -> Iterator[Tampering]:
    """Pass everything on to the server's web tool, and ``alter`` the bodies of answers where ``path`` is in the path.

    The HTTP around an altered body is in order, so that only a look at the content can tell.

    :param without: a header that no answer has.
    """
    client = httpx.Client(base_url=server.webtool.url, timeout=60, trust_env=False)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            answer = client.request(self.command, self.path, headers=headers, content=body)
            content = alter(answer.content) if path in self.path else answer.content
            self.send_response_only(answer.status_code)
            for name in ("content-type", "date", "www-authenticate"):
                if name in answer.headers and name != without:
                    self.send_header(name, answer.headers[name])
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = pass_on

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield Tampering(proxy.server_port)
    finally:
        proxy.shutdown()
        proxy.server_close()
        client.close()
