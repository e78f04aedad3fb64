"""Reads variations: what a script's meta declares, and what a list of them sets.

A meta of other types than documented is read as text or as nothing, never as an error: the page
shows any script.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cmx_resnet50 import shell_values
from cmx_resnet50.catalog.request import RequestError
from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.shell_values import Place
from cmx_resnet50.yes_no import yes_no

_PLACEHOLDER = re.compile(r"<<<(.*?)>>>")


class BadVariation(Resnet50Error):
    """A variation that a script does not have, or that lacks its value."""


@dataclass(frozen=True)
class Variation:
    """One variation, as the meta declares it."""

    name: str
    """Combined variations have several parts: ``onnx,opset-8`` is in force when both are."""
    alias_of: str = ""
    """The variation that this is another name for."""
    aliases: tuple[str, ...] = ()
    """Other names of this one."""
    description: str = ""
    """What it is for, in a sentence."""
    group: str = ""
    default: bool = False
    """Whether it is the default of its group."""
    env: Mapping[str, str] = field(default_factory=dict)
    const: Mapping[str, str] = field(default_factory=dict)
    base: tuple[str, ...] = ()
    """Variations that are in force with this one."""
    implied: Mapping[str, str] = field(default_factory=dict)
    """Groups to which this variation gives a default (``default_variations``)."""
    content: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """All that the meta says of it."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The variations that a combined one is made of; of any other, its name."""
        return tuple(self.name.split(","))

    @property
    def takes_value(self) -> bool:
        """Whether a value replaces ``#`` in the name."""
        return "#" in self.name

    @property
    def label(self) -> str:
        """The name without the place of its value."""
        return self.name.replace("#", "").rstrip(".")

    def tag(self, value: str = "") -> str:
        """Return the variation as a tag without its underscore, `value` filled in.

        Raises
        ------
        BadVariation
            If the value is missing.
        UnsafeValue
            If it would not stay text in a tag.
        """
        if not self.takes_value:
            return self.name
        text = value.strip()
        if not text:
            raise BadVariation(f"_{self.name} needs a value in place of #.")
        shell_values.check(f"The value of _{self.name}", text, Place.TAG)
        return self.name.replace("#", text)

    def value_in(self, tag: str) -> str | None:
        """Return the value with which `tag` requests this variation, or None if it does not."""
        if not self.takes_value:
            return "" if tag == self.name or tag in self.aliases else None
        before, _, after = self.name.partition("#")
        long_enough = len(tag) > len(before) + len(after)
        if long_enough and tag.startswith(before) and tag.endswith(after):
            return tag[len(before) : len(tag) - len(after)]
        return None

    def sets(self, value: str = "") -> tuple[dict[str, str], dict[str, str]]:
        """Return env and const of this variation, `value` filled in."""
        if not self.takes_value:
            return dict(self.env), dict(self.const)
        return (
            {key: text.replace("#", value) for key, text in self.env.items()},
            {key: text.replace("#", value) for key, text in self.const.items()},
        )


@dataclass(frozen=True)
class Group:
    """Variations of which at most one is in force; `default` is that one's name where none is."""

    name: str
    choices: tuple[Variation, ...]
    default: str = ""


class Variations:
    """All variations of a script, in the order of its meta.

    Parameters
    ----------
    meta : mapping
        The content of the script's ``_cm.json``.
    """

    def __init__(self, meta: Mapping[str, Any]) -> None:
        read = {
            str(name): _variation(str(name), content)
            for name, content in _mapping(meta.get("variations")).items()
        }
        plain = {name for name in read if "," not in name}
        aliases: dict[str, list[str]] = {}
        for name, variation in read.items():
            if variation.alias_of in plain and name in plain:
                aliases.setdefault(variation.alias_of, []).append(name)
            else:
                # An alias of nothing is a variation like any other.
                read[name] = replace(variation, alias_of="")
        self.by_name = {
            name: replace(variation, aliases=tuple(aliases.get(name, ())))
            for name, variation in read.items()
        }
        own = [v for name, v in self.by_name.items() if name in plain and not v.alias_of]
        names = dict.fromkeys(variation.group for variation in own if variation.group)
        self.groups = tuple(_group(name, own) for name in names)
        self.single = tuple(variation for variation in own if not variation.group)
        self.combined = tuple(v for name, v in self.by_name.items() if name not in plain)

    def find(self, tag: str) -> tuple[Variation, str] | None:
        """Return the variation that `tag` requests, aliases followed, and its value."""
        named = self.by_name.get(tag)
        if named is not None and "," not in tag and not named.takes_value:
            return (self.by_name[named.alias_of] if named.alias_of else named), ""
        for variation in self.by_name.values():
            value = variation.value_in(tag) if variation.takes_value else None
            if value is not None and "," not in variation.name:
                return variation, value
        return None


def plain_names(meta: Mapping[str, Any], words: Iterable[str]) -> list[str]:
    """Return the variations that a user's `words` name, as an engine hands them to a hook.

    Without underscores, but with a minus before what is left out. Case does not matter, and the
    script's own tags, which are before the variations in a line of CM's, are left out.
    """
    tags = {str(tag) for tag in meta.get("tags") or ()}
    lower = (word.strip().lower() for word in words)
    return [word.lstrip("_").replace("-_", "-", 1) for word in lower if word not in tags]


def compose(meta: Mapping[str, Any], asked: Sequence[str]) -> dict[str, str]:
    """Return the env that the script's meta and the variations `asked` make together.

    For use without the engine, which composes in the same way.

    Parameters
    ----------
    meta : mapping
        The script's ``_cm.json``.
    asked : sequence of str
        Variations as `plain_names` takes them; a leading minus excludes one.

    Raises
    ------
    RequestError
        For an unknown variation, two of one group, and one both requested and excluded.
    """
    variations = Variations(meta)
    names = plain_names(meta, asked)
    excluded = {name[1:] for name in names if name.startswith("-")}
    chosen = [name for name in names if not name.startswith("-")]
    for name in [*chosen, *excluded]:
        if variations.find(name) is None:
            raise RequestError(_unknown(variations, name))

    def declared(name: str) -> Variation:
        found = variations.find(name)
        return found[0] if found else Variation(name)

    chosen += [declared(name).name for name in chosen if name in declared(name).aliases]
    if both := sorted(excluded.intersection(chosen)):
        raise RequestError(
            f"Both requested and excluded: {', '.join(f'_{name}' for name in both)}."
        )
    for name in list(chosen):
        chosen += [base for base in declared(name).base if base not in chosen]
    for group in variations.groups:
        members = [choice.name for choice in group.choices]
        present = sorted(set(members) & set(chosen))
        if len(present) > 1:
            raise RequestError(f"Choose one {group.name}: {' or '.join(present)}.")
        if not present and group.default and group.default not in excluded:
            chosen.append(group.default)
    groups = {group.name: {choice.name for choice in group.choices} for group in variations.groups}
    for name in list(chosen):
        for other, default in declared(name).implied.items():
            if default not in excluded and not groups.get(other, set()) & set(chosen):
                chosen.append(default)
    return _merge(meta, variations, chosen)


def _merge(
    meta: Mapping[str, Any], variations: Variations, chosen: Sequence[str]
) -> dict[str, str]:
    env: dict[str, str] = {**_texts(meta.get("default_env")), **_texts(meta.get("env"))}
    const: dict[str, str] = {}
    combined = sorted(variations.combined, key=lambda variation: len(variation.parts))
    together = [variation for variation in combined if set(variation.parts) <= set(chosen)]
    for name in chosen:
        variation, value = variations.find(name) or (Variation(name), "")
        for part in (variation, *together):
            own_env, own_const = part.sets(value)
            env.update(own_env)
            const.update(own_const)
            env.update(const)
            _resolve(env)
    return env


def _resolve(env: dict[str, str]) -> None:
    for key, text in env.items():
        for name in _PLACEHOLDER.findall(text):
            if name in env:
                text = text.replace(f"<<<{name}>>>", env[name])
        env[key] = text


def _unknown(variations: Variations, name: str) -> str:
    """Return the text on a variation that nothing declares."""
    from difflib import get_close_matches

    for known in variations.by_name.values():
        if known.takes_value and name.rstrip(".=") == known.label:
            return f"_{name} needs a value: write _{known.name.replace('#', '8')}."
        label, _, value = name.partition(".")
        if known.takes_value and value and get_close_matches(label, [known.label], cutoff=0.8):
            return f"Unknown variation _{name}. Did you mean _{known.name.replace('#', value)}?"
    names = [known for known in variations.by_name if "," not in known and "#" not in known]
    near = get_close_matches(name, names, n=2)
    near = near or [known for known in names if len(name) > 2 and known.startswith(name)]
    if not near:
        shown = [choice.name for group in variations.groups for choice in group.choices]
        general = [single for single in variations.single if single.takes_value]
        shown += [
            single.name
            for single in variations.single
            if single.takes_value or not any(one.value_in(single.name) for one in general)
        ]
        return f"Unknown variation _{name}; valid ones: {_listed(shown)}."
    found = variations.by_name[near[0]]
    group_of = variations.by_name[found.alias_of or found.name].group
    groups = {group.name: [choice.name for choice in group.choices] for group in variations.groups}
    valid = f" Valid ones for {group_of}: {_listed(groups[group_of])}." if group_of else ""
    return f"Unknown variation _{name}. Did you mean {_listed(near, ' or ')}?{valid}"


def _listed(names: Iterable[str], separator: str = ", ") -> str:
    return separator.join(f"_{name.replace('#', 'N')}" for name in names)


def _variation(name: str, declared: object) -> Variation:
    content = _mapping(declared)
    base = content.get("base")
    return Variation(
        name=name,
        alias_of=str(content.get("alias") or ""),
        description=str(content.get("description") or ""),
        group=str(content.get("group") or ""),
        default=yes_no(content.get("default")) is not False,
        env=_texts(content.get("env")),
        const=_texts(content.get("const")),
        base=tuple(map(str, base)) if isinstance(base, list) else (),
        implied=_texts(content.get("default_variations")),
        content=content,
    )


def _group(name: str, variations: Sequence[Variation]) -> Group:
    choices = tuple(variation for variation in variations if variation.group == name)
    return Group(name, choices, next((choice.name for choice in choices if choice.default), ""))


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _texts(value: object) -> dict[str, str]:
    return {str(key): str(text) for key, text in _mapping(value).items()}
