"""The true ResNet-50 v1.5 graph with seeded random weights, in every format that is delivered.

It replaces the published weights where those are not available, and where only speed or plumbing
counts. Each file states that its weights are random.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmx_resnet50.dummy.kinds import SEED, DummyError, available, write

__all__ = ["SEED", "DummyError", "available", "write"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.kinds"), name)
