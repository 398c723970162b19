"""The web server: a thread for each request, nothing between requests, and no log, in which the token would stand."""

from __future__ import annotations

import secrets
import socket
import sys
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from shadho_like.dashboard.guard import Guard, is_this_machine
from shadho_like.dashboard.responses import Application
from shadho_like.errors import WorldError

_SILENCE_S = 30.0


class _Handler(WSGIRequestHandler):
    timeout = _SILENCE_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base's
        """Say nothing."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64

    def server_bind(self) -> None:
        """Bind, without asking the network what this machine is called."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over a browser that went away; tell of anything else."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Server6(_Server):
    address_family = socket.AF_INET6


def serve(application: Application, *, host: str, port: int, ask: bool, ready: Callable[[str], None]) -> None:
    """Serve until the process is ended by a signal.

    Args:
        application: what is served.
        host: the address to listen on; one that is not this machine's loopback asks for a token.
        port: 0 for any that is free.
        ask: whether to ask for a token on the loopback too.
        ready: called with the address to open in a browser, once that can be done.

    Raises:
        WorldError: the address cannot be had.
    """
    token = secrets.token_urlsafe(32) if ask or not is_this_machine(f"[{host}]" if ":" in host else host) else None
    try:
        server = (_Server6 if ":" in host else _Server)((host, port), _Handler)
    except (OSError, OverflowError) as error:
        message = f"nothing can listen on {host} port {port}: {error}; give another --port, or 0 for any that is free"
        raise WorldError(message) from error
    with server:
        server.set_app(Guard(application, port=server.server_port, token=token))
        shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, f"[{host}]" if ":" in host else host)
        ready(f"http://{shown}:{server.server_port}/{f'?token={token}' if token else ''}")
        # Nothing but a signal ends it: it need not wake up to see whether it should.
        server.serve_forever(poll_interval=None)  # type: ignore[arg-type]
