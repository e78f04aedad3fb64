"""CM's hook of ``ensure-ml-model-resnet50``: on hits, is everything in place?

Also after a cold run into an output folder, whose path must be exported last.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from cmx_resnet50.cached_run import receipt, run_lock


def preprocess(i: dict[str, Any]) -> dict[str, Any]:
    """Check object and places, repair them, and export where the model is for this run."""
    env = i["env"]
    silent = bool(i["input"].get("silent"))
    const = i["run_script_input"].get("const", {})
    # The engine has gone into the output folder: it shall hold the model and nothing else.
    os.chdir(env["CM_TMP_CURRENT_PATH"])
    cold = receipt.RUN + "ENTRY" in env
    if not cold:
        run_lock.leave()
    answer = None
    if not cold and not env.get("CM_OUTDIRNAME") and not env.get("CM_RESNET50_TO"):
        answer = receipt.answer(env, const)
    if answer is not None:
        notes, line = answer
        for note in notes:
            print(f"CM ResNet-50: {note}", file=sys.stderr)
    else:
        from cmx_resnet50.engines import env_run
        from cmx_resnet50.errors import INTERRUPTED, Resnet50Error

        try:
            if not cold:
                env[env_run.OUTPUT] = env_run.output_folder(env, env["CM_TMP_CURRENT_PATH"])
            line = env_run.ensure(env, const, silent=silent)
        except Resnet50Error as error:
            return {"return": 1, "error": str(error)}
        except KeyboardInterrupt:
            return {"return": 130, "error": INTERRUPTED}
    if not silent:
        print(line, flush=True)
    # Skipped, the engine writes no scripts and no state beside it: a hit changes nothing.
    return {"return": 0, "skip": True}
