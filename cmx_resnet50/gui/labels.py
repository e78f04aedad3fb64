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

    Only what needs a backslash gets one.
    """
    return _MARKS.sub(_backslashed, text)


def spoken(text: str) -> str:
    """Return `text` as the label of a field, as `escaped` does.

    Screen readers are given the source of such a label, backslashes included. So the two hyphens of
    a flag become ones that Markdown leaves alone.
    """
    return escaped(text.replace("--", "\u2011\u2011"))


def _backslashed(found: re.Match[str]) -> str:
    return f"{found.group()[:-1]}\\{found.group()[-1]}"


def name(variation: Variation) -> str:
    """Return the label of a choice: its name and its aliases."""
    return " · ".join([variation.label, *variation.aliases])


def options(group: Group, default: str) -> dict[str, tuple[str, str]]:
    """Return the choices of `group`: for each value its label and what it is for.

    The value of the default, and of choosing nothing where there is none, is an empty text.

    Parameters
    ----------
    default : str
        What is in force where nothing of `group` is requested, if anything.
    """
    found = {} if default else {"": ("not chosen", "")}
    for choice in group.choices:
        is_default = choice.name == default
        label = name(choice) + (" (default)" if is_default else "")
        found["" if is_default else choice.name] = label, choice.description
    return found


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


def inputs(entry: Field) -> dict[str, str]:
    """Return the choices of an input with their labels; nothing is the default, if it has one."""
    found = {"": f"default: {entry.default}" if entry.default else "not given"}
    if entry.default in entry.choices:
        found.clear()
    for choice in entry.choices:
        is_default = choice == entry.default
        found["" if is_default else choice] = f"{choice} (default)" if is_default else choice
    return found


def hint(entry: Field) -> str:
    """Return the tooltip of an input: its default, and the env key that it sets."""
    parts = [f"default {entry.default}"] if entry.default else []
    parts += [f"sets {entry.sets}"] if entry.sets else []
    return ", ".join(parts)
