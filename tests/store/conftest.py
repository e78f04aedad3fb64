"""Fixtures for the store: one in a folder with a blank and letters beyond ASCII."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmx_resnet50.store import Store


@pytest.fixture
def said() -> list[str]:
    """Lines that ``store`` said."""
    return []


@pytest.fixture
def store(tmp_path: Path, said: list[str]) -> Store:
    """An empty store whose folder does not exist yet."""
    return Store(tmp_path / "Modell-Lager für ResNet" / "склад", notify=said.append)
