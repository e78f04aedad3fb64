"""Labels on the page: text of metas as plain text, and the names of choices."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cmx_resnet50.catalog.variations import Group, Variation
from cmx_resnet50.gui.form import Field

_MARKS = re.compile(
    r"[\\`*\[\]<>$|~&]"  # anywhere
    r"|(?<!\w)_|_(?!\w)"  # an underscore inside a word means nothing
    r"|:(?=\S)"  # a colour, a sign or an address
    r"|-(?=-)|(?<=-)-"  # two make a dash
    r"|(?m:^[ \t]*[#+=-])"  # a heading, a list, a line
    r"|(?m:(?<=^\d)[.)])"
)


def escaped(text: str) -> str:
    """Return `text` as Markdown that shows just that: no link, picture, formula or colour.

    Only what needs a backslash gets one: screen readers are given the text of a label as it is
    here.
    """
    return _MARKS.sub(_backslashed, text)


def _backslashed(found: re.Match[str]) -> str:
    return f"{found.group()[:-1]}\\{found.group()[-1]}"


def name(variation: Variation) -> str:
    """Return the label of a choice: its name and its aliases."""
    return " · ".join([variation.label, *variation.aliases])


def unset(group: Group) -> str:
    """Return the label for choosing nothing of `group`, whatever else is chosen."""
    return f"default: {group.default}" if group.default else "not chosen"


def implied(default: str, by: str) -> str:
    """Return the note that a variation gives a group another default: see `Form.implied`."""
    return f"With {by} the default is {default}."


def details(variations: Sequence[Variation], default: str = "") -> str:
    """Return what each of `variations` sets, in a block of lines each."""
    return "\n".join(_details(variation, variation.name == default) for variation in variations)


def _details(variation: Variation, default: bool) -> str:
    extra = ["default"] * default + [f"alias _{alias}" for alias in variation.aliases]
    name = f"_{variation.name}".replace(",", ",_")
    lines = [name + (f"  ({', '.join(extra)})" if extra else "")]
    lines += [f"  {key}={value}" for key, value in variation.env.items()]
    lines += [f"  includes _{base}" for base in variation.base]
    lines += [f"  default of {group}: _{other}" for group, other in variation.implied.items()]
    if len(lines) == 1:
        lines.append("  sets nothing")
    return "\n".join(lines)


def hint(entry: Field) -> str:
    """Return the tooltip of an input: its default, and the env key that it sets."""
    parts = [f"default {entry.default}"] if entry.default else []
    parts += [f"sets {entry.sets}"] if entry.sets else []
    return ", ".join(parts)
