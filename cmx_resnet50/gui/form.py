"""What a page shows of a script: its meta as groups, switches, values and fields.

Metas are written by many hands. What is not of the documented type is read as text or as
nothing, never as an error: a page for the rest is better than none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cmx_resnet50 import shell_values
from cmx_resnet50.catalog.variations import BadVariation
from cmx_resnet50.shell_values import Place

_NO = ("", "0", "false", "no", "none", "off")


@dataclass(frozen=True)
class Variation:
    """One variation: how it is asked for, and what it sets.

    `implies` maps a group to the default that this variation gives it.
    """

    name: str
    aliases: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    base: tuple[str, ...] = ()
    implies: Mapping[str, str] = field(default_factory=dict)

    @property
    def valued(self) -> bool:
        """Whether a value stands for ``#`` in the name."""
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
        if not self.valued:
            return self.name
        text = value.strip()
        if not text:
            raise BadVariation(f"_{self.name} needs a value in place of #.")
        shell_values.check(f"The value of _{self.name}", text, Place.TAG)
        return self.name.replace("#", text)

    def matches(self, tag: str) -> str | None:
        """Return the value with which `tag` asks for this variation, or None."""
        if not self.valued:
            return "" if tag == self.name or tag in self.aliases else None
        before, _, after = self.name.partition("#")
        long_enough = len(tag) > len(before) + len(after)
        if long_enough and tag.startswith(before) and tag.endswith(after):
            return tag[len(before) : len(tag) - len(after)]
        return None


@dataclass(frozen=True)
class Group:
    """Variations of which at most one holds; `default` is the name of the one that does anyway."""

    name: str
    choices: tuple[Variation, ...]
    default: str = ""


@dataclass(frozen=True)
class Field:
    """One input of the script: ``--key=value``. An empty `default` is an unknown one."""

    key: str
    text: str = ""
    default: str = ""
    choices: tuple[str, ...] = ()
    sets: str = ""
    described: bool = True


@dataclass(frozen=True)
class Choices:
    """What is chosen on a page: names by group, switches, values by variation, inputs by key.

    A group or an input that is left to its default is absent.
    """

    groups: Mapping[str, str] = field(default_factory=dict)
    switches: frozenset[str] = frozenset()
    values: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Form:
    """All that a page lets a user choose for one script.

    Groups that decide the default of another come first. `together` is what else is set where
    several variations hold, each named by all of them, divided by commas.
    """

    groups: tuple[Group, ...]
    switches: tuple[Variation, ...]
    values: tuple[Variation, ...]
    fields: tuple[Field, ...]
    together: tuple[Variation, ...] = ()

    def implied(self, chosen: Mapping[str, str]) -> dict[str, tuple[str, str]]:
        """Return, by group, the default that a variation in force gives it, and which one.

        Parameters
        ----------
        chosen : mapping
            Variation by group, as in `Choices.groups`.
        """
        found: dict[str, tuple[str, str]] = {}
        for group in self.groups:
            holds = chosen.get(group.name) or group.default
            for choice in group.choices:
                if choice.name == holds:
                    for other, default in choice.implies.items():
                        found.setdefault(other, (default, choice.name))
        return found

    def variations(self, choices: Choices) -> list[str]:
        """Return the tags that `choices` ask for, without underscores, in the form's order.

        Raises
        ------
        BadVariation
            If a value is missing.
        UnsafeValue
            If a value would not stay text in a tag.
        """
        tags = []
        for group in self.groups:
            for choice in group.choices:
                if choices.groups.get(group.name) == choice.name:
                    tags.append(choice.tag(choices.values.get(choice.name, "")))
        tags += [switch.name for switch in self.switches if switch.name in choices.switches]
        for variation in self.values:
            value = choices.values.get(variation.name, "")
            if value.strip():
                tags.append(variation.tag(value))
        return tags

    def inputs(self, choices: Choices) -> dict[str, str]:
        """Return the inputs that are given, by key.

        Raises
        ------
        UnsafeValue
            If one would not stay text where CM writes it.
        """
        given = {}
        for entry in self.fields:
            value = choices.inputs.get(entry.key, "").strip()
            shell_values.check(f"--{entry.key}", value, Place.EVAL)
            if value:
                given[entry.key] = value
        return given

    def choices(self, tags: Iterable[str]) -> Choices:
        """Return what is chosen when `tags` are asked for: the reverse of `variations`.

        Raises
        ------
        BadVariation
            For a tag that is not a variation of the script.
        """
        groups: dict[str, str] = {}
        switches: set[str] = set()
        values: dict[str, str] = {}
        for tag in tags:
            if not self._take(tag.removeprefix("_"), groups, switches, values):
                raise BadVariation(f"{tag}: unknown variation of this script.")
        return Choices(groups, frozenset(switches), values)

    def _take(
        self, tag: str, groups: dict[str, str], switches: set[str], values: dict[str, str]
    ) -> bool:
        places = [(choice, group.name) for group in self.groups for choice in group.choices]
        places += [(variation, "") for variation in (*self.switches, *self.values)]
        # The plain ones first: `batch_size.1` may be one beside `batch_size.#`.
        for variation, group in sorted(places, key=lambda place: place[0].valued):
            value = variation.matches(tag)
            if value is None:
                continue
            if variation.valued:
                values[variation.name] = value
            elif not group:
                switches.add(variation.name)
            if group:
                groups[group] = variation.name
            return True
        return False


def read(meta: Mapping[str, Any]) -> Form:
    """Return the form of the script that `meta` declares."""
    declared = {
        str(name): content if isinstance(content, Mapping) else {}
        for name, content in _mapping(meta.get("variations")).items()
    }
    variations = {name: content for name, content in declared.items() if "," not in name}
    aliases: dict[str, list[str]] = {}
    for name, content in variations.items():
        if content.get("alias") in variations:
            aliases.setdefault(content["alias"], []).append(name)
    names = [name for name, content in variations.items() if content.get("alias") not in variations]
    made = {name: _variation(name, variations[name], aliases.get(name, ())) for name in names}
    groups: dict[str, list[str]] = {}
    for name in names:
        if variations[name].get("group"):
            groups.setdefault(str(variations[name]["group"]), []).append(name)
    grouped = {name for members in groups.values() for name in members}
    single = [made[name] for name in names if name not in grouped]
    return Form(
        groups=tuple(
            Group(
                group,
                tuple(made[name] for name in members),
                next((name for name in members if _yes(variations[name].get("default"))), ""),
            )
            for group, members in sorted(
                groups.items(), key=lambda group: not any(made[name].implies for name in group[1])
            )
        ),
        switches=tuple(variation for variation in single if not variation.valued),
        values=tuple(variation for variation in single if variation.valued),
        fields=tuple(_fields(meta)),
        together=tuple(
            _variation(name, content, ()) for name, content in declared.items() if "," in name
        ),
    )


def _variation(name: str, content: Mapping[str, Any], aliases: Sequence[str]) -> Variation:
    base = content.get("base")
    return Variation(
        name=name,
        aliases=tuple(aliases),
        env={str(key): str(value) for key, value in _mapping(content.get("env")).items()},
        base=tuple(map(str, base)) if isinstance(base, list) else (),
        implies={
            str(group): str(default)
            for group, default in _mapping(content.get("default_variations")).items()
        },
    )


def _fields(meta: Mapping[str, Any]) -> list[Field]:
    described = _mapping(meta.get("input_description"))
    mapping = {str(key): str(env) for key, env in _mapping(meta.get("input_mapping")).items()}
    found = []
    for key, content in sorted(described.items(), key=lambda item: _order(item[1])):
        details = content if isinstance(content, Mapping) else {"desc": content}
        choices = details.get("choices")
        options = tuple(map(_word, choices)) if isinstance(choices, list) else ()
        # To choose nothing is on the page already.
        options = tuple(filter(None, options))
        if not options and _yes(details.get("boolean")):
            options = ("yes", "no")
        found.append(
            Field(
                key=str(key),
                text=str(details.get("desc") or ""),
                default=_word(details.get("default")),
                choices=options,
                sets=mapping.get(str(key), ""),
            )
        )
    found += [
        Field(key, sets=env, described=False)
        for key, env in mapping.items()
        if key not in described
    ]
    return found


def _order(content: object) -> tuple[bool, float]:
    """Those with a place first, in its order; the others as they stand."""
    place = content.get("sort") if isinstance(content, Mapping) else None
    placed = isinstance(place, (int, float)) and place > 0
    return (not placed, float(place) if placed and place is not None else 0.0)


def _word(value: object) -> str:
    """Return `value` as CM's command line writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _yes(value: object) -> bool:
    return str(value).strip().lower() not in _NO


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
