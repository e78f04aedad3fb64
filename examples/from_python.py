"""Ask CM for a ResNet-50 file from Python, and read what was delivered.

Any script can do the same: one call of ``cmind.access``, the exported keys in its answer, and an
error that is an answer too, not an exception. Install it with::

    pip install cmx-resnet50

and run, say::

    python from_python.py                          # random weights: nothing is fetched
    python from_python.py _pytorch,_int8           # published weights
    python from_python.py _pytorch,_uint8          # refused: there is no such file
"""
# ruff: noqa: T201 - a program that prints

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import cmind

TAGS = "get,ml-model,resnet50"


class NoModelError(Exception):
    """CM delivered no model; the text is CM's own, which says what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask for the variations on the command line; return the exit code."""
    asked = ",".join(sys.argv[1:] if arguments is None else arguments) or "_dummy-weights"
    try:
        model = ask(asked)
    except NoModelError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"file       {model['CM_ML_MODEL_FILE_WITH_PATH']}")
    print(f"framework  {model['CM_ML_MODEL_FRAMEWORK']}")
    print(f"precision  {model['CM_ML_MODEL_PRECISION']}")
    # The tags say what was asked, this key what it is: the two differ where no such file exists.
    requested = model.get("CM_ML_MODEL_REQUESTED_PRECISION")
    if requested:
        print(f"asked for  {requested}")
    print(f"verified   {model['CM_ML_MODEL_VERIFIED']}")
    print(f"weights    {model['CM_ML_MODEL_WEIGHTS']}")
    return 0


def ask(variations: str) -> Mapping[str, str]:
    """Return the keys that the script exports.

    Parameters
    ----------
    variations
        As in CM's tags, say ``_onnx,_opset-8``.

    Raises
    ------
    NoModelError
        If CM answers with an error: a request that means no file, no network, a full disk.
    """
    answer = cmind.access(
        {
            "action": "run",
            "automation": "script",
            "tags": f"{TAGS},{variations}",
            "quiet": True,  # ask no questions: nobody may be there to answer
        }
    )
    if answer["return"] > 0:
        raise NoModelError(answer["error"])
    exported: Mapping[str, str] = answer["new_env"]
    return exported


if __name__ == "__main__":
    sys.exit(main())
