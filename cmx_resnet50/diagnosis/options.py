"""Checks of the options: one that is not valid ends each run, and some of the other checks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from cmx_resnet50.diagnosis.finding import Finding
from cmx_resnet50.options import OptionError, Options

AREA = "options"
NAME = re.compile(r"[A-Z][A-Z0-9_]+")


def values() -> Iterator[Finding]:
    """Yield what is wrong with the options; nothing where they are valid."""
    try:
        Options.read({})
    except OptionError as error:
        named = [name for name in NAME.findall(str(error)) if name in os.environ]
        fix = f"unset {named[0]}" if named else "export HOME=/THE/FOLDER"
        yield Finding(AREA, str(error), "Each run ends with this error.", fix, ok=False)


def valid() -> bool:
    """Whether checks that depend on options can be made."""
    return not any(True for _ in values())
