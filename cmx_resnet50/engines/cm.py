"""CM, the engine that this script is for: its dialect, and the hooks that it calls."""

from __future__ import annotations

from cmx_resnet50.engines.dialect import META, Dialect
from cmx_resnet50.engines.hooks import Hooks

CM = Dialect(
    name="cm",
    prefix=META,
    run="cm run script --tags=get,ml-model,resnet50",
    cache="repos/local/cache",
    native_step="run-fix-input",
)
HOOKS = Hooks(CM)
