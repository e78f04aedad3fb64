"""CM's hooks of the script ``gui``: a page in the browser for any CM script.

There is no native step: the page is a process that is started with a list of arguments, so that no
input becomes text for a shell.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import cmx_resnet50  # noqa: F401 - the hooks need it
except ModuleNotFoundError:  # A clone of the source, or the package of another Python.
    import runpy

    folder = os.path.dirname(__file__)  # noqa: PTH120
    runpy.run_path(os.path.realpath(f"{folder}/../../../not_installed.py"), run_name="__main__")

CmDict = dict[str, Any]


def _answer(hook: Callable[[CmDict], None]) -> Callable[[CmDict], CmDict]:
    """Turn errors of the library into CM's way of reporting them."""

    def guarded(i: CmDict) -> CmDict:
        from cmx_resnet50.errors import Resnet50Error

        try:
            hook(i)
        except Resnet50Error as error:
            return {"return": 1, "error": str(error)}
        return {"return": 0, "skip": True}

    return guarded


@_answer
def predeps(i: CmDict) -> None:
    """Check the inputs, and that the script exists, before anything is installed."""
    from cmx_resnet50.gui import scripts, server

    env = i["env"]
    settings = server.Settings.read({**env, **i["run_script_input"].get("const", {})})
    tags, _ = scripts.split(settings.script)
    if tags:
        scripts.one(i["automation"].cmind.access, tags)
    if server.has_streamlit():
        env["CM_GUI_HAS_STREAMLIT"] = "yes"
    # The page imports this package: install Streamlit into the same Python.
    env["CM_TMP_USE_CUSTOM_PYTHON"] = "on"
    env["CM_PYTHON_BIN_WITH_PATH"] = sys.executable


@_answer
def preprocess(i: CmDict) -> None:
    """Serve the page until it is interrupted."""
    from cmx_resnet50.gui import server

    settings = server.Settings.read({**i["env"], **i["run_script_input"].get("const", {})})
    if not settings.is_private:
        sys.stderr.write(
            f"CM GUI: {settings.address} accepts connections from other machines, which are not "
            "encrypted: whoever learns the URL can run scripts here as you. Omit --address to "
            "accept connections from this machine only.\n"
        )
    page = Path(i["run_script_input"]["path"]) / "page.py"
    code = server.serve(settings, page, i["env"]["CM_TMP_CURRENT_PATH"])
    if code:
        raise server.CannotStart(f"The page ended with exit code {code}; see its output above.")
