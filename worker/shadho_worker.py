"""The trial's side of a search, in one file that travels with every attempt: file names, their fields, how they are written.

Standard library and Python 3.8 only; nothing of the driver's side is imported here, the driver's side imports this.
An objective's script ends with `shadho_worker.run(objective)`, a training script uses `with shadho_worker.init() as context`.
A command without Python honours the same files: it reads `hyperparameters.json` and writes `result.json`, which may be just a
number, or an object with the metric in it.
"""

from __future__ import annotations

import copy
import json
import math
import os
import sys
import traceback
from collections.abc import Mapping

# What a trial can do without is imported where it is used: that is a third of the time that a short one takes.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    Objective = Callable[[Any], Any]

HYPERPARAMETERS_FILE = "hyperparameters.json"
TRIAL_FILE = "trial.json"
RESULT_FILE = "result.json"
EVENTS_FILE = "events.jsonl"
LOG_FILE = "output.log"
BATCH_FILE = "batch.json"
RESULTS_FILE = "results.jsonl"
OBJECTIVE_FILE = "objective.pkl"
WORKER_FILE = "shadho_worker.py"
ENTRYPOINT_FILE = "shadho_entrypoint.py"
MODULES = (WORKER_FILE, ENTRYPOINT_FILE, "shadho_context.py", "shadho_checkpoint.py", "shadho_storage.py", "shadho_distributed.py")

WIRE_VERSION = 1
LONGEST_MESSAGE = 500
LONGEST_TRACEBACK = 10_000
DEEPEST_VALUE = 50

_LARGEST_INTEGER = 2**63 - 1
_NOT_A_TRIAL = 2


class InvalidHP(Exception):
    """Raised by an objective: these hyperparameters cannot work, and the trial is not to be tried again."""


class LoadError(Exception):
    """A pickled objective cannot be loaded here; the message says what is missing."""


class _BadValue(Exception):
    """A value that no result can hold; the message says which and why."""


def run(objective: Objective) -> None:
    """Evaluate `objective` on the hyperparameters in the current folder and leave the result there.

    Ends the process with status 1 if that fails, and with 2 outside of any trial's folder.
    """
    status = run_in(os.getcwd(), objective)
    if status:
        sys.exit(status)


def run_in(folder: str, objective: Objective) -> int:
    """Evaluate the trial, or the batch of trials, whose files are in `folder`; return the exit status.

    In a batch each trial has a result of its own, so that the status is 0 however they end.
    """
    try:
        if os.path.exists(os.path.join(folder, BATCH_FILE)):
            batch = _read_json(folder, BATCH_FILE)
        elif os.path.exists(os.path.join(folder, HYPERPARAMETERS_FILE)):
            trial, hyperparameters = _read_json(folder, TRIAL_FILE), _read_json(folder, HYPERPARAMETERS_FILE)
            batch = None
        elif takes_context(objective):
            return _run_with_context(objective)
        else:
            print(_OUTSIDE.format(file=HYPERPARAMETERS_FILE, folder=folder), file=sys.stderr)
            return _NOT_A_TRIAL
    except (OSError, ValueError) as error:
        print(f"shadho_worker: the files of this trial cannot be read: {error}", file=sys.stderr)
        return _NOT_A_TRIAL
    if batch is not None:
        if takes_context(objective):
            print(_NO_BATCH, file=sys.stderr)
            return _NOT_A_TRIAL
        _run_batch(folder, objective, batch)
        return 0
    if takes_context(objective):
        return _run_with_context(objective)
    result = _evaluate_trial(objective, trial, hyperparameters)
    write_result(folder, result)
    _explain(result)
    return 0 if result["status"] == "completed" else 1


def init(hparams: Any = None) -> Any:
    """Return the context of the trial in the current folder, for `with`; see `shadho_context.Context`.

    Outside of any trial, `hparams` are its hyperparameters, and what is reported is printed.
    """
    import shadho_context

    return shadho_context.init(hparams)


def takes_context(objective: Objective) -> bool:
    """Return whether a callable wants a context: its one parameter is named or annotated so. Others get the hyperparameters."""
    code = getattr(objective, "__code__", None)
    if code and "context" not in code.co_varnames and not objective.__annotations__ and not vars(objective):
        return False
    import inspect

    try:
        parameters = list(inspect.signature(objective).parameters.values())
    except (TypeError, ValueError):
        return False
    if len(parameters) != 1:
        return False
    annotation = parameters[0].annotation
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return parameters[0].name == "context" or name.rpartition(".")[2] == "Context"


def _run_with_context(objective: Objective) -> int:
    """Evaluate the trial in the current folder with a callable that takes a context; return the exit status."""
    try:
        with init() as context:
            context.finish(objective(context))
    except KeyboardInterrupt:
        raise
    except BaseException:
        traceback.print_exc()
        return 1
    return 0 if context.succeeded else 1


def _evaluate_trial(objective: Objective, trial: Mapping[str, Any], hyperparameters: Any) -> dict[str, Any]:
    return evaluate(objective, hyperparameters, trial["metric"], trial["evaluations"], trial.get("any_json", False))


def evaluate(
    objective: Objective, hyperparameters: Any, metric: str = "loss", evaluations: int = 1, any_json: bool = False
) -> dict[str, Any]:
    """Call `objective` with a copy of the hyperparameters and return the result object; only KeyboardInterrupt passes.

    Several evaluations give the mean of the metric, and whatever else the last of them returned; `any_json` is for one evaluation.
    """
    result = _evaluate_once(objective, hyperparameters, metric, any_json)
    values = [result.get("metric", math.nan)]
    while len(values) < evaluations and result["status"] == "completed":
        result = _evaluate_once(objective, hyperparameters, metric, any_json)
        values.append(result.get("metric", math.nan))
    if evaluations > 1 and result["status"] == "completed":
        result["metric"] = math.fsum(value / evaluations for value in values)
    return result


def _evaluate_once(objective: Objective, hyperparameters: Any, metric: str, any_json: bool) -> dict[str, Any]:
    pid = os.getpid()
    try:
        returned = objective(copy.deepcopy(hyperparameters))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        _end_forked_copy(pid)
        return failed("invalid_hp" if isinstance(error, InvalidHP) else "error", *describe(error))
    _end_forked_copy(pid)
    return result_of(returned, metric, any_json)


def _end_forked_copy(pid: int) -> None:
    """End here if the objective forked and let its child come back: the trial goes on in the parent alone."""
    if os.getpid() != pid:
        os._exit(0)


def result_of(returned: Any, metric: str = "loss", any_json: bool = False) -> dict[str, Any]:
    """Return the result object for what an objective returned: a number, or a mapping with the metric and other JSON values.

    With `any_json`, for a search method that takes whatever was reported, any JSON value will do but none at all.
    """
    try:
        if any_json and returned is not None:
            return {"status": "completed", "reported": _plain(returned, "", DEEPEST_VALUE)}
        if not isinstance(returned, Mapping):
            return {"status": "completed", "metric": _number(returned, "the objective returned"), "metrics": {}}
        if metric not in returned:
            names = ", ".join(map(repr, returned)) or "an empty mapping"
            return failed("bad_result", f"the objective returned no {metric!r}, only {names}")
        value = _number(returned[metric], f"{metric!r} is")
        others = {key: item for key, item in returned.items() if key != metric}
        return {"status": "completed", "metric": value, "metrics": _plain(others, "", DEEPEST_VALUE)}
    except _BadValue as problem:
        return failed("bad_result", str(problem))
    except Exception as error:
        # A returned value's own methods raised: foreign code, whose error must not look like ours.
        return failed("bad_result", f"what the objective returned cannot be read: {describe(error)[0]}")


def failed(kind: str, message: str, trace: str = "") -> dict[str, Any]:
    """Return the result object of a failed trial."""
    return {"status": "failed", "kind": kind, "message": one_line(message), "traceback": trace}


def describe(error: BaseException) -> tuple[str, str]:
    """Return (one line, traceback) for an exception of the user's code, without our own frame at the top."""
    kind, top = type(error), error.__traceback__
    name = one_line("".join(traceback.format_exception_only(kind, error)))
    trace = "".join(traceback.format_exception(kind, error, top.tb_next if top else None))
    return name, encodable(trace[-LONGEST_TRACEBACK:])


def _number(value: Any, said: str) -> float:
    """Return a returned metric as a finite float; NumPy's and PyTorch's scalars have `item`."""
    plain = value
    if not isinstance(value, (bool, int, float)) and callable(getattr(value, "item", None)):
        try:
            plain = value.item()
        except Exception as error:
            message = f"{said} {short(value)}, which is not one number"
            raise _BadValue(message) from error
    if not isinstance(plain, (bool, int, float)):
        message = f"{said} {short(value)}{': does it end without a return?' if plain is None else ', not a number'}"
        raise _BadValue(message)
    try:
        number = float(plain)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        message = f"{said} {number}, which is no finite number"
        raise _BadValue(message)
    return number


def _plain(value: Any, where: str, depth: int) -> Any:
    """Return a value as plain JSON: exact types, finite numbers, text that every encoding takes."""
    if depth == 0:
        message = f"{where.partition('.')[0]!r} is nested more than {DEEPEST_VALUE} deep"
        raise _BadValue(message)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, int) and abs(value) <= _LARGEST_INTEGER:
        return int(value)
    if isinstance(value, (int, float)):
        return _number(value, _said(where))
    if isinstance(value, Mapping):
        return {_key(key, where): _plain(item, _join(where, key), depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, _join(where, index), depth - 1) for index, item in enumerate(value)]
    if callable(getattr(value, "tolist", None)):
        return _plain(value.tolist(), where, depth - 1)
    message = f"{_said(where)} {short(value)}, which JSON cannot hold"
    raise _BadValue(message)


def _said(where: str) -> str:
    return f"{where!r} is" if where else "the objective returned"


def _key(key: Any, where: str) -> str:
    if isinstance(key, str):
        return encodable(key)
    message = f"the key {short(key)} of {repr(where) if where else 'what the objective returned'} is not a string"
    raise _BadValue(message)


def _join(where: str, name: Any) -> str:
    return f"{where}.{name}" if where else str(name)


def encodable(text: str) -> str:
    """Return a text without what UTF-8 cannot hold (lone surrogates, as undecodable file names have them)."""
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(text: str) -> str:
    """Return a text as one line of bounded length."""
    line = " ".join(encodable(text).split())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 3] + "..."


def short(value: Any) -> str:
    """Return the beginning of a value's repr, whatever its repr does, and its type."""
    if value is None:
        return "None"
    try:
        shown = repr(value)
    except Exception:
        shown = "(its repr raised)"
    return f"{one_line(shown if len(shown) <= 80 else shown[:77] + '...')} ({type(value).__name__})"


def write_result(folder: str, result: Mapping[str, Any]) -> None:
    """Write `result.json`, whole or not at all."""
    path = os.path.join(folder, RESULT_FILE)
    partial = f"{path}.{os.getpid()}.partial"
    with open(partial, "w", encoding="utf-8") as file:
        json.dump(result, file)
    os.replace(partial, path)


def _run_batch(folder: str, objective: Objective, batch: list[dict[str, Any]]) -> None:
    """Evaluate each trial of a batch in order; its line is out before the next one begins."""
    for entry in batch:
        trial = entry["trial"]
        result = _evaluate_trial(objective, trial, entry["hyperparameters"])
        line = json.dumps({"trial": trial["trial"], **result})
        with open(os.path.join(folder, RESULTS_FILE), "a", encoding="utf-8") as file:
            file.write(line + "\n")
        _explain(result)


def _explain(result: Mapping[str, Any]) -> None:
    if result["status"] != "completed":
        print(result["traceback"].rstrip() or f"shadho_worker: {result['message']}", file=sys.stderr, flush=True)


def _read_json(folder: str, name: str) -> Any:
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return json.load(file)


def load_objective(path: str) -> Objective:
    """Return the callable that the driver pickled.

    Raises:
        LoadError: it cannot be loaded here.
    """
    import pickle

    version = f"{sys.executable} (Python {sys.version_info[0]}.{sys.version_info[1]})"
    try:
        with open(path, "rb") as file:
            objective: Objective = pickle.load(file)
    except ImportError as error:
        message = f"the objective cannot be loaded by {version}: {error}; install what is missing there"
        raise LoadError(message) from error
    except Exception as error:
        message = f"the objective cannot be loaded by {version}: {describe(error)[0]}"
        raise LoadError(message) from error
    return objective


def main() -> None:
    """Run the pickled objective that lies in the current folder."""
    folder = os.getcwd()
    path = os.path.join(folder, OBJECTIVE_FILE)
    if len(sys.argv) > 1 or not os.path.exists(path):
        print(_USAGE.format(file=OBJECTIVE_FILE, folder=folder), file=sys.stderr)
        sys.exit(_NOT_A_TRIAL)
    try:
        objective = load_objective(path)
    except LoadError as error:
        print(f"shadho_worker: {error}", file=sys.stderr)
        if not os.path.exists(os.path.join(folder, BATCH_FILE)):
            write_result(folder, failed("error", str(error)))
        sys.exit(1)
    run(objective)


_NO_BATCH = "shadho_worker: a training function that takes a context has a task for each trial: leave hyperparameters_per_task out"

_OUTSIDE = """shadho_worker: there is no {file} in {folder}.
A script that calls shadho_worker.run is started by a search, in a folder made for each trial: name it in the search's command
(Shadho('python this_script.py', space)), send it along with add_input_file('this_script.py'), and run the driver."""

_USAGE = """usage: python shadho_worker.py
Evaluates the trial in the current folder with the objective in its {file}; takes no arguments. Looked in {folder}."""

if __name__ == "__main__":
    # Under its own name: an objective that raises shadho_worker.InvalidHP must raise the class that is caught here.
    import shadho_worker

    shadho_worker.main()
