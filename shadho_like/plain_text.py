"""Texts that came from afar, made fit to be shown: nothing in them moves a cursor, turns the writing around, or cannot be encoded.

And texts that go away, without what looks like a secret. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_CALLED = r"token|secret|passw(?:or)?d|api[_-]?key|credential"
# Every part of these begins at one place of a word, and no two parts in a row take the same signs: the time is linear in the text.
_NAME = rf"(?<![\w-])(?=[\w-]*?(?:{_CALLED}|authorization))[\w-]+"
_FLAG = rf"(?<![\w-])--(?=[\w-]*?(?:{_CALLED}))[\w-]+"
_SCHEME = r"(?:(?:bearer|basic|digest|token)\s+)?"
# A quote that is not closed, as in a text that was cut, hides the rest of its line.
_QUOTED = r"""(?P<escaped>\\+["'])(?:(?!(?P=escaped))[^\n])*(?:(?P=escaped))?|"(?:[^"\\\n]|\\.)*"?|'(?:[^'\\\n]|\\.)*'?"""
# A comma or its like ends a value where another name or nothing of a value follows.
_PLAIN = r"""(?:[^\s,;&"'}]|[,;&}](?!\s|$|["',;&})\]]|[\w.-]+\\*["']?[=:]))+"""
_SECRET = re.compile(
    rf"""(?i)(?P<whole>(?P<open>["']){_NAME}=)(?:(?!(?P=open))[^\n])+"""
    rf"""|(?P<name>{_NAME}\\*["']?\s*[=:]\s*{_SCHEME}|{_FLAG}(?:["'],\s*|\s+)|(?<![\w-])bearer\s+)(?:{_QUOTED}|{_PLAIN})"""
)
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_BLANKS = frozenset("\n\t\r")
_USERINFO = re.compile(r"://[^/\s]*@")


def harmless(text: str, longest: int | None = None) -> str:
    """Return a text as one line in which each character shows itself: colours are left out, what is no sign is written as its code.

    Args:
        text: any text, also with control characters or lone surrogates.
        longest: cut to so many characters, of which the last is then an ellipsis.
    """
    if longest is not None and len(text) > longest:
        text = text[: max(0, longest - 1)] + "…"
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else _spelled(sign) for sign in _COLOUR.sub("", text))


def _spelled(sign: str) -> str:
    return " " if sign in _BLANKS or unicodedata.category(sign) == "Zs" else sign.encode("unicode_escape").decode()


def without_secrets(text: str) -> str:
    """Return a text in which what is called a token, a secret, a password or a key is three asterisks, and so is who calls in a URL."""
    return _USERINFO.sub("://***@", _SECRET.sub(lambda found: f"{found['whole'] or found['name']}***", text))


def without_secret(name: str, value: str) -> str:
    """Return the value of a variable, three asterisks if its name looks like a secret's."""
    return "***" if re.search(_CALLED, name, re.IGNORECASE) else without_secrets(value)


def variables_without_secrets(variables: Any, name: str = "") -> Any:
    """Return environment variables, in whatever form a configuration gives them, without what looks like a secret.

    Args:
        variables: a mapping, a list of NAME=VALUE, mappings of such, or the value of one variable.
        name: of that one.
    """
    if isinstance(variables, Mapping):
        return {key: variables_without_secrets(value, key) for key, value in variables.items()}
    if isinstance(variables, list | tuple):
        return [variables_without_secrets(item) for item in variables]
    if variables is None:
        return None
    if name:
        return without_secret(name, str(variables))
    listed, equals, text = str(variables).partition("=")
    return f"{listed}{equals}{without_secret(listed, text)}"
