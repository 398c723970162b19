"""Who may ask what: keeps out other people, and the pages of other sites that are open in the same browser."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from shadho_like.dashboard.responses import Application, Environ, Response, StartResponse, refusal

_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Referrer-Policy", "same-origin"),
)
_READS = frozenset({"GET", "HEAD"})
_OURS = frozenset({"same-origin", "none"})


class Guard:
    """Lets a request through to an application, or refuses it.

    Without a token, whoever reaches the address may look: so the browser must have been sent to this machine by a name that means this
    machine, not by another site's name that was made to point here. A token comes once, in the address that was printed; from then on
    a cookie, which is another secret, stands for it.

    Args:
        application: what is guarded.
        port: where the server listens, by which the cookies of several dashboards differ.
        token: what the first request must bring; None where it need not.
    """

    def __init__(self, application: Application, *, port: int, token: str | None) -> None:
        self._application = application
        self._token = token
        self._cookie = f"shadho_dashboard_{port}"
        self._session = secrets.token_urlsafe(32)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""

        def start(status: str, headers: list[tuple[str, str]], *more: object) -> object:
            return start_response(status, [*headers, *_HEADERS], *more)

        refused = self._refused(environ)
        return self._application(environ, start) if refused is None else refused.send(start)

    def _refused(self, environ: Environ) -> Response | None:
        """Return the answer to a request that is not let through."""
        host = environ.get("HTTP_HOST", "")
        if self._token is None and not is_this_machine(host):
            return refusal(HTTPStatus.FORBIDDEN, "this dashboard is for this machine alone: ask for it as http://127.0.0.1:PORT/")
        if self._token is not None and not self._is_known(environ):
            return self._admitted(environ)
        site = environ.get("HTTP_SEC_FETCH_SITE")
        reads = environ["REQUEST_METHOD"] in _READS
        # A link on another site may lead here; what that site loads by itself may not.
        if site is not None and site not in _OURS and not (reads and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"):
            return refusal(HTTPStatus.FORBIDDEN, "another site's page asked for this")
        if not reads and not self._is_own_page(environ, host):
            return refusal(HTTPStatus.FORBIDDEN, "only this dashboard's own pages may change something")
        return None

    def _is_known(self, environ: Environ) -> bool:
        # Cookies of other servers on this host come along, and some are written as no standard allows.
        pairs = (pair.partition("=") for pair in environ.get("HTTP_COOKIE", "").split(";"))
        return any(name.strip() == self._cookie and _same(value.strip(), self._session) for name, _, value in pairs)

    def _admitted(self, environ: Environ) -> Response:
        """Give a cookie to whoever brings the token, and send him to the same page without it, so that it is in no history."""
        given = parse_qs(environ.get("QUERY_STRING", "")).get("token", [""])[0]
        if environ["REQUEST_METHOD"] != "GET" or self._token is None or not _same(given, self._token):
            return refusal(HTTPStatus.UNAUTHORIZED, "open the address that shadho dashboard printed when it started: it has the token")
        # Lax, so that a link to here from a chat or a mail works; what changes something must be sent by an own page all the same.
        cookie = f"{self._cookie}={self._session}; HttpOnly; SameSite=Lax; Path=/"
        headers = (("Location", "/"), ("Set-Cookie", cookie), ("Cache-Control", "no-store"))
        return Response(b"", status=HTTPStatus.SEE_OTHER, headers=headers)

    @staticmethod
    def _is_own_page(environ: Environ, host: str) -> bool:
        """Return whether a page of this very dashboard sent a request that changes something; every browser says so."""
        try:
            origin = urlsplit(environ.get("HTTP_ORIGIN", ""))
        except ValueError:
            return False
        kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip()
        return origin.scheme in {"http", "https"} and bool(host) and origin.netloc == host and kind == "application/json"


def is_this_machine(host: str) -> bool:
    """Return whether a host, with or without a port, is this machine's loopback and nothing else."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _same(given: str, wanted: str) -> bool:
    """Compare without telling by the time it takes how much was right."""
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())
