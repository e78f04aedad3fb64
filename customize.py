"""CM's hooks of ``get-ml-model-resnet50``; what they do is in ``cmx_resnet50.engines``.

The engine imports this file on a hit too, before it looks the request up, and calls nothing in
it: the library is imported by the hooks. Only the lock on look-ups is taken here, because no
hook is called before one.
"""

from __future__ import annotations

import os
import sys
from typing import Any

try:
    from cmx_resnet50.cached_run import hook_copies, run_lock
except ModuleNotFoundError:  # A clone of the source, or the package of another Python.
    import runpy

    folder = os.path.dirname(__file__)  # noqa: PTH120
    runpy.run_path(os.path.realpath(f"{folder}/../../../not_installed.py"), run_name="__main__")

# As cmind finds it.
HOME = os.environ.get("CM_REPOS", "").strip() or os.path.expanduser("~/CM")  # noqa: PTH111
if None in (sys.stdin, sys.stdout, sys.stderr):  # A hit imports nothing that it does not need.
    from cmx_resnet50.cached_run.streams import open_missing

    open_missing()
run_lock.begin_lookup(HOME)
hook_copies.spare()


def predeps(i: dict[str, Any]) -> dict[str, Any]:
    """Check values and the request before any shell script is written."""
    from cmx_resnet50.engines import entry

    entry.begin(i, "_cm.json", "cm rm cache -f")
    from cmx_resnet50.engines.cm import HOOKS

    return HOOKS.predeps(i)


def preprocess(i: dict[str, Any]) -> dict[str, Any]:
    """Obtain the file and fill the entry's place, or let the user's download tool fetch it."""
    from cmx_resnet50.engines.cm import HOOKS

    return HOOKS.preprocess(i)


def postprocess(i: dict[str, Any]) -> dict[str, Any]:
    """Check what another tool fetched, make the batch true, and export what the file is."""
    from cmx_resnet50.engines.cm import HOOKS

    return HOOKS.postprocess(i)
