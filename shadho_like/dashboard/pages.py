"""Our own page and what it asks for. It reads journals and leaves requests; it changes nothing itself."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from shadho_like import requests
from shadho_like.dashboard.facts import details, overview, trial_facts
from shadho_like.dashboard.logs import read_log
from shadho_like.dashboard.responses import Application, Environ, Response, StartResponse, as_json, refusal
from shadho_like.errors import OptionError, ShadhoError
from shadho_like.events import Action
from shadho_like.following import Following
from shadho_like.journal import JournalReader
from shadho_like.paths import ExperimentPaths
from shadho_like.phase import Phase
from shadho_like.studies.storage import ExperimentStorage, Study
from shadho_like.trial import AttemptId

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_FILES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "/shadho/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/shadho/page.css": ("page.css", "text/css; charset=utf-8"),
}
_LARGEST = 1024


class Pages:
    """Answers what is ours, and has another application answer the rest.

    Args:
        storage: the experiments.
        others: what answers the rest; it is only asked to read.
    """

    def __init__(self, storage: ExperimentStorage, others: Application) -> None:
        self._storage = storage
        self._others = others
        self._routes: tuple[tuple[str, re.Pattern[str], Callable[..., Response]], ...] = (
            ("GET", re.compile(r"/shadho/experiments"), self._overviews),
            ("GET", re.compile(r"/shadho/experiments/(\d{1,9})"), self._details),
            ("GET", re.compile(r"/shadho/experiments/(\d{1,9})/trials/(\d{1,9})"), self._trial),
            ("GET", re.compile(r"/shadho/experiments/(\d{1,9})/trials/(\d{1,9})/attempts/(\d{1,9})/log"), self._log),
            ("POST", re.compile(r"/shadho/experiments/(\d{1,9})/requests"), self._request),
        )

    def __call__(self, environ: Environ, start_response: StartResponse) -> Any:
        """Answer a request."""
        path, method = environ.get("PATH_INFO", "").rstrip("/"), environ["REQUEST_METHOD"]
        if path in _FILES and method == "GET":
            return _file(*_FILES[path]).send(start_response)
        if path.startswith("/shadho/"):
            return self._answer(environ, method, path).send(start_response)
        if method not in {"GET", "HEAD"}:
            reason = "this dashboard shows experiments and does not change them: the journal has one writer, the experiment's driver"
            return refusal(HTTPStatus.FORBIDDEN, reason).send(start_response)
        return self._others(environ, start_response)

    def _answer(self, environ: Environ, method: str, path: str) -> Response:
        for wanted, pattern, answer in self._routes:
            if wanted == method and (match := pattern.fullmatch(path)):
                try:
                    return answer(environ, *map(int, match.groups()))
                except KeyError as error:
                    return refusal(HTTPStatus.NOT_FOUND, str(error.args[0]))
                except OptionError as error:
                    return refusal(HTTPStatus.CONFLICT, str(error))
                except ShadhoError as error:
                    return refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        return refusal(HTTPStatus.NOT_FOUND, f"there is nothing at {path}")

    def _overviews(self, environ: Environ) -> Response:
        return _unless_known(environ, as_json([_overview(study) for study in self._storage.studies]))

    def _details(self, environ: Environ, experiment: int) -> Response:
        return _unless_known(environ, as_json(self._storage.study(experiment).look(details)))

    def _trial(self, environ: Environ, experiment: int, number: int) -> Response:
        def tell(following: Following) -> dict[str, Any]:
            seen = following.seen[number] if number < len(following.seen) else None
            with JournalReader(following.directory) as journal:
                return trial_facts(journal, number, seen)

        return _unless_known(environ, as_json(self._storage.study(experiment).look(tell)))

    def _log(self, environ: Environ, experiment: int, number: int, attempt: int) -> Response:
        directory = self._storage.study(experiment).directory
        with JournalReader(directory) as journal:
            newest = journal.trial(number).attempt
        text = read_log(ExperimentPaths(directory.absolute()), AttemptId(number, attempt), newest)
        if text is None:
            return Response(b"", status=HTTPStatus.NO_CONTENT)
        return _unless_known(environ, Response(text))

    def _request(self, environ: Environ, experiment: int) -> Response:
        """Leave what the user asks for where its driver looks, as `shadho experiment` does."""
        directory = self._storage.study(experiment).directory
        action, trial = _asked(environ)
        with JournalReader(directory) as journal:
            _check(journal, action, trial)
        requests.leave(ExperimentPaths(directory.absolute()).requests, action, trial=trial)
        return as_json({"asked": action.value}, HTTPStatus.ACCEPTED)


def _overview(study: Study) -> dict[str, Any]:
    try:
        return study.look(overview)
    except ShadhoError as error:
        return {"name": study.name, "directory": str(study.directory), "error": str(error)}


def _asked(environ: Environ) -> tuple[Action, int | None]:
    """Return what a request's body asks for.

    Raises:
        OptionError: it asks for nothing that there is.
    """
    try:
        size = int(environ.get("CONTENT_LENGTH") or 0)
        value: Any = json.loads(environ["wsgi.input"].read(size)) if 0 < size <= _LARGEST else None
        action, trial = Action(value["action"]), value.get("trial")
        if action is Action.CONTINUE or (trial is not None and (type(trial) is not int or action is not Action.KILL)):
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        message = "a request is {\"action\": \"pause\"}, activate, cancel or kill, and kill may have a trial's number with it"
        raise OptionError(message) from None
    return action, trial


def _check(journal: JournalReader, action: Action, trial: int | None) -> None:
    """Refuse what makes no sense.

    Raises:
        OptionError: it makes none; the message says why.
    """
    phase = journal.phase
    if phase.over:
        message = f"the experiment is over: it is {phase.value.lower()}"
        raise OptionError(message)
    if action is Action.ACTIVATE and phase is Phase.ACTIVE:
        message = "the experiment is not paused"
        raise OptionError(message)
    if trial is not None and (state := journal.trial(trial).state).final:
        message = f"trial {trial} is over already: it is {state.value.lower()}"
        raise OptionError(message)


def _file(name: str, kind: str) -> Response:
    body = (Path(__file__).parent / name).read_bytes()
    return Response(body, kind, headers=(("Content-Security-Policy", _POLICY), ("Cache-Control", "no-cache")))


def _unless_known(environ: Environ, response: Response) -> Response:
    """Return the answer, or that it is the one that the browser has."""
    tag = f'"{hashlib.blake2b(response.body, digest_size=12).hexdigest()}"'
    headers = (("ETag", tag), ("Cache-Control", "private, no-cache"), ("Content-Security-Policy", "default-src 'none'; sandbox"))
    if environ.get("HTTP_IF_NONE_MATCH") == tag:
        return Response(b"", response.kind, HTTPStatus.NOT_MODIFIED, headers)
    return Response(response.body, response.kind, response.status, headers)
