"""What mkdocs does with our pages besides Markdown: fills in the tables that come from the code, and names what is not on the site."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import from_code

_TABLES: Mapping[str, Callable[..., str]] = {
    "commands": from_code.commands,
    "keys": from_code.method_keys,
    "worker-help": from_code.worker_help,
    "yaml-keys": from_code.yaml_keys,
    "yaml-refused": from_code.yaml_refused,
}
_MARK = re.compile(r"^<!-- (\S+)((?: \S+)*) -->$", re.MULTILINE)
_OUTSIDE = re.compile(r"\[[^\]]*\]\((?:\.\./)+((?:README\.md|examples|scripts|tests)[^)#]*)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page's text with a table for each mark, `<!-- keys async_halving -->`, and names for links to files of the repository.

    Raises:
        KeyError: there is no such table.
    """
    named = _OUTSIDE.sub(r"`\1`", markdown)
    return _MARK.sub(lambda mark: _TABLES[mark[1]](*mark[2].split()), named)
