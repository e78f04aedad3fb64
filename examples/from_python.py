"""Get a ResNet-50 file from Python, and print its facts.

Install it with::

    pip install .

and run, say::

    python from_python.py                        # random weights: nothing is fetched
    python from_python.py pytorch int8           # published weights
    python from_python.py pytorch uint8          # an error: no such file exists
"""
# ruff: noqa: T201 - a program that prints

from __future__ import annotations

import sys
from collections.abc import Sequence

try:
    from cmx_resnet50 import RequestError, Resnet50Error, get
except ModuleNotFoundError as missing:
    sys.exit(f"{missing}. In the clone, run: pip install .")


def main(arguments: Sequence[str] | None = None) -> int:
    """Get what is requested on the command line; return the exit code."""
    request = " ".join(sys.argv[1:] if arguments is None else arguments)
    try:
        model = get(request or "dummy-weights")
    except RequestError as error:
        print(f"{error.reason} Nearest: {', '.join(error.nearest)}", file=sys.stderr)
        return 1
    except Resnet50Error as error:
        print(error, file=sys.stderr)
        return 1
    print(f"file       {model.path}")
    print(f"format     {model.format}")
    print(f"precision  {model.precision}")
    print(f"verified   {model.verified}")
    print(f"weights    {model.weights}")
    # The request says what is wanted, the model what it is: not every combination exists.
    for deviation in model.deviations:
        print(f"deviation  {deviation}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
