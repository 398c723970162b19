"""The arguments of `Shadho`, checked before anything is made of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import shadho_worker

from shadho_like.environment import variable_fault
from shadho_like.errors import OptionError, nearest
from shadho_like.launch import MOST_PRIORITY


def positional(
    experiment: tuple[Any, ...], other: Mapping[str, Any], options: Iterable[str]
) -> tuple[str | None, str | Callable[..., Any], Any]:
    """Return (name or None, command, space) from `(cmd, space)`, `(exp_key, cmd, space)` or the same by keyword.

    Raises:
        OptionError: it is neither of these, or there is another keyword, to which the nearest of `options` is named.
    """
    names = ("exp_key", "cmd", "space") if len(experiment) > 2 or "exp_key" in other else ("cmd", "space")
    for key in other:
        if key not in {"exp_key", "cmd", "space"}:
            message = f"Shadho has no option {key!r}: {nearest(key, options)}"
            raise OptionError(message)
    given = {**dict(zip([name for name in names if name not in other], experiment, strict=False)), **other}
    if len(experiment) + len(other) != len(given) or not {"cmd", "space"} <= given.keys():
        message = "Shadho takes (cmd, space) or (exp_key, cmd, space), then options by name"
        raise OptionError(message)
    cmd = given["cmd"]
    if not (callable(cmd) or (isinstance(cmd, str) and cmd.strip())):
        message = f"cmd must be a shell command or a Python callable, not {cmd!r}"
        raise OptionError(message)
    return given.get("exp_key"), cmd, given["space"]


def check_numbers(minimum: int = 1, **numbers: float | None) -> None:
    """Check options that are numbers, by name: seconds above 0, counts of at least `minimum`; None is right where it can mean no limit.

    Raises:
        OptionError: one is neither.
    """
    for name, value in numbers.items():
        seconds = name in _SECONDS
        if value is None and _SECONDS.get(name) != "":
            continue
        if seconds and isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            continue
        if seconds:
            message = f"{name} must be a number of seconds above 0{_SECONDS[name]}, not {value!r}"
            raise OptionError(message)
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            message = f"{name} must be a whole number of at least {minimum}, not {value!r}"
            raise OptionError(message)


def check_shared_tasks(cmd: str | Callable[..., Any], max_slots: int | None) -> None:
    """Check what cannot be where several trials share a task.

    Raises:
        OptionError: the command takes a context, or running trials are to be counted.
    """
    if callable(cmd) and shadho_worker.takes_context(cmd):
        message = "a training function that takes a context has a task for each trial: leave hyperparameters_per_task out"
        raise OptionError(message)
    if max_slots is not None:
        message = "max_slots counts trials that run at once, which with hyperparameters_per_task are not told apart: leave out one"
        raise OptionError(message)


def checked_priority(given: int | None) -> int | None:
    """Return a priority.

    Raises:
        OptionError: it is neither 1 to 99 nor None.
    """
    if given is not None and given > MOST_PRIORITY:
        message = f"priority must be a whole number from 1 to {MOST_PRIORITY}, the smaller the sooner, not {given!r}"
        raise OptionError(message)
    return given


def checked_environment(given: Mapping[str, str] | None) -> dict[str, str]:
    """Return the environment variables of trials.

    Raises:
        OptionError: one cannot be.
    """
    for name, value in (given or {}).items():
        if (fault := variable_fault(name, value)) is not None:
            message = f"environment {fault}"
            raise OptionError(message)
    return dict(given or {})


def slice_of(given: float | str | None) -> tuple[float | None, int | None]:
    """Return a slice as (seconds, length), one of them None; both where there is none.

    Raises:
        OptionError: it is neither seconds nor a length.
    """
    if isinstance(given, str) and (match := re.fullmatch(r"([1-9]\d*) units?", given.strip())):
        return None, int(match[1])
    if given is None or (isinstance(given, int | float) and not isinstance(given, bool) and given > 0):
        return given, None
    message = f'slice must be a number of seconds above 0, a length as in "3 units", or None for no slices, not {given!r}'
    raise OptionError(message)


_SECONDS = {
    "timeout": ", or None for no limit",
    "trial_timeout": ", or None for no limit",
    "preemption_timeout": "",
}


def check_metrics(metrics: Mapping[str, str], metric: str, *, smaller_is_better: bool, max_evals: int) -> None:
    """Raise OptionError where what is said of one metric does not fit a search method that has several: it is the one to show.

    Args:
        metrics: minimize or maximize, by name; none for a method of one metric.
        metric: as `Shadho` was given it, as are the others.
        smaller_is_better: whether it is minimised.
        max_evals: how often each sample is evaluated.
    """
    if not metrics:
        return
    direction = "minimize" if smaller_is_better else "maximize"
    if metric not in metrics:
        message = f"metric {metric!r} is none of the search method's metrics: give the one to show, {' or '.join(map(repr, metrics))}"
        raise OptionError(message)
    if metrics[metric] != direction:
        message = f"the search method is to {metrics[metric]} {metric!r}: give smaller_is_better={not smaller_is_better} to Shadho"
        raise OptionError(message)
    if max_evals > 1:
        message = "max_evals is for one metric; with several, evaluate the sample several times within the objective"
        raise OptionError(message)
