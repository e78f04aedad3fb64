"""Sections of docs/reference.md on what to request and set: variations, env, flags, options."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from cmx_resnet50 import options
from cmx_resnet50.cached_run.receipt import RUN
from cmx_resnet50.catalog.table import ASKED
from cmx_resnet50.catalog.variations import Variation, Variations
from cmx_resnet50.engines.cm import CM
from tools.readme.markdown import bullets, code, dependency, folded, table, tag

Meta = Mapping[str, Any]

PHASES = ("deps", "prehook_deps", "posthook_deps", "post_deps")


def variations(meta: Meta) -> str:
    """Return every variation by group: default, aliases, env and dependencies."""
    known = Variations(meta)
    rows = [
        (
            code(group.name),
            _listed(group.choices),
            ", ".join(tag(choice.name) for choice in group.choices if choice.default),
        )
        for group in known.groups
    ]
    blocks = [_block(f"Group <code>{group.name}</code>", group.choices) for group in known.groups]
    blocks.append(_block("No group", known.single))
    blocks.append(_block("Combinations: apply when all of their parts apply", known.combined))
    details = "\n\n".join(blocks)
    return f"""
## Customization

### Variations

Append them to the tags, each with an underscore, at most one of each group:
`{CM.run},_pytorch,_int8`.

{table(("group", "variations", "default"), rows)}

Without a group: {_listed(known.single)}.

Below is what each one sets. Where the delivered file differs, the facts of the file are exported:
see [Script output](#script-output).

Each variation also sets a `const`, `{ASKED}*`, which passes the request to the catalog. Because of
it, a cache entry answers only the request that it was made for. Do not set it yourself.

{details}

### Default variations

{bullets(_default_lines(known))}
"""


def _block(title: str, variations: Iterable[Variation]) -> str:
    return folded(title, "\n".join(line for variation in variations for line in _lines(variation)))


def _lines(variation: Variation) -> Iterator[str]:
    default = " (default)" if variation.default else ""
    text = f": {variation.description}" if variation.description else ""
    yield f"- {tag(variation.name)}{default}{_aliases(variation)}{text}"
    for key, value in variation.env.items():
        yield f"  - {code(f'{key}={value}')}"
    for phase in PHASES:
        for dep in variation.content.get(phase, ()):
            yield f"  - {phase}: {dependency(dep)}"
    for target, change in variation.content.get("adr", {}).items():
        yield f"  - adds to the dependency `{target}`: {code(change['tags'])}"
    if variation.base:
        yield f"  - includes {', '.join(map(tag, variation.base))}"


def _default_lines(known: Variations) -> Iterator[str]:
    for group in known.groups:
        if group.default:
            yield f"{tag(group.default)} of `{group.name}`"
    for variation in known.by_name.values():
        for group_name, default in variation.implied.items():
            yield f"{tag(default)} of `{group_name}`, with {tag(variation.name)}"


def _listed(variations: Iterable[Variation]) -> str:
    return ", ".join(tag(variation.name) + _aliases(variation) for variation in variations)


def _aliases(variation: Variation) -> str:
    aliases = ", ".join(map(tag, variation.aliases))
    return f" (alias {aliases})" if aliases else ""


def settings(meta: Meta) -> str:
    """Return the env that all variations share, the input flags and the options."""
    internal = {row["env"] for row in meta["extra_cache_tags_from_env"]}
    internal |= {key for key in meta["env"] if key.startswith(f"CM_{RUN}")}
    common = (f"{key}={value}" for key, value in meta["env"].items() if key not in internal)
    described = meta["input_description"]
    flags = sorted(
        {**meta["input_mapping"], **described},
        key=lambda flag: described.get(flag, {}).get("sort", len(described) + 1),
    )
    return f"""
### Default env

{bullets(code(f"{key}={value}") for key, value in meta["default_env"].items())}

Set for all variations:

{bullets(map(code, common))}

A variation overrides `--env.KEY=VALUE`, so a URL or checksum given that way is ignored. For a file
of your own, see [A file that is not in the table](choose.md#a-file-that-is-not-in-the-table).

### Input flags

{table(("flag", "what it does", "sets"), (_flag(meta, flag) for flag in flags))}

### Options

Set them with `--env.NAME=VALUE`, which takes precedence, or in the process environment. Put a value
that contains a password into the process environment: CM writes `--env` into files.

{table(("option", "default", "what it does"), _options())}
"""


def _flag(meta: Meta, flag: str) -> tuple[str, str, str]:
    described = meta["input_description"].get(flag, {})
    target = meta["input_mapping"].get(flag)
    same = [
        other
        for other in meta["input_description"]
        if target and meta["input_mapping"].get(other) == target
    ]
    texts = {name: text for name, _, text in _options()}
    text = described.get("desc") or texts.get(code(str(target)), "")
    if not text and same:
        text = f"The same as --{same[0]}"
    if "choices" in described:
        text += f" ({' or '.join(map(code, described['choices']))})"
    if "default" in described:
        text += f"; default {code(described['default'])}"
    return code(f"--{flag}" if len(flag) > 1 else f"-{flag}"), text, code(target) if target else ""


def _options() -> Iterator[tuple[str, str, str]]:
    """Yield name, default and meaning of each option; the meaning is written below its field."""
    tree = ast.parse(inspect.getsource(options))
    body = next(
        node.body
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == options.Options.__name__
    )
    texts = {
        node.target.id: " ".join(str(text.value.value).split()).removesuffix(".")
        for node, text in pairwise(body)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }
    for field in dataclasses.fields(options.Options):
        bounds = options.BOUNDS.get(field.name)
        meaning = texts[field.name] + (f"; {bounds}" if bounds else "")
        yield code(options.PREFIX + field.name.upper()), _usual(field.default), meaning


def _usual(default: object) -> str:
    if default is dataclasses.MISSING or default == ():
        return ""
    if isinstance(default, bool):
        return code("yes" if default else "no")
    return code(f"{default:g}" if isinstance(default, float) else str(default))
