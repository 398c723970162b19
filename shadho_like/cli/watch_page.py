"""What `shadho experiment watch` shows: a frame as lines for a terminal of any width. It reads nothing, and writes nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shadho_like.engine_status import EngineStatus
from shadho_like.frame import Frame, ShownTrial
from shadho_like.overview import Rung
from shadho_like.phase import Phase
from shadho_like.plain_text import harmless
from shadho_like.progress import duration
from shadho_like.space import flatten
from shadho_like.trial import Trial, TrialState

_STYLES = {"RUNNING": "green", "FAILED": "red", "COMPLETED": "", "STOPPED": "dim", "CANCELED": "yellow", "PAUSED": "cyan", "PENDING": "dim"}
_LONGEST_BAR = 40
_WIDE, _MIDDLE = 90, 60
_REST = "hyperparameters"


@dataclass(frozen=True, slots=True)
class Room:
    """How many lines each part of the page may have.

    Attributes:
        trials, hosts, failures, rungs: so many of each; where there is no room for rungs, they are told in one line.
    """

    trials: int
    hosts: int
    failures: int
    rungs: int

    @classmethod
    def of(cls, height: int | None) -> Room:
        """Return what fits into so many lines; None for a page that is printed once."""
        if height is None:
            return cls(20, 20, 5, 12)
        left = max(0, height - 8)
        rungs = 6 if height >= 40 else 0
        failures, hosts = (3, 6) if height >= 40 else (2, 3) if height >= 24 else (1, 0)
        return cls(max(1, left - rungs - 2 * failures - hosts - (5 if height >= 24 else 1)), hosts, failures, rungs)


def page(frame: Frame, width: int, room: Room) -> RenderableType:
    """Return the page.

    Args:
        frame: what there is to show.
        width: of the terminal, in characters.
        room: how much of each.
    """
    blank = [Text("")] if room.hosts else []
    parts: list[RenderableType] = [_head(frame), *_standing(frame, width), *_best(frame), *_workers(frame, room.hosts)]
    if rungs := frame.overview.rungs:
        parts += [*blank, *_rungs(rungs, width, room.rungs)]
    if frame.shown:
        parts += [*blank, _trials(frame, width)]
    if frame.failures:
        parts += [*blank, *_failures(frame.failures)]
    return Group(*parts)


def _line(*pieces: str | tuple[str, str]) -> Text:
    return Text.assemble(*pieces, no_wrap=True, overflow="ellipsis")


def _head(frame: Frame) -> Text:
    name, method = harmless(frame.config["name"], 60), harmless(frame.config["method"]["name"], 40)
    if frame.driver is not None:
        host = harmless(str(frame.driver.get("host")), 60)
        said, style = f"running, process {frame.driver.get('pid')} on {host}", "green"
    elif frame.over or frame.told is None:
        said, style = "not running", "dim"
    else:
        said, style = "its driver is gone: start it again, and it carries on", "bold red"
    phase = "" if frame.phase is Phase.ACTIVE else f", {frame.phase.value.lower()}"
    return _line((name, "bold"), f" · {method} · ", (said, style), (phase, "bold yellow"))


def _standing(frame: Frame, width: int) -> Iterator[Text]:
    counts, overview = frame.overview.counts, frame.overview
    if frame.fraction is not None:
        bar = _bar(frame.fraction, max(10, min(_LONGEST_BAR, width - 12)), full=True)
        yield _line((bar[0], "green"), (bar[1], "dim"), f" {frame.fraction:.0%}")
    of = f"/{frame.max_trials}" if frame.max_trials else ""
    parts = [f"{overview.done}{of} trials done"]
    for state in (TrialState.RUNNING, TrialState.PENDING, TrialState.PAUSED, TrialState.STOPPED, TrialState.FAILED, TrialState.CANCELED):
        parts += [f"{counts[state]} {state.value.lower()}"] * bool(counts[state])
    parts += [f"{frame.lost} attempts lost"] * bool(frame.lost)
    if rate := frame.per_s:
        parts.append(f"{rate:.3g}/s" if rate >= 1 else f"{rate * 60:.3g}/min")
    if frame.left_s is not None:
        parts.append(f"{duration(frame.left_s)} left")
    # The counts are the one line that is worth a second.
    yield Text(" · ".join(parts))


def _best(frame: Frame) -> Iterator[Text]:
    if frame.best is not None:
        metric = f"best {harmless(frame.config['metric'], 40)} {_number(frame.best.metric)}"
        yield _line((metric, "bold"), f" (trial {frame.best.number}) ", _hyperparameters(frame.best))


def _workers(frame: Frame, most: int) -> Iterator[Text]:
    running = frame.overview.hosts
    gpus: dict[str, str] = {}
    if frame.live is not None:
        engine = frame.live.standing.engine
        gpus = {host.name: host.gpus for host in engine.hosts if host.gpus}
        if told := list(_told(engine, sum(running.values()))):
            yield _line(" · ".join(told))
    if len(running) < 2 and not gpus:
        return
    hosts = sorted({*running, *gpus}, key=lambda host: (-running[host], host))
    for host in hosts[:most]:
        yield _line(f"  {harmless(host, 40)}: {running[host]} running", (f"  {harmless(gpus.get(host, ''), 60)}", "dim"))
    if len(hosts) > most > 0:
        yield _line((f"  and {len(hosts) - most} more", "dim"))


def _told(engine: EngineStatus, running: int) -> Iterator[str]:
    """Yield what there is to run on, and how much of it is in use."""
    if engine.workers is not None:
        yield f"{engine.workers} worker{'' if engine.workers == 1 else 's'}"
    if engine.slots is not None:
        yield f"{running} of {engine.slots} slot{'' if engine.slots == 1 else 's'} busy"
    for name, load in (("cores", engine.cores), ("GPUs", engine.gpus)):
        if load is not None and load.total:
            yield f"{load.used} of {load.total} {name} in use"
    kinds = [f"{group.workers} with {group.cores} cores" + (f", {group.gpus} GPUs" if group.gpus else "") for group in engine.groups]
    if len(kinds) > 1:
        yield "; ".join(kinds)


def _rungs(rungs: Sequence[Rung], width: int, most: int) -> Iterator[RenderableType]:
    if not most or width < _MIDDLE:
        yield _line("reached length ", " · ".join(f"{rung.length}: {rung.reached}" for rung in rungs))
        return
    table = _table("length", "trials", "")
    for rung in rungs[-most:]:
        bar = _bar(rung.reached / rungs[0].reached, min(_LONGEST_BAR, width - 24))
        table.add_row(str(rung.length), str(rung.reached), Text(bar[0], "cyan"))
    yield table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", show_edge=False, expand=_REST in columns)
    for name in columns:
        number = name in {"trial", "length", "trials", "for", "trained"}
        rest = 1 if name == _REST else None
        table.add_column(name, justify="right" if number else "left", no_wrap=True, overflow="ellipsis", ratio=rest)
    return table


def _trials(frame: Frame, width: int) -> Table:
    metric = harmless(frame.config["metric"], 20)
    lengths = any(shown.trial.length > 1 or shown.progress != (None, None) for shown in frame.shown)
    names = ["trial", "state", metric, *(["trained"] if lengths else [])]
    names += ["for", "where"] if width >= _MIDDLE else []
    names += [_REST] if width >= _WIDE else []
    table = _table(*names)
    for shown in frame.shown:
        trial = shown.trial
        cells: dict[str, str | Text] = {
            "trial": str(trial.number),
            "state": Text(trial.state.value.lower(), _STYLES[trial.state.value]),
            "trained": _trained(shown),
            "for": _spent(shown, frame.now_s),
            "where": harmless(trial.host, 24),
            _REST: _hyperparameters(trial),
            metric: _number(trial.metric),
        }
        # As a text, for what came from a worker is no markup.
        table.add_row(*(Text(cell) if isinstance(cell := cells[name], str) else cell for name in names))
    return table


def _trained(shown: ShownTrial) -> str:
    length, fraction = shown.progress
    trial = shown.trial
    if trial.state is TrialState.RUNNING and fraction is not None:
        return f"{fraction:.0%} of {trial.length}" if trial.length > 1 else f"{fraction:.0%}"
    if trial.state is TrialState.RUNNING and length is not None:
        return f"{length:g}/{trial.length}"
    return f"{trial.validated}/{trial.length}"


def _spent(shown: ShownTrial, now_s: float) -> str:
    trial = shown.trial
    began_s, ended_s = (shown.since_s, now_s) if shown.since_s is not None else (trial.started_s, trial.finished_s)
    return duration(ended_s - began_s) if began_s is not None and ended_s is not None else ""


def _failures(failures: Iterable[Trial]) -> Iterator[Text]:
    for trial in failures:
        assert trial.failure is not None
        last = trial.failure.log_tail.rstrip().rpartition("\n")[2]
        yield _line((f"trial {trial.number} failed: ", "red"), harmless(trial.failure.message, 300))
        if last and last not in trial.failure.message:
            yield _line((f"    {harmless(last, 300)}", "dim"))


def _hyperparameters(trial: Trial) -> str:
    return " ".join(f"{harmless(name, 40)}={_number(value)}" for name, value in flatten(trial.hparams).items())


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else harmless(str(value), 40)


def _bar(fraction: float, width: int, *, full: bool = False) -> tuple[str, str]:
    done = max(1 if fraction > 0 else 0, int(fraction * width))
    return "━" * done, "━" * (width - done) * full
