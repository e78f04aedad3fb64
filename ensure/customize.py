"""CM's hook of ``ensure-ml-model-resnet50``: on hits, is everything in place?

Also after a cold run into an output folder, whose path must be exported last. Where the receipt
of the entry answers, nothing is imported but it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from cmx_resnet50.cached_run import receipt, run_lock

PREFIX = "CM_"


def preprocess(i: dict[str, Any]) -> dict[str, Any]:
    """Check object and placements, repair them, and export where the model is for this run."""
    env = i["env"]
    # The engine has gone into the output folder, which is to hold the model and nothing else.
    os.chdir(env["CM_TMP_CURRENT_PATH"])
    answer = None
    if PREFIX + receipt.RUN + "ENTRY" not in env:  # A hit.
        run_lock.end_lookup()
        if not env.get("CM_OUTDIRNAME") and not env.get("CM_RESNET50_TO"):
            answer = receipt.answer(env, i["run_script_input"].get("const", {}), PREFIX)
    given, silent = env.get(PREFIX + receipt.SILENT), False
    if given:
        from cmx_resnet50.yes_no import yes_no

        silent = yes_no(given)
    if answer is None or silent is None:
        from cmx_resnet50.engines.cm import HOOKS

        return HOOKS.ensure(i)
    notices, line = answer
    for notice in notices:
        print(f"CM ResNet-50: {notice}", file=sys.stderr)
    if not silent:
        print(line, file=receipt.result_stream(i), flush=True)
    # Skipped, the engine writes no scripts and no state beside it: a hit changes nothing.
    return {"return": 0, "skip": True}
