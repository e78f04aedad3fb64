"""The examples in the docstrings of what is public, as a reader runs them."""

from __future__ import annotations

import doctest
from pathlib import Path
from types import ModuleType

import pytest

from cmx_resnet50 import api, model


@pytest.mark.parametrize("module", [api, model], ids=lambda module: module.__name__)
@pytest.mark.usefixtures("filled")
def test_examples(module: ModuleType, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CM_RESNET50_OFFLINE", "yes")
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert found.attempted > 3
    assert found.failed == 0
