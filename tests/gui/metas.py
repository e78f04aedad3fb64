"""Every script of ``cmx4mlops`` and our own, as CM finds them, without an engine."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
OURS: dict[str, Any] = json.loads((ROOT / "_cm.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Artifact:
    """What ``cmind.access`` lists for a script."""

    meta: dict[str, Any]
    path: str


@cache
def upstream() -> tuple[Artifact, ...]:
    """Return every script that ``cmx4mlops`` carries."""
    package = importlib.util.find_spec("cmx4mlops")
    assert package is not None and package.origin is not None
    found = []
    for file in sorted(Path(package.origin).parent.glob("repo/script/*/_cm.*")):
        text = file.read_text(encoding="utf-8")
        meta = json.loads(text) if file.suffix == ".json" else yaml.load(text, _LOADER)
        found.append(Artifact(meta, str(file.parent)))
    assert len(found) > 300
    return tuple(found)


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def access(request: dict[str, Any]) -> dict[str, Any]:
    """Answer ``find script`` as ``cmind.access`` does, for all scripts there are."""
    assert (request["action"], request["automation"]) == ("find", "script")
    tags = set(filter(None, request["tags"].split(",")))
    known = [*upstream(), Artifact(OURS, str(ROOT))]
    return {"return": 0, "list": [a for a in known if tags <= set(a.meta.get("tags", ()))]}
