"""Rewrite model files: a batch size made true, PyTorch weights in today's container.

No weight is changed, loaded or computed with; the weights are copied from file to file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmx_resnet50.rewrite.batch import RESHAPEABLE, reshape
    from cmx_resnet50.rewrite.errors import ReshapeError
    from cmx_resnet50.rewrite.pytorch_zip import ConversionError, convert

__all__ = ["RESHAPEABLE", "ConversionError", "ReshapeError", "convert", "reshape"]

_HOMES = {"ReshapeError": "errors", "ConversionError": "pytorch_zip", "convert": "pytorch_zip"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'batch')}"), name)
