"""What a model file is: which of five formats, by its content, and the facts that it states.

Files come from anywhere, so nothing in them is executed, weights are not loaded, and each reader
bounds what it reads. Only the reader of the format at hand is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmx_resnet50.formats.read import format_of, read_facts

__all__ = ["format_of", "read_facts"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.read"), name)
