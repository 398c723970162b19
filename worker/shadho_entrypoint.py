"""`python shadho_entrypoint.py module:function`: evaluates the trial in the current folder with a function of a module that lies there.

Standard library and Python 3.8 only; travels with every attempt.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from typing import Any, Callable

_MISUSED = 2


def load(entrypoint: str) -> Callable[[Any], Any]:
    """Return the function that `module:function` names.

    Raises:
        LookupError: there is no such module or no such function in it; the message says what there is.
    """
    name, _, attribute = entrypoint.partition(":")
    try:
        found: Any = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise
        raise LookupError(f"there is no module {error.name!r} in {os.getcwd()}: is its file in the context directory?") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            there = ", ".join(sorted(key for key, value in vars(found).items() if inspect.isfunction(value))) or "none"
            raise LookupError(f"the module {name!r} has no {attribute!r}; its functions: {there}")
        found = getattr(found, part)
    if inspect.isclass(found) or not callable(found):
        what = "a class" if inspect.isclass(found) else f"{found!r:.80}"
        raise LookupError(f"{entrypoint} is {what}: name a function that takes the hyperparameters, or a context")
    function: Callable[[Any], Any] = found
    return function


def main() -> None:
    """Evaluate the trial with the function that the command line names."""
    import shadho_worker

    if len(sys.argv) != 2 or ":" not in sys.argv[1]:
        print("usage: python shadho_entrypoint.py module:function", file=sys.stderr)
        sys.exit(_MISUSED)
    sys.path.insert(0, os.getcwd())
    try:
        function = load(sys.argv[1])
    except Exception as error:
        if not isinstance(error, LookupError):
            traceback.print_exc()
        message = f"entrypoint {sys.argv[1]} cannot be loaded: {error}"
        print(f"shadho_worker: {message}", file=sys.stderr)
        shadho_worker.write_result(os.getcwd(), shadho_worker.failed("error", message))
        sys.exit(1)
    shadho_worker.run(function)


if __name__ == "__main__":
    main()
