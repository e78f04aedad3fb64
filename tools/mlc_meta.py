"""``python -m tools.mlc_meta``: write the metas that MLC loads, made from those that CM loads.

MLC reads the same declaration under other names. What differs, and why:

- the prefix of keys: ``MLC_`` for ``CM_``;
- ``const`` of a variation is written as ``env``: MLC lets const of one dependency of a caller reach
  the next one. One const stays, which is the same in all: MLC puts the const of the user's own,
  say a URL, back in place of what a variation's ``env`` sets only where that has a const, too.
  What is made of the user's checksum is therefore said with each variation: MLC puts values in
  place of ``<<<KEY>>>`` after each;
- the backslashes before quotes, in shapes of inputs, which MLC itself writes there;
- what only CM knows is left out, and so is the table of artifacts: the library has it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = {"": "get-ml-model-resnet50", "ensure": "ensure-ml-model-resnet50"}
"""The scripts by their folder of the top level."""

OURS = (
    "artifacts",
    "checked_env_keys",
    "docker",
    "download_cache_tags",
    "license",
    "maintainers",
)
"""Keys that only the library or CM reads."""
REAPPLY = "CM_RESNET50_GENERATION"
"""The const of each variation."""
CHECKSUM = "CM_RESNET50_CHECKSUM"
"""Made of a key that the meta itself empties."""
_PREFIX = re.compile(r"\bCM_")


def mlc_meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the meta of a script for MLC, made from its ``_cm.json``."""
    kept: dict[str, Any] = {key: value for key, value in meta.items() if key not in OURS}
    if "predeps" in kept:
        kept["predeps"] = kept["predeps"] != "no"
    for phase in ("prehook_deps", "post_deps"):
        kept[phase] = [_dependency(dep) for dep in kept.get(phase, ())]
    kept["variations"] = {
        name: _variation(variation, meta["env"])
        for name, variation in kept.get("variations", {}).items()
    }
    for run in kept.get("tests", {}).get("run_inputs", ()):
        run["env"] = run.pop("const")
    empty = [key for key, value in kept.items() if value in ({}, [])]
    renamed: dict[str, Any] = _renamed({key: kept[key] for key in kept if key not in empty})
    return renamed


def _variation(variation: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    # Its deps bring a Python and TensorFlow for CM's native step; here the library does that. MLC
    # warns of a key that it does not know.
    unused = ("const", "deps", "description")
    kept = {key: value for key, value in variation.items() if key not in unused}
    if "alias" not in variation:
        own = {**variation.get("env", {}), **variation.get("const", {})}
        kept["env"] = {**own, CHECKSUM: env[CHECKSUM]}
        kept["const"] = {REAPPLY: env[REAPPLY]}
    if "post_deps" in variation:
        kept["post_deps"] = [_dependency(dep) for dep in variation["post_deps"]]
    return kept


def _dependency(dep: Mapping[str, Any]) -> dict[str, Any]:
    unknown = ("add_deps", "force_new_env_keys")
    return {key: value for key, value in dep.items() if key not in unknown}


def _renamed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_renamed(key): _renamed(content) for key, content in value.items()}
    if isinstance(value, list):
        return [_renamed(content) for content in value]
    if isinstance(value, str):
        # MLC puts a backslash before each quote that it writes into a script.
        return _PREFIX.sub("MLC_", value).replace("CM's", "MLC's").replace('\\"', '"')
    return value


def main() -> None:
    """Write the meta of each script."""
    for folder, name in SCRIPTS.items():
        meta = json.loads((ROOT / folder / "_cm.json").read_text(encoding="utf-8"))
        text = json.dumps(mlc_meta(meta), indent=1, ensure_ascii=False)
        (ROOT / "mlc" / name / "meta.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
