"""The one rule on values that reach a shell: what may be written where, and what is refused.

An engine writes a value into a line ``export KEY="VALUE"`` of the scripts that it runs, and quotes
nothing; some scripts hand it on to ``eval``; CM's tags are divided by commas and blanks. Values
are refused, not quoted: a quoted one would have to survive every script that reads it.
"""

from __future__ import annotations

import re
from enum import Enum
from urllib.parse import quote

from cmx_resnet50.errors import Resnet50Error

NAME_LENGTH = 200
"""Characters that a name may have which a file of unknown origin brings."""


class Place(Enum):
    """Where a value is written. Each value is a pattern of what would act there."""

    QUOTED = r'[$`\x00-\x1f\x7f]|(?<!\\)(?:\\\\)*"|(?<!\\)(?:\\\\)*\\(?:\Z|<)'
    """Between the double quotes of an ``export`` line. A quote after an odd number of backslashes
    is text, as in the documented shapes of inputs; after an even number it ends the
    word, and a last backslash would swallow the closing quote. Before ``<`` one would reach into
    the value that the engine puts in place of ``<<<KEY>>>``, and make a quote of its own there."""
    ESCAPED = r'[$`"\x00-\x1f\x7f]|(?<!\\)(?:\\\\)*\\(?:\Z|<)'
    """The same where the engine puts a backslash before each quote, as MLC does: after one that is
    there already, the quote would end the word."""
    SHAPES = r"[$`\\\x00-\x1f\x7f]"
    """There, for the shapes of inputs, which are documented with quotes."""
    EVAL = r'[$`"\\\x00-\x1f\x7f;&|<>()]'
    """There, and in a script that hands the value to ``eval``."""
    TAG = r'[$`"\\\x00-\x1f\x7f;&|<>()\s,]'
    """There, and as a part of one tag, which a comma or a blank would end."""
    URL = r"[^A-Za-z0-9._~:/?#\[\]@!&*+,=%-]"
    """There, and as a URL that a download tool may be given unquoted: the characters of RFC 3986,
    but for those that a shell acts on. The engine escapes ``&``, in the main URL."""
    FILE = r"[$`\"'\\\x00-\x1f\x7f;&|<>()\s]"
    """There, and as a file name that a download tool may be given unquoted."""
    NAME = r"[^A-Za-z0-9_./:;, -]"
    """Between double quotes, and in a Python literal that a caller evaluates."""


class UnsafeValue(Resnet50Error):
    """A value that would not stay the text that it is."""


def check(name: str, value: str, place: Place) -> None:
    """Refuse a `value` that would not stay text in `place`.

    Parameters
    ----------
    name : str
        What the user knows the value as. The value itself is not printed: it may hold a secret.
    value : str
        What was given.
    place : Place
        Where it is written.

    Raises
    ------
    UnsafeValue
        If a shell would act on a character of it, or, for a `Place.NAME`, if it is empty or too
        long.
    """
    if place is Place.NAME and not 0 < len(value) <= NAME_LENGTH:
        raise UnsafeValue(f"{name} has {len(value)} characters, not 1 to {NAME_LENGTH}.")
    found = re.search(place.value, value)
    if found is None:
        return
    character = found.group()
    if place is Place.TAG and (character == "," or character.isspace()):
        raise UnsafeValue(
            f"{name} contains {character!r}, a comma or a blank, which separates CM's tags. "
            "Leave it out."
        )
    if place is Place.NAME:
        raise UnsafeValue(f"{name} contains {character!r}; such a name is not exported.")
    if place is Place.URL:
        raise UnsafeValue(
            f"{name} contains {character!r}, which a URL has to spell as "
            f"{quote(character, safe='', errors='replace')}."
        )
    raise UnsafeValue(
        f"{name} contains {character!r}, which a shell would act on. Give a value without it."
    )
