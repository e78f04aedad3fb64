"""What a run's own input may hold: names and values of all keys, before any script is written.

For a run that a user started. What a caller's env brings to a dependency is not its own input;
``env_request.check_values`` looks at the keys of ours in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cmx_resnet50 import shell_values
from cmx_resnet50.shell_values import Place, UnsafeValue

_NAME = re.compile(r"(?:\+[ :;,]?)?[A-Za-z_][A-Za-z0-9_]*")
"""A variable's name; behind a plus, and perhaps a separator, the engine appends to the variable."""
_CHANGES = {
    "adr": "adr",
    "add_deps_recursive": "adr",
    "ad": "ad",
    "add_deps": "ad",
}
"""Keys of the input that change dependencies, and how users write them."""
_ENV = ("env", "const")
"""Keys of such a change that hold variables."""
_DOWNLOADER = re.compile(r"[A-Z]+_(?:PRE_DOWNLOAD|DOWNLOAD|EXTRACT|DAE|RCLONE)_(?P<name>\w+)")
"""Keys that the engine's downloader puts into commands, which it hands to ``eval``."""
_URL = re.compile(r"[A-Z]+_(?:PACKAGE|DOWNLOAD)_URL\d*")
_OWN_FILE = "LOCAL_FILE_PATH"
"""The user's own file, in place of which the downloader is given the entry's copy."""
_LINES = "script_prefix"
"""Lines that the engine puts into each script that it writes."""


def check_input(env: Mapping[str, Any], run: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse whatever a run's own input would have a shell do.

    Parameters
    ----------
    env : mapping
        All that the engine would write, const included.
    run : mapping
        ``run_script_input``; the changes of dependencies that variations ask for are in it, too.
    given : mapping
        The input of the run.

    Raises
    ------
    UnsafeValue
        For a name that is not a shell variable's, or a value that would not stay text.
    """
    for name, value in env.items():
        # `downloader.check_urls` looks at URLs, knowing which tool is given them.
        _check_variable(name, value, "", url=Place.QUOTED)
    shell_values.check("--tags", str(given.get("tags", "")), Place.EVAL)
    for source in (given, run):
        for key, written in _CHANGES.items():
            _check_changes(source.get(key) or {}, f"--{written}")
        for key in ("state", "const_state"):
            state = source.get(key)
            if isinstance(state, Mapping) and state.get(_LINES):
                raise UnsafeValue(
                    f"--{key}.{_LINES} holds lines of a script, which the engine would run. "
                    "Leave it out."
                )


def _check_changes(change: Any, where: str) -> None:
    """Check what changes a dependency, however deep in the dependencies of others."""
    if not isinstance(change, Mapping):
        shell_values.check(where, str(change), Place.EVAL)
        return
    for name, value in change.items():
        if name in _ENV and isinstance(value, Mapping):
            for key, text in value.items():
                _check_variable(key, text, f"{where}.{name}.", url=Place.EVAL)
        else:
            shell_values.check(f"A name in {where}", str(name), Place.EVAL)
            _check_changes(value, f"{where}.{name}")


def _check_variable(name: str, value: Any, where: str, *, url: Place) -> None:
    if not _NAME.fullmatch(name):
        raise UnsafeValue(
            f"{where}{(name.splitlines() or [''])[0][:80]!r} is not the name of an environment "
            "variable: letters, digits and underscores, and no digit first."
        )
    full, place = where + name, Place.QUOTED
    bare = name.lstrip("+ :;,")
    used = _DOWNLOADER.fullmatch(bare)
    if _URL.fullmatch(bare):
        place = url
        if where:
            shell_values.check(full, str(value), Place.URL)
    elif used and used["name"] != _OWN_FILE:
        place = Place.EVAL
        if used["name"].endswith("CMD") and str(value).strip():
            raise UnsafeValue(f"{full} holds a command, which the downloader would run.")
    # The engine joins the list of a name with a plus, and writes any other list as Python does.
    for text in value if isinstance(value, list) and name.startswith("+") else [value]:
        shell_values.check(full, str(text), place)
