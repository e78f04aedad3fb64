"""Keeps requests from importing what guesses the encoding of a text: this process reads none.

That is 15 of the 100 ms of processor time that importing requests takes. Only for a process of our
own: in others, somebody else may need it.
"""

from __future__ import annotations

import sys
import warnings

DETECTORS = ("charset_normalizer", "chardet")


def leave_out_detectors() -> None:
    """Let both packages be missing, unless they were imported already."""
    if not any(name in sys.modules for name in (*DETECTORS, "requests")):
        sys.modules.update(dict.fromkeys(DETECTORS))  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", message="Unable to find acceptable character detection")
