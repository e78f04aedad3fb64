"""What a script of ours ends with where an engine found it and Python does not find the package.

That is a git clone that an engine was told of, or the folder of a package that was installed for
another Python. The scripts run this file by its path, as nothing of the package can be imported.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def explanation(package: Path) -> str:
    """Return what to do, in one line; `package` is the folder in which the script is."""
    pip = f"{shlex.quote(sys.executable)} -m pip install"
    if (package.parent / "pyproject.toml").is_file():
        return f"cmx-resnet50 is not installed; run: {pip} {shlex.quote(str(package.parent))}"
    return (
        f"cmx-resnet50 is installed for another Python, in {package.parent}, and not for "
        f"{sys.executable}: run the engine of the other one, or install it here, in a clone of "
        f"the project: {pip} ."
    )


if __name__ == "__main__":
    raise ImportError(explanation(Path(__file__).resolve().parent))
