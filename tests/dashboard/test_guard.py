"""Who may ask the dashboard what: other machines' names, other sites' pages, and people without the token are kept out."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from parts import need
from played_experiments import empty, play

from shadho_like import requests
from shadho_like.dashboard.guard import Guard, is_this_machine
from shadho_like.paths import ExperimentPaths

HERE = "127.0.0.1:8080"


class Browser:
    """Asks an application as a browser does."""

    def __init__(self, application: Any) -> None:
        self.application = application

    def __call__(self, path: str, method: str = "GET", body: bytes = b"", /, **headers: str) -> tuple[int, dict[str, str], bytes]:
        path, _, query = path.partition("?")
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": HERE, "wsgi.input": io.BytesIO(body)}
        environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.url_scheme": "http", "SERVER_NAME": "x", "SERVER_PORT": "8080"}
        environ |= {"SERVER_PROTOCOL": "HTTP/1.1", **headers}
        head: list[Any] = []
        answer = self.application(environ, lambda *given: head.extend(given))
        said = b"".join(answer)
        getattr(answer, "close", lambda: None)()
        return int(head[0][:3]), dict(head[1]), said


def hello(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"hello"]


@pytest.fixture
def browser() -> Browser:
    return Browser(Guard(hello, port=8080, token=None))


@pytest.fixture
def asked(tmp_path: Path) -> tuple[Browser, Path]:
    """The dashboard of an experiment that has not begun."""
    need("optuna_dashboard")
    from shadho_like.dashboard.app import application

    return Browser(Guard(application([empty(tmp_path / "e")]), port=8080, token=None)), tmp_path / "e"


OWN = {"HTTP_ORIGIN": f"http://{HERE}", "CONTENT_TYPE": "application/json", "HTTP_SEC_FETCH_SITE": "same-origin"}
REQUESTS = "/shadho/experiments/0/requests"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80", "localhost:9999", "[::1]:8080", "127.8.8.8"])
def test_this_machine(host: str) -> None:
    assert is_this_machine(host)


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8080", "10.0.0.1", "[::1", "2130706433", "0.0.0.0"]
)
def test_another_name_for_this_machine_is_refused(browser: Browser, host: str) -> None:
    assert not is_this_machine(host)
    assert browser("/", HTTP_HOST=host)[0] == 403


def test_what_another_site_loads(browser: Browser) -> None:
    assert browser("/", HTTP_SEC_FETCH_SITE="none", HTTP_SEC_FETCH_MODE="navigate")[0] == 200
    assert browser("/", HTTP_SEC_FETCH_SITE="cross-site", HTTP_SEC_FETCH_MODE="navigate")[0] == 200
    for site in ("cross-site", "same-site"):
        assert browser("/", HTTP_SEC_FETCH_SITE=site, HTTP_SEC_FETCH_MODE="no-cors")[0] == 403
        assert browser("/", "POST", HTTP_SEC_FETCH_SITE=site, HTTP_SEC_FETCH_MODE="navigate", HTTP_ORIGIN=f"http://{HERE}")[0] == 403


@pytest.mark.parametrize(
    "changed",
    [
        {"HTTP_ORIGIN": "http://evil.example"},
        {"HTTP_ORIGIN": "http://127.0.0.1:3000"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_ORIGIN": "http://[::1"},
        {"HTTP_ORIGIN": ""},
        {"HTTP_ORIGIN": f"file://{HERE}"},
        {"CONTENT_TYPE": "text/plain"},
        {"CONTENT_TYPE": "application/x-www-form-urlencoded"},
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"HTTP_HOST": "evil.example", "HTTP_ORIGIN": "http://evil.example"},
    ],
)
def test_only_its_own_page_may_change_something(asked: tuple[Browser, Path], changed: dict[str, str]) -> None:
    browser, directory = asked
    body = json.dumps({"action": "pause"}).encode()
    assert browser(REQUESTS, "POST", body, **{**OWN, **changed})[0] == 403
    assert not requests.waiting(ExperimentPaths(directory).requests)
    assert browser(REQUESTS, "POST", body, **OWN)[0] == 202
    (left,) = requests.waiting(ExperimentPaths(directory).requests)
    assert (left.action and left.action.value, left.trial) == ("pause", None)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 409),
        (b"{", 409),
        (b"[]", 409),
        (b'{"action": "explode"}', 409),
        (b'{"action": "continue"}', 409),
        (b'{"action": "pause", "trial": 3}', 409),
        (b'{"action": "kill", "trial": "../.."}', 409),
        (b'{"action": "kill", "trial": 3}', 409),
        (b'{"action": "activate"}', 409),
        (b'{"action": "pause", "x": "' + b"x" * 2000 + b'"}', 409),
    ],
)
def test_requests_that_make_no_sense(asked: tuple[Browser, Path], body: bytes, status: int) -> None:
    browser, directory = asked
    assert browser(REQUESTS, "POST", body, **OWN)[0] == status
    assert not requests.waiting(ExperimentPaths(directory).requests)


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/studies"), ("DELETE", "/api/studies/0"), ("PUT", "/api/studies/0/note")])
def test_the_charts_only_read(asked: tuple[Browser, Path], method: str, path: str) -> None:
    status, _, said = asked[0](path, method, b"{}", **OWN)
    assert status == 403
    assert json.loads(said)["reason"].startswith("this dashboard shows experiments and does not change them")


def test_every_answer_is_locked_in(asked: tuple[Browser, Path]) -> None:
    for path in ("/", "/dashboard", "/shadho/experiments", "/shadho/page.js", "/api/studies", "/nothing", "/shadho/nothing"):
        _, headers, _ = asked[0](path, HTTP_ACCEPT_ENCODING="")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "SAMEORIGIN"
    policy = asked[0]("/")[1]["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_what_is_known_is_not_sent_again(asked: tuple[Browser, Path]) -> None:
    for path in ("/shadho/experiments", "/shadho/experiments/0"):
        status, headers, said = asked[0](path)
        assert (status, bool(said)) == (200, True)
        assert asked[0](path, HTTP_IF_NONE_MATCH=headers["ETag"])[::2] == (304, b"")


@pytest.mark.parametrize(
    "path",
    ["/shadho/experiments/1", "/shadho/experiments/0/trials/0", "/shadho/experiments/0/trials/0/attempts/1/log", "/shadho/../etc/passwd"],
)
def test_what_is_not_there(asked: tuple[Browser, Path], path: str) -> None:
    assert asked[0](path)[0] in {404, 409}


def test_logs_are_read_and_links_are_not_followed(tmp_path: Path) -> None:
    need("optuna_dashboard")
    from shadho_like.dashboard.app import application

    directory = play(tmp_path / "digits", 3).directory
    browser = Browser(Guard(application([directory]), port=8080, token=None))
    folder = directory / "trials/000001"
    folder.mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (folder / "output.log").symlink_to(tmp_path / "secret")
    with_log = "/shadho/experiments/0/trials/1/attempts/{}/log"
    newest = json.loads(browser("/shadho/experiments/0/trials/1")[2])["attempts"][-1]["attempt"]
    assert browser(with_log.format(newest))[::2] == (204, b"")
    (folder / "output.log").unlink()
    (folder / "output.log").write_bytes(b"x" * 300_000 + b"<script>")
    status, headers, said = browser(with_log.format(newest))
    assert status == 200
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert said.startswith(b"[37864 bytes before this are left out]\n")
    assert said.endswith(b"<script>")


class TestToken:
    """An address that others reach."""

    @pytest.fixture
    def browser(self) -> Browser:
        return Browser(Guard(hello, port=8080, token="a-token"))

    def test_the_token_gives_a_cookie_once(self, browser: Browser) -> None:
        status, headers, _ = browser("/?token=a-token", HTTP_HOST="gpu7:8080")
        assert (status, headers["Location"]) == (303, "/")
        name, value = headers["Set-Cookie"].partition(";")[0].split("=")
        assert name == "shadho_dashboard_8080"
        assert "a-token" not in headers["Set-Cookie"]
        assert "; HttpOnly; SameSite=Lax" in headers["Set-Cookie"]
        assert browser("/", HTTP_HOST="gpu7:8080", HTTP_COOKIE=f"other=1; {name}={value}")[0] == 200
        own = {"HTTP_HOST": "gpu7:8080", "HTTP_ORIGIN": "http://gpu7:8080", "CONTENT_TYPE": "application/json"}
        assert browser("/", "POST", HTTP_COOKIE=f"{name}={value}", **own)[0] == 200
        evil = {**own, "HTTP_ORIGIN": "http://evil.example"}
        assert browser("/", "POST", HTTP_COOKIE=f"{name}={value}", **evil)[0] == 403

    @pytest.mark.parametrize("other", ['a={"x": 1}', "a", "=", 'a="', "shadho_dashboard_8080=old", "\xe4=\xff", "a[]=1,2"])
    def test_cookies_of_others_lock_nobody_out(self, browser: Browser, other: str) -> None:
        own = browser("/?token=a-token")[1]["Set-Cookie"].partition(";")[0]
        for cookies in (f"{other}; {own}", f"{own}; {other}", f"{other};{own}"):
            assert browser("/", HTTP_COOKIE=cookies)[0] == 200
        assert browser("/", HTTP_COOKIE=other)[0] == 401
        assert browser("/", HTTP_COOKIE=f"x{own}")[0] == 401

    @pytest.mark.parametrize("path", ["/", "/?token=", "/?token=b-token", "/?token=a-tokenx", "/?token=%ff", "/shadho/experiments"])
    @pytest.mark.parametrize("cookie", ["", "shadho_dashboard_8080=a-token", "shadho_dashboard_8080=", "\x00=;;=", "shadho_dashboard_8081=x"])
    def test_nobody_else(self, browser: Browser, path: str, cookie: str) -> None:
        assert browser(path, HTTP_COOKIE=cookie)[0] == 401

    def test_the_token_is_no_key_to_anything_but_a_cookie(self, browser: Browser) -> None:
        assert browser("/?token=a-token", "POST", **OWN)[0] == 401
