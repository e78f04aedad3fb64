"""``--print-completion``: a script for the user's shell, which shtab makes from the parser.

Nothing of it is imported, and no action carries anything for it, until it is asked for. A script
completes variations after each comma, from the catalog of the package that printed it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from cmx_resnet50.cli import arguments
from cmx_resnet50.errors import Resnet50Error

_BASH = """
_cmx_resnet50_words() {
  local before=""
  [[ "$1" == *,* ]] && before="${1%%,*},"
  compgen -P "$before" -W "%s" -- "${1##*,}"
}
"""
_FISH = """
function __cmx_resnet50_words
  set -l before (string replace -r '[^,]*$' '' -- (commandline -ct))
  for word in %s
    echo "$before$word"
  end
end
"""
_REQUESTS = ("variations", "requests", "request")
"""Where subcommands keep requests."""


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the completion script of `parser` for `shell`.

    Raises
    ------
    Resnet50Error
        If shtab is not installed.
    """
    try:
        shtab: Any = import_module("shtab")
    except ImportError:
        raise Resnet50Error(
            "Completion needs a Python package that is not installed:\n  pip install shtab"
        ) from None
    request = _request()
    for action in _actions(parser):
        if action.dest in _REQUESTS:
            action.complete = request  # type: ignore[attr-defined]
        elif action.type is arguments.path:
            folder = action.metavar == "DIR"
            action.complete = shtab.DIRECTORY if folder else shtab.FILE  # type: ignore[attr-defined]
    made: str = shtab.complete(parser, shell)
    return made


def _request() -> dict[str, Any]:
    """Return how a request is completed, in shtab's terms."""
    from cmx_resnet50.catalog.table import Catalog

    # A value, say of _batch_size.#, is the user's.
    known = [name.rstrip("#") for name in Catalog.load().variations.by_name if "," not in name]
    words = " ".join(f"_{name}" for name in dict.fromkeys(known))
    return {
        "bash": "_cmx_resnet50_words",
        "zsh": f"_values -s , variation {words}",
        "fish": "(__cmx_resnet50_words)",
        "preamble": {"bash": _BASH % words, "fish": _FISH % words},
    }


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)
