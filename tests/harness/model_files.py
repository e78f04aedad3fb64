"""Real model files of others, which are not part of this repository: found next to the checkout.

Tests that read them are skipped where they are missing; recipes in the suite cover the same kinds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "model-files"


def model_file(name: str) -> Path:
    """Return a real model file, or skip the test."""
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"{name} is not next to the checkout")
    return path
