"""The tables of the documentation that are taken from the code: keys of search methods and of the YAML file, and each command's help."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import click

from shadho_like.cli.main import cli
from shadho_like.experiment_config.keys import KEYS, SECTIONS
from shadho_like.experiment_config.refused import REFUSED
from shadho_like.registry import lookup
from shadho_like.searcher import METHODS, SAMPLERS

_NOT_KEYS = {"space", "seed", "smaller_is_better"}
_SAMPLED = SAMPLERS.keys() - {"random"}
_WIDTH = 88


def method_keys(name: str) -> str:
    """Return the table of a search method's keys: name, default, meaning."""
    method = lookup("search method", name, METHODS)
    meaning = _arguments(inspect.getdoc(method) or "")
    lines = ["| key | default | what |", "|---|---|---|"]
    for key, parameter in inspect.signature(method).parameters.items():
        if key in _NOT_KEYS:
            continue
        default = "needed" if parameter.default is parameter.empty else f"`{parameter.default!r}`"
        what = meaning[key]
        if key == "sampler" and (name == "single" or name in _SAMPLED):
            continue
        if key == "sampler":
            default, what = "`'random'`", f"chooses the points: {', '.join(f'`{each}`' for each in sorted(SAMPLERS))}."
        lines.append(f"| `{key}` | {default} | {_cell(what)} |")
    grows = " and ".join(f"`{key}`" for key in sorted(method.extensible))
    after = f"\n\nAfter the end, {grows} can grow: `shadho experiment continue`." if grows else ""
    return "\n".join(lines) + after


def _arguments(docstring: str) -> dict[str, str]:
    """Return what the section "Args" says of each argument."""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)+)", docstring, re.MULTILINE)
    told: dict[str, str] = {}
    for entry in re.findall(r"^    (\S.*(?:\n {8}.*)*)", section[1] if section else "", re.MULTILINE):
        names, _, text = entry.partition(":")
        for name in names.split(","):
            told[name.strip()] = " ".join(text.split())
    return told


def yaml_keys() -> str:
    """Return a table for each section of the configuration."""
    return "\n".join(_sections())


def _sections() -> Iterator[str]:
    for section in ("", *dict.fromkeys(key.section for key in KEYS if key.section)):
        yield f"\n### {f'`{section}`' if section else 'At the top'}\n"
        yield "| key | value | default | what |\n|---|---|---|---|"
        for key in KEYS:
            if key.section == section:
                default = "needed" if key.needed else key.default
                name = f"[`{key.name}`](#{key.path})" if key.path in SECTIONS else f"`{key.name}`"
                yield f"| {name} | {_cell(key.type)} | {_cell(default)} | {_cell(key.says)} |"


def yaml_refused() -> str:
    """Return the table of keys that are refused."""
    lines = ["| key | because |", "|---|---|"]
    return "\n".join(lines + [f"| `{path}` | {_cell(reason)} |" for path, reason in REFUSED.items()])


def commands() -> str:
    """Return the help of `shadho` and of everything under it, as the command itself prints it."""
    return "\n\n".join(_helps(click.Context(cli, info_name="shadho", terminal_width=_WIDTH, **cli.context_settings), 2))


def worker_help() -> str:
    """Return the help of `wq_worker`."""
    environment = {**os.environ, "COLUMNS": str(_WIDTH)}
    said = subprocess.run([sys.executable, "-m", "wq_worker", "--help"], env=environment, capture_output=True, text=True, check=True)
    return f"```text\n{said.stdout.rstrip()}\n```"


def _helps(context: click.Context, depth: int) -> Iterator[str]:
    yield f"{'#' * depth} {context.command_path}\n\n```text\n{context.get_help()}\n```"
    if isinstance(context.command, click.Group):
        for name, command in sorted(context.command.commands.items()):
            if not command.hidden:
                yield from _helps(click.Context(command, context, name), min(depth + 1, 4))


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
