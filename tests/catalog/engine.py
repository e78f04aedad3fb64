"""How the CM engine composes variations into env, in little, so that tests start from tags.

Source: ``_update_state_from_variations`` and ``update_state_from_meta`` in the ``script``
automation of ``cmx4mlops`` 1.0.1; ``test_engine.py`` holds this module against that original.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class EngineError(Exception):
    """The engine refuses these tags before a script of ours gets control."""


@dataclass(frozen=True)
class Run:
    """What a script sees: `explicit` as customize.py gets it, `tags` with aliases and defaults."""

    explicit: list[str]
    tags: list[str]
    env: dict[str, str]
    const: dict[str, str]


def compose(
    meta: Mapping[str, Any],
    asked: Iterable[str],
    *,
    env: Mapping[str, str] | None = None,
    const: Mapping[str, str] | None = None,
) -> Run:
    """Compose env from variation tags such as ``_onnx`` and ``_-argmax``.

    Raises
    ------
    EngineError
        For an unknown variation, two of one group, or one that is both asked and excluded.
    """
    variations = meta["variations"]
    explicit = list(dict.fromkeys(tag.removeprefix("_") for tag in asked))
    excluded = {tag[1:] for tag in explicit if tag.startswith("-")}
    if excluded & set(explicit):
        raise EngineError(f"asked and excluded: {sorted(excluded & set(explicit))}")
    for tag in explicit:
        _meta_name(variations, tag.removeprefix("-"))
    tags = _with_defaults(variations, _with_aliases(variations, explicit, excluded), excluded)

    composed = {**meta.get("default_env", {}), **(env or {}), **meta.get("env", {})}
    kept = dict(const or {})
    composed.update(kept)
    combined = sorted((name for name in variations if "," in name), key=lambda n: n.count(","))
    present = [name for name in combined if set(name.split(",")) <= set(tags)]
    for tag in tags:
        if tag.startswith("-"):
            continue
        name = _meta_name(variations, tag)
        suffix = tag.partition(".")[2] if name != tag else None
        _apply(variations[name], composed, kept, suffix)
        for together in present:
            _apply(variations[together], composed, kept, None)
    _fill(composed)
    return Run(explicit, tags, composed, kept)


def _meta_name(variations: Mapping[str, Any], tag: str) -> str:
    if tag in variations:
        return tag
    stem, dot, suffix = tag.partition(".")
    name = f"{stem}.#"
    if not dot or not suffix or tag.endswith(".") or name not in variations:
        raise EngineError(f"no variation {tag}")
    return name


def _with_aliases(
    variations: Mapping[str, Any], explicit: Sequence[str], excluded: set[str]
) -> list[str]:
    tags = list(explicit)
    for tag in explicit:
        if tag.startswith("-"):
            continue
        alias = variations[_meta_name(variations, tag)].get("alias")
        if alias in excluded:
            raise EngineError(f"alias {alias} of {tag} is excluded")
        if alias and alias not in tags:
            tags.append(alias)
    return tags


def _with_defaults(
    variations: Mapping[str, Any], tags: Sequence[str], excluded: set[str]
) -> list[str]:
    groups: dict[str, list[str]] = {}
    for name, variation in variations.items():
        if "group" in variation:
            groups.setdefault(variation["group"], []).append(name)
    result = _with_own_defaults(variations, groups, tags, excluded)
    for group in groups.values():
        chosen = set(group) & set(result)
        if len(chosen) > 1:
            raise EngineError(f"two of one group: {sorted(chosen)}")
        default = next((name for name in group if variations[name].get("default")), None)
        if not chosen and default and default not in excluded:
            result.append(default)
    return _with_own_defaults(variations, groups, result, excluded)


def _with_own_defaults(
    variations: Mapping[str, Any],
    groups: Mapping[str, Sequence[str]],
    tags: Sequence[str],
    excluded: set[str],
) -> list[str]:
    result = list(tags)
    for tag in tags:
        if tag.startswith("-"):
            continue
        defaults = variations[_meta_name(variations, tag)].get("default_variations", {})
        for group, default in defaults.items():
            if not set(groups[group]) & set(tags) and default not in excluded:
                result.append(default)
    return result


def _apply(
    variation: Mapping[str, Any], env: dict[str, str], const: dict[str, str], suffix: str | None
) -> None:
    for key, value in variation.get("env", {}).items():
        env[key] = value if suffix is None else value.replace("#", suffix)
    if variation.get("const"):
        for key, value in variation["const"].items():
            const[key] = value if suffix is None else value.replace("#", suffix)
        env.update(const)
    _fill(env)


def _fill(env: dict[str, str]) -> None:
    for key, value in env.items():
        if "<<<" in value:
            for name in re.findall(r"<<<(.*?)>>>", value):
                value = value.replace(f"<<<{name}>>>", env.get(name, f"<<<{name}>>>"))
            env[key] = value
