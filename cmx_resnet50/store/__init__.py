"""The store: model files by digest, each fetched once, checked on every use, shared by links.

Names are imported when they are first used: a cached run imports none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmx_resnet50.store.model import (
        ObjectMissing,
        PathTaken,
        Placement,
        Pruned,
        StoredObject,
        StoreError,
    )
    from cmx_resnet50.store.opening import init_store, open_store
    from cmx_resnet50.store.store import Store
    from cmx_resnet50.store.write_errors import require_space

__all__ = [
    "ObjectMissing",
    "PathTaken",
    "Placement",
    "Pruned",
    "Store",
    "StoreError",
    "StoredObject",
    "init_store",
    "open_store",
    "require_space",
]

_HOMES = {
    "require_space": "write_errors",
    "init_store": "opening",
    "open_store": "opening",
    "Store": "store",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'model')}"), name)
