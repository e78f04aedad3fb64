"""What a run's own input may hold: names and values of all keys, before any script is written.

The engine ignores a flag that it does not know: `check_flags` finds the misspelt ones of ours, and
those of a path that have none.

For a run that a user started. What a caller's env brings to a dependency is not its own input;
``env_request.check_values`` looks at the keys of ours in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from cmx_resnet50 import shell_values
from cmx_resnet50.options import OptionError
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
_DOWNLOADER = re.compile(r"[A-Z]+_(?:PRE_DOWNLOAD|DOWNLOAD|EXTRACT|DAE|RCLONE|SSL)_(?P<name>\w+)")
"""Keys that the engine's downloader puts into commands, which it hands to ``eval``."""
_URL = re.compile(r"[A-Z]+_(?:PACKAGE|DOWNLOAD)_URL\d*")
_OWN_FILE = "LOCAL_FILE_PATH"
"""The user's own file, in place of which the downloader is given the entry's copy."""
_NEAR = 0.8
"""How alike a misspelt flag and the right one are at least, as difflib measures it."""
_SHORTEST = 4
"""Letters of a word that is compared: of shorter ones, many are alike."""
_OUTPUT = "outdirname"
_OUTPUT_SLIPS = re.compile(
    r"out_?(?:dir|folder)|output_?folder|outputdir|output_?path|to_?(?:dir|folder)|"
    r"dest(?:ination)?(?:_?(?:dir|folder))?|target_?(?:dir|folder)|directory"
)
"""What users write for `_OUTPUT`, and no engine reads: of those, ``output_dir``, ``path``, …"""
_LINES = "script_prefix"
"""Lines that the engine puts into each script that it writes."""


def check_input(
    env: Mapping[str, Any],
    run: Mapping[str, Any],
    given: Mapping[str, Any],
    quoted: Callable[[str], Place],
) -> None:
    """Refuse whatever a run's own input would have a shell do.

    Parameters
    ----------
    env : mapping
        All that the engine would write, const included.
    run : mapping
        ``run_script_input``; the changes of dependencies that variations ask for are in it, too.
    given : mapping
        The input of the run.
    quoted : callable
        Gives the place into which the engine writes the value of a variable.

    Raises
    ------
    UnsafeValue
        For a name that is not a shell variable's, or a value that would not stay text.
    """
    for name, value in env.items():
        # `downloader.check_urls` looks at URLs, knowing which tool is given them.
        _check_variable(name, value, "", quoted, url=quoted(name))
    shell_values.check("--tags", str(given.get("tags", "")), Place.EVAL)
    for source in (given, run):
        for key, written in _CHANGES.items():
            _check_changes(source.get(key) or {}, f"--{written}", quoted)
        for key in ("state", "const_state"):
            state = source.get(key)
            if isinstance(state, Mapping) and state.get(_LINES):
                raise UnsafeValue(
                    f"--{key}.{_LINES} holds lines of a script, which the engine would run. "
                    "Leave it out."
                )


def check_flags(given: Mapping[Any, Any], known: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a misspelt flag, and a path's without a value.

    Ignored, ``--ofline`` would end in a download; and for ``--to`` the engine puts True.

    Parameters
    ----------
    given : mapping
        A run's own input. Keys of the engine, and others that only it or another script may know,
        are accepted: none of the engines' is as near to one of ours as `_NEAR`.
    known : mapping
        Our flags, as the meta describes them.

    Raises
    ------
    OptionError
        For a key that is nearly one of ours; the text names that. For a path without a value.
    """
    for key, value in given.items():
        if key in known:
            if value is True and "choices" not in known[_first_name(key, known)]:
                raise without_value(key, _first_name(key, known))
            continue
        word = str(key).lower().replace("-", "_")
        if len(word) < _SHORTEST:
            continue
        from difflib import get_close_matches

        near = get_close_matches(word, known, n=1, cutoff=_NEAR)
        if not near and _OUTPUT_SLIPS.fullmatch(word):
            near = [_OUTPUT]
        if near:
            raise OptionError(
                f"Unknown flag --{key}. Did you mean --{near[0]}? Nothing was fetched."
            )


def without_value(flag: str, meaning: str) -> OptionError:
    """Return the error for the flag of a path without a value, like the flag `meaning`."""
    what = "FOLDER" if meaning == "to" else "FILE"
    return OptionError(f"--{flag} has no value. Write --{flag}={what}, with an equals sign.")


def _first_name(key: str, known: Mapping[str, Mapping[str, Any]]) -> str:
    return str(known[key].get("same_as", key))


def _check_changes(change: Any, where: str, quoted: Callable[[str], Place]) -> None:
    """Check what changes a dependency, however deep in the dependencies of others."""
    if not isinstance(change, Mapping):
        shell_values.check(where, str(change), Place.EVAL)
        return
    for name, value in change.items():
        if name in _ENV and isinstance(value, Mapping):
            for key, text in value.items():
                _check_variable(key, text, f"{where}.{name}.", quoted, url=Place.EVAL)
        else:
            shell_values.check(f"A name in {where}", str(name), Place.EVAL)
            _check_changes(value, f"{where}.{name}", quoted)


def _check_variable(
    name: str, value: Any, where: str, quoted: Callable[[str], Place], *, url: Place
) -> None:
    if not _NAME.fullmatch(name):
        raise UnsafeValue(
            f"{where}{(name.splitlines() or [''])[0][:80]!r} is not the name of an environment "
            "variable: letters, digits and underscores, and no digit first."
        )
    full, place = where + name, quoted(name)
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
