"""What a user may type into the page: text that stays text wherever CM writes it.

CM writes env into lines ``export KEY="VALUE"`` of the shell scripts that it runs, and does not
quote; some scripts hand a value to ``eval`` as well. What would act in either is refused here,
for every script alike.
"""

from __future__ import annotations

import re

from cmx_resnet50.errors import Resnet50Error

_EXPORT = re.compile(r'[$`"\\\x00-\x1f\x7f]')
_EVAL = re.compile(r'[$`"\\\x00-\x1f\x7f;&|<>()]')
_DIVIDES = re.compile(r"[\s,]")


class BadValue(Resnet50Error):
    """A value that cannot be handed to CM as the text that it is."""


def for_export(name: str, value: str) -> str:
    """Return `value` without blanks around it, as CM reads it.

    Parameters
    ----------
    name : str
        What the user knows the value as; for the message.
    value : str
        What was given.

    Raises
    ------
    BadValue
        For ``$``, a backtick, a double quote, a backslash or a control character.
    """
    return _without(_EXPORT, name, value)


def for_script(name: str, value: str) -> str:
    """Return `value` for a script that may hand it to ``eval``; else as `for_export`.

    Raises
    ------
    BadValue
        Also for ``;``, ``&``, ``|``, ``<``, ``>`` and parentheses.
    """
    return _without(_EVAL, name, value)


def for_tag(name: str, value: str) -> str:
    """Return `value` as part of a tag; else as `for_script`.

    Raises
    ------
    BadValue
        Also for a comma or a blank, which divide tags.
    """
    text = for_script(name, value)
    if _DIVIDES.search(text):
        raise BadValue(f"{name} holds a comma or a blank, which divides CM's tags. Leave it out.")
    return text


def _without(acting: re.Pattern[str], name: str, value: str) -> str:
    found = acting.search(value)
    if found:
        raise BadValue(
            f"{name} holds {found.group()!r}, which a shell that CM starts could act on. "
            "Give a value without it."
        )
    return value.strip()
