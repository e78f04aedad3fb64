"""CM's hook of ``ensure-ml-model-resnet50``: on cold runs and on hits, is everything in place?"""

from __future__ import annotations

import os
from typing import Any

from cmx_resnet50 import steps
from cmx_resnet50.errors import Resnet50Error


def preprocess(i: dict[str, Any]) -> dict[str, Any]:
    """Check object and places, repair them, and export where the model is for this run."""
    env = i["env"]
    silent = bool(i["input"].get("silent"))
    const = i["run_script_input"].get("const", {})
    # The engine has gone into the output folder: it shall hold the model and nothing else.
    os.chdir(env["CM_TMP_CURRENT_PATH"])
    try:
        if not env.get(steps.OUTPUT):
            env[steps.OUTPUT] = steps.output_folder(env, env["CM_TMP_CURRENT_PATH"])
        delivery = steps.ensure(env, const, silent=silent)
    except Resnet50Error as error:
        return {"return": 1, "error": str(error)}
    if not silent:
        print(steps.summary(env, delivery), flush=True)
    # Skipped, the engine writes no scripts and no state beside it: a hit changes nothing.
    return {"return": 0, "skip": True}
