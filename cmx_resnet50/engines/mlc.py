"""MLC, the successor of CM: its dialect, and the hooks that it calls."""

from __future__ import annotations

from cmx_resnet50.engines.dialect import Dialect
from cmx_resnet50.engines.hooks import Hooks

MLC = Dialect(
    name="mlc",
    prefix="MLC_",
    run="mlcr get,ml-model,resnet50",
    cache="local/cache",
    escapes_quotes=True,
    names_defaults=True,
)
HOOKS = Hooks(MLC)
