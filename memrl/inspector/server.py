"""A page served to browsers on this machine, and to nobody else."""

from __future__ import annotations

from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Final, NamedTuple, final

from memrl.errors import RunError

HOST: Final = "127.0.0.1"
_POLL: Final = 0.05  # seconds between two looks at whether to end
VERSION: Final = "/version"  # where a page asks whether there is a newer one


class Served(NamedTuple):
    """A page and the version that it was made of."""

    page: bytes = b""
    version: str = ""


@final
class PageServer:
    """Serves the page that was shown last, read-only, on the loopback address.

    A request under another host's name is refused, so that no page of another site can read it by
    a name that it lets point to this machine. It runs in a thread of its own inside of ``with``.

    Args:
        port: 0 takes a free one.

    Attributes:
        url: of the page.

    Raises:
        RunError: the port is taken, or may not be used.
    """

    def __init__(self, port: int = 0) -> None:
        self.served = Served()
        try:
            self._server = ThreadingHTTPServer((HOST, port), partial(_Handler, self))
        except OSError as error:
            reason = error.strerror or error
            raise RunError(
                f"port={port} cannot be used ({reason}); port=0, the default, takes a free one"
            ) from None
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.url = f"http://{HOST}:{self.port}/"
        self._thread = Thread(target=self._server.serve_forever, args=(_POLL,), daemon=True)

    def show(self, page: str, version: str) -> None:
        """Serve this page from now on."""
        self.served = Served(page.encode(), version)

    def __enter__(self) -> PageServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers GET of the page and of its version."""

    server_version, sys_version = "memrl", ""

    def __init__(self, owner: PageServer, *request: Any) -> None:
        self._owner = owner
        super().__init__(*request)

    def do_GET(self) -> None:
        if self.headers.get("Host") not in self._own_names():
            self.send_error(403, "this page is served under the name of this machine alone")
            return
        served = self._owner.served
        if self.path == "/":
            self._answer("text/html; charset=utf-8", served.page)
        elif self.path == VERSION:
            self._answer("text/plain; charset=utf-8", served.version.encode())
        else:
            self.send_error(404)

    def _own_names(self) -> tuple[str, ...]:
        return tuple(f"{name}:{self._owner.port}" for name in (HOST, "localhost"))

    def _answer(self, kind: str, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *values: Any) -> None:
        """The terminal is for the run."""
