"""What the page shows of a script: its meta as groups, switches, values and fields.

A meta of other types than documented is read as text or as nothing, never as an error: a page
that lacks something is better than none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cmx_resnet50 import shell_values
from cmx_resnet50.catalog.variations import BadVariation, Group, Variation, Variations
from cmx_resnet50.shell_values import Place
from cmx_resnet50.yes_no import yes_no


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

    Defaults are absent.
    """

    groups: Mapping[str, str] = field(default_factory=dict)
    switches: frozenset[str] = frozenset()
    values: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Form:
    """All that a page lets a user choose for one script.

    Groups that decide the default of another come first. What has two names in the meta is one
    choice or one field here: `batch_size.1` is a value of `batch_size.#`, and an input that is the
    same as another is left out.
    """

    known: Variations
    fields: tuple[Field, ...]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The groups of variations."""
        return tuple(
            sorted(
                self.known.groups,
                key=lambda group: not any(choice.implied for choice in group.choices),
            )
        )

    @property
    def switches(self) -> tuple[Variation, ...]:
        """Variations without a group, but for those that are a value of another."""
        return tuple(
            variation
            for variation in self.known.single
            if not variation.takes_value and self._as_value(variation.name) is None
        )

    @property
    def values(self) -> tuple[Variation, ...]:
        """Variations without a group that take a value."""
        return tuple(variation for variation in self.known.single if variation.takes_value)

    @property
    def together(self) -> tuple[Variation, ...]:
        """What else is set where several variations are in force."""
        return self.known.combined

    def _as_value(self, name: str) -> tuple[str, str] | None:
        """Return the valued variation that `name` is a value of, and the value."""
        for variation in self.values:
            value = variation.value_in(name)
            if value is not None:
                return variation.name, value
        return None

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
                    for other, default in choice.implied.items():
                        found.setdefault(other, (default, choice.name))
        return found

    def variations(self, choices: Choices) -> list[str]:
        """Return the tags of `choices`, without underscores, in the form's order.

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
        """Return the choices that `tags` stand for: the reverse of `variations`.

        Raises
        ------
        BadVariation
            For a tag that is not a variation of the script.
        """
        groups: dict[str, str] = {}
        switches: set[str] = set()
        values: dict[str, str] = {}
        for tag in tags:
            found = self.known.find(tag.removeprefix("_"))
            if found is None:
                raise BadVariation(f"Unknown variation of this script: {tag}.")
            variation, value = found
            if as_value := None if variation.group else self._as_value(tag.removeprefix("_")):
                values[as_value[0]] = as_value[1]
            elif variation.takes_value:
                values[variation.name] = value
            elif not variation.group:
                switches.add(variation.name)
            if variation.group:
                groups[variation.group] = variation.name
        return Choices(groups, frozenset(switches), values)


def read(meta: Mapping[str, Any]) -> Form:
    """Return the form of the script that `meta` declares."""
    return Form(Variations(meta), tuple(_fields(meta)))


def _fields(meta: Mapping[str, Any]) -> list[Field]:
    described = _mapping(meta.get("input_description"))
    mapping = {str(key): str(env) for key, env in _mapping(meta.get("input_mapping")).items()}
    found = []
    for key, content in sorted(described.items(), key=lambda item: _order(item[1])):
        details = content if isinstance(content, Mapping) else {"desc": content}
        if details.get("same_as") in described:
            continue
        choices = details.get("choices")
        options = tuple(map(_word, choices)) if isinstance(choices, list) else ()
        # The page itself offers to choose nothing.
        options = tuple(filter(None, options))
        if not options and yes_no(details.get("boolean")) is not False:
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
    """Those with ``sort`` first, in its order; the others in the order of the meta."""
    place = content.get("sort") if isinstance(content, Mapping) else None
    placed = isinstance(place, (int, float)) and place > 0
    return (not placed, float(place) if placed and place is not None else 0.0)


def _word(value: object) -> str:
    """Return `value` as CM's command line writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
