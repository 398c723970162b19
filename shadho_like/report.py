"""One page about an experiment, to be sent to a colleague: it needs nothing but itself, and nothing in it is run."""

from __future__ import annotations

import base64
import io
import json
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shadho_like import __version__
from shadho_like.errors import OptionError, WorldError
from shadho_like.html_table import shown, table, trials_table
from shadho_like.journal import JournalReader
from shadho_like.plain_text import harmless, without_secrets
from shadho_like.plots.history import history
from shadho_like.plots.parallel import parallel
from shadho_like.plots.rungs import rungs
from shadho_like.plots.utilization import utilization
from shadho_like.progress import duration
from shadho_like.space import flatten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BEST = 20
_FAILURES = 10
_LONGEST_LOG = 4000
_LONGEST_SPACE = 20_000
_DPI = 130

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2430; margin: 0 auto; max-width: 70rem; padding: 1.5rem 1.2rem 4rem; }
h1 { font-size: 1.7rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid #dfe3e8; padding-bottom: .2rem; }
p { margin: .4rem 0; overflow-wrap: anywhere; }
.quiet { color: #66707d; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.card { border: 1px solid #dfe3e8; border-radius: 8px; padding: .5rem .9rem; min-width: 7rem; }
.card b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th { text-align: left; color: #66707d; font-weight: 600; }
th, td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid #eef0f3; white-space: nowrap; }
pre { background: #f5f6f8; border-radius: 6px; padding: .7rem .9rem; overflow-x: auto; font-size: .82rem; white-space: pre-wrap; }
img { max-width: 100%; height: auto; display: block; margin: .8rem 0; }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


Maker = Callable[[JournalReader, Mapping[str, Any]], "Figure"]


def write_report(directory: Path, target: Path) -> list[str]:
    """Write the page, whole or not at all; return what is missing in it, and why.

    Raises:
        JournalError: there is no experiment that can be read.
        WorldError: the file cannot be written.
    """
    missing: list[str] = []
    text = report(directory, missing)
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        message = f"the report cannot be written to {target}: {error.strerror}"
        raise WorldError(message) from error
    return missing


def report(directory: Path, missing: list[str]) -> str:
    """Return the page as HTML; what is not in it for want of something is added to `missing`."""
    with JournalReader(directory) as journal:
        config = journal.config
        parts = [*_head(journal, config), *_figures(journal, config, missing), *_best(journal, config)]
        parts += [*_failures(journal), *_configuration(config), *_reproduction(journal, config, directory)]
    name = shown(config["name"], 200)
    body = "\n".join(parts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}</title>
<style>{_STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _head(journal: JournalReader, config: Mapping[str, Any]) -> Iterator[str]:
    counts, driver = journal.counts(), journal.driver()
    began_s, last_s = journal.first_time_s(), journal.last_time_s()
    phase = journal.phase.value.lower() if journal.phase.over else "running" if driver else "not running"
    when = " – ".join(time.strftime("%Y-%m-%d %H:%M", time.localtime(time_s)) for time_s in (began_s, last_s))
    yield f"<h1>{shown(config['name'], 200)}</h1>"
    aim = "the smallest" if config["smaller_is_better"] else "the largest"
    method = shown(config["method"]["name"])
    yield f'<p class="quiet">A search by {method} for {aim} {shown(config["metric"])} · {phase} · {when}</p>'
    best = journal.best(smaller_is_better=config["smaller_is_better"])
    cards = [(f"best {config['metric']}", best.metric if best else "none"), ("trials", sum(counts.values()))]
    cards += [(state.lower(), counts[state]) for state in sorted(counts)]
    cards += [("attempts lost to machines", journal.lost_attempts()), ("from first to last", duration(last_s - began_s))]
    drawn = "".join(f'<div class="card"><b>{shown(value)}</b>{shown(name)}</div>' for name, value in cards)
    yield f'<div class="cards">{drawn}</div>'
    if best is not None:
        yield f"<h2>The best: trial {best.number}</h2>"
        found = [*flatten(best.hparams).items()]
        yield f'<div class="wide">{table(["hyperparameter", "value"], found, 200)}</div>'
        if best.metrics:
            yield f'<p>Besides, it returned</p><div class="wide">{table(["name", "value"], best.metrics.items(), 200)}</div>'


def _figures(journal: JournalReader, config: Mapping[str, Any], missing: list[str]) -> Iterator[str]:
    lengths = {length for _, length, _, _ in journal.results(config["metric"])}
    makers: list[tuple[str, Maker]] = [("How it went", history), ("Hyperparameters", parallel)]
    makers += [("How long trials were trained", rungs)] if len(lengths) > 1 else []
    makers += [("What ran when", utilization)]
    try:
        pictures = [(title, _picture(maker(journal, config))) for title, maker in makers]
    except OptionError as error:
        missing.append(f"the report has no figures: {error}")
        return
    for title, picture in pictures:
        yield f"<h2>{title}</h2>"
        yield f'<img alt="{title}" src="data:image/png;base64,{picture}">'


def _picture(figure: Figure) -> str:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=_DPI)
    return base64.b64encode(data.getvalue()).decode("ascii")


def _best(journal: JournalReader, config: Mapping[str, Any]) -> Iterator[str]:
    trials = journal.best_trials(_BEST, smaller_is_better=config["smaller_is_better"])
    if trials:
        yield f"<h2>The best {len(trials)} trials</h2>" if len(trials) > 1 else "<h2>The one trial with a result</h2>"
        yield f'<div class="wide">{trials_table(trials, config["metric"])}</div>'


def _failures(journal: JournalReader) -> Iterator[str]:
    found = journal.failures(_FAILURES)
    if not found:
        return
    yield "<h2>Failures</h2>"
    for message, count, first, kind, tail in found:
        which = f"trial {first}" if count == 1 else f"{count} trials, the first of them trial {first}"
        yield f"<p><b>{shown(without_secrets(message), 500)}</b> <span class='quiet'>({shown(kind)}; {which})</span></p>"
        if tail.strip():
            yield f"<pre>{_lines(without_secrets(tail[-_LONGEST_LOG:]))}</pre>"


def _lines(text: str) -> str:
    return "\n".join(escape(harmless(line)) for line in text.rstrip().splitlines())


def _configuration(config: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>Configuration</h2>"
    known = {
        "search method": config["method"]["name"],
        **{f"its {name}": value for name, value in config["method"]["keys"].items()},
        "metric": config["metric"],
        "smaller is better": config["smaller_is_better"],
        "evaluations of each sample": config["evaluations"],
        "seed": config["seed"],
    }
    yield f'<div class="wide">{table(["", ""], known.items(), 300)}</div>'
    space = json.dumps(config["space"], indent=1, ensure_ascii=False)
    cut = "\n…" if len(space) > _LONGEST_SPACE else ""
    yield f"<p>The search space, as the journal keeps it:</p>\n<pre>{_lines(space[:_LONGEST_SPACE])}{cut}</pre>"


def _reproduction(journal: JournalReader, config: Mapping[str, Any], directory: Path) -> Iterator[str]:
    yield "<h2>How to reproduce it</h2>"
    command = journal.command
    if command is not None:
        line = f"cd {shlex.quote(str(command['cwd']))}\n{shlex.join(map(str, command['argv']))}"
        yield f"<p>Its driver was last started by</p>\n<pre>{_lines(without_secrets(line))}</pre>"
    ran = config.get("command") or config.get("objective")
    if ran:
        yield f"<p>Each trial runs</p>\n<pre>{_lines(without_secrets(str(ran)))}</pre>"
    yield (
        f"<p>With seed={shown(config['seed'])} and another directory, the same driver draws the same points. All trials, with what they"
        f" printed, are in <code>{shown(str(directory.absolute()), 500)}</code>.</p>"
    )
    now = time.strftime("%Y-%m-%d %H:%M:%S %z")
    yield f'<p class="quiet">Written by shadho_like {__version__} on {now}.</p>'
