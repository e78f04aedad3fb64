"""What a list of variations sets, composed as CM's engine does it, for use without the engine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cmx_resnet50.catalog.table import RequestError
from cmx_resnet50.errors import Resnet50Error

_PLACEHOLDER = re.compile(r"<<<(.*?)>>>")


class BadVariation(Resnet50Error):
    """A variation that a script does not have, or that lacks its value."""


def compose(meta: Mapping[str, Any], asked: Sequence[str]) -> dict[str, str]:
    """Return the env that the script's meta and the variations `asked` make together.

    Parameters
    ----------
    meta : mapping
        The script's ``_cm.json``.
    asked : sequence of str
        Names of variations; a leading underscore is allowed, a leading minus leaves one out.

    Raises
    ------
    RequestError
        For a name that is no variation, and for two of one group.
    """
    variations = meta["variations"]
    chosen = [name.strip().lstrip("_").replace("-_", "-", 1) for name in asked]
    excluded = {name[1:] for name in chosen if name.startswith("-")}
    chosen = [name for name in chosen if not name.startswith("-")]
    for name in [*chosen, *excluded]:
        if template(meta, name) is None:
            raise RequestError(f"_{name} is no variation.{_did_you_mean(meta, name)}")
    chosen += [variations[name]["alias"] for name in chosen if "alias" in variations.get(name, {})]
    if both := sorted(excluded.intersection(chosen)):
        raise RequestError(f"Asked for and left out at once: {', '.join(both)}.")
    for name in list(chosen):
        for base in variations[template(meta, name) or name].get("base", ()):
            if base not in chosen:
                chosen.append(base)
    for group, members in groups(meta).items():
        present = sorted(set(members) & set(chosen))
        if len(present) > 1:
            raise RequestError(
                f"Two of one group ({group}) are asked for: {', '.join(present)}. Ask one."
            )
        default = next((name for name in members if variations[name].get("default")), None)
        if not present and default and default not in excluded:
            chosen.append(default)
    for name in list(chosen):
        wanted = variations[template(meta, name) or name].get("default_variations", {})
        for group, default in wanted.items():
            if default not in excluded and not set(groups(meta)[group]) & set(chosen):
                chosen.append(default)
    return _merge(meta, chosen)


def groups(meta: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the variations of each group, in the order of the meta."""
    found: dict[str, list[str]] = {}
    for name, variation in meta["variations"].items():
        if "group" in variation:
            found.setdefault(variation["group"], []).append(name)
    return found


def template(meta: Mapping[str, Any], name: str) -> str | None:
    """Return the key in ``variations`` for `name`: ``batch_size.#`` for ``batch_size.8``."""
    if name in meta["variations"]:
        return name
    stem, dot, value = name.partition(".")
    key = f"{stem}.#"
    return key if dot and value and key in meta["variations"] else None


def _merge(meta: Mapping[str, Any], chosen: Sequence[str]) -> dict[str, str]:
    variations = meta["variations"]
    env: dict[str, str] = {**meta["default_env"], **meta["env"]}
    const: dict[str, str] = {}
    combined = sorted((key for key in variations if "," in key), key=lambda key: key.count(","))
    for name in chosen:
        key = template(meta, name) or name
        parts = [variations[key]]
        parts += [variations[c] for c in combined if set(c.split(",")) <= set(chosen)]
        value = name.partition(".")[2]
        for part in parts:
            env.update({k: v.replace("#", value) for k, v in part.get("env", {}).items()})
            const.update({k: v.replace("#", value) for k, v in part.get("const", {}).items()})
            env.update(const)
            _resolve(env)
    return env


def _resolve(env: dict[str, str]) -> None:
    for key, text in env.items():
        for name in _PLACEHOLDER.findall(text):
            if name in env:
                text = text.replace(f"<<<{name}>>>", env[name])
        env[key] = text


def _did_you_mean(meta: Mapping[str, Any], name: str) -> str:
    from difflib import get_close_matches

    known = [key for key in meta["variations"] if "," not in key]
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join('_' + key for key in close)}?" if close else ""
