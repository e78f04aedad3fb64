"""The results as Markdown: one line a claim, then the medians and ranges behind it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_HEAD = """# Results

Written by `python -m benchmarks`; do not edit. Contenders take turns in one run; a value is the
median of its rounds. "Ratio" is ours divided by the peer's, "more" is ours minus the peer's.
"Others" is how many cores other processes kept busy meanwhile: if that is a large part of one,
short times and their ratios are not reliable.
"""

_ALL = """# Results

Written by `python -m benchmarks`; do not edit. One column for each kind of machine; its folder has
all values. "Ratio" is ours divided by the peer's, "more" is ours minus the peer's; **bold**: goal
missed.
"""

_PAGE = """
## How fast

Medians of `python -m benchmarks {names}` in a clone, of {date}, on {cpu} with {cores}
cores, of which others kept {others} busy. Contenders take turns; wall clock of whole
processes; **bold**: goal missed.

"""


def write(root: Path, order: Sequence[str]) -> str:
    """Write the ``README.md`` of each kind of machine in `root`, and of all; return the latter."""
    kinds = sorted({path.parent for path in root.glob("*/*.json")})
    claims: dict[Sequence[str], dict[str, str]] = {}
    for folder in kinds:
        found = _write_kind(folder, order)
        for name in (name for name in order if name in found):
            for benchmark, ours, peer, value, bound, verdict in _claims(name, found[name]):
                cells = claims.setdefault((benchmark, ours, peer, bound), {})
                cells[folder.name] = f"**{value}**" if "**" in verdict else value
    links = [f"[{folder.name}]({folder.name}/README.md)" for folder in kinds]
    head = ("benchmark", "ours", "against", "goal", *links)
    rows = [
        (*claim, *(cells.get(folder.name, "-") for folder in kinds))
        for claim, cells in claims.items()
    ]
    text = "\n".join(
        [_ALL, _table(head, rows), "\n![Each figure as a share of its goal](goals.svg)"]
    )
    (root / "README.md").write_text(text + "\n", encoding="utf-8")
    return text


def write_section(page: Path, root: Path, names: Sequence[str]) -> None:
    """Write the last section of a page of docs, "How fast", from the newest results of `names`.

    Nothing is written where no kind of machine has full results of all.
    """
    section = section_of(root, names)
    if section:
        text, heading, _ = page.read_text(encoding="utf-8").partition("\n## How fast\n")
        if heading:
            page.write_text(text + section, encoding="utf-8")


def section_of(root: Path, names: Sequence[str]) -> str:
    """Return what `write_section` writes; an empty text where it writes nothing."""
    found = []
    for folder in {path.parent for path in root.glob("*/*.json")}:
        paths = [folder / f"{name}.json" for name in names]
        if all(path.is_file() for path in paths):
            results = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
            if not any(result["quick"] or "error" in result for result in results):
                found.append(results)
    if not found:
        return ""
    newest = max(found, key=lambda results: str(results[-1]["machine"]["date"]))
    rows = []
    for result in newest:
        medians = {one["name"]: f"{one['median']:.2f} {one['unit']}" for one in result["series"]}
        for one in result["comparisons"]:
            ratio = f"{one['found']:.2f}"
            rows.append(
                (
                    f"{one['ours']}: {medians[one['ours']]}",
                    f"{one['peer']}: {medians[one['peer']]}",
                    f"**{ratio}**" if one["met"] is False else ratio,
                    "-" if one["goal"] is None else f"at most {one['goal']:g}",
                )
            )
    where = newest[-1]["machine"]
    head = _PAGE.format(
        names=" ".join(names),
        date=" and ".join(sorted({result["machine"]["date"].split()[0] for result in newest})),
        cpu=where["cpu"],
        cores=where["cores"],
        others=" and ".join(f"{result['noise']['others_cores']:g}" for result in newest),
    )
    notes = "".join(f"\n{note}\n" for result in newest for note in result["notes"])
    return f"{head}{_table(('ours', 'compared with', 'ratio', 'goal'), rows)}\n{notes}"


def _write_kind(folder: Path, order: Sequence[str]) -> dict[str, Any]:
    """Write ``README.md`` from all results in `folder`, and return those."""
    found = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")
    }
    names = [name for name in order if name in found]
    places = list(dict.fromkeys(_place(found[name]["machine"]) for name in names))
    claims = [
        (*row, f"{found[name]['noise']['others_cores']:g}")
        for name in names
        for row in _claims(name, found[name])
    ]
    head = ("benchmark", "ours", "against", "found", "goal", "", "others")
    parts = [_HEAD, _table(head, claims)]
    for name in names:
        parts += _details(name, found[name], places)
    parts.append("\n## Machine and versions\n")
    parts += [f"{number}. {place}" for number, place in enumerate(places, 1)]
    text = "\n".join(parts) + "\n"
    (folder / "README.md").write_text(text, encoding="utf-8")
    return found


def _claims(name: str, result: dict[str, Any]) -> Iterable[Sequence[str]]:
    if "error" in result:
        yield name, "**FAILED**", result["error"].splitlines()[0], "", "", "**not measured**"
        return
    units = {series["name"]: series["unit"] for series in result["series"]}
    for one in result["comparisons"]:
        unit = units[one["ours"]].split()[0]
        found, goal = one["found"], one["goal"]
        value = f"{found:+.3g} {unit} more" if one["difference"] else f"ratio {found:.2f}"
        bound = (
            "-" if goal is None else f"at most {goal:g}{f' {unit}' if one['difference'] else ''}"
        )
        verdict = {True: "met", False: "**missed**", None: ""}[one["met"]]
        yield name, one["ours"], one["peer"], value, bound, verdict


def _details(name: str, result: dict[str, Any], places: Sequence[str]) -> Iterable[str]:
    yield f"\n## {name}: {result['title']}\n" if "title" in result else f"\n## {name}\n"
    if "error" in result:
        yield f"FAILED: {result['error']}\n"
    else:
        rows = []
        for one in result["series"]:
            values = one["values"]
            spread = f"{min(values):.3f} to {max(values):.3f}" if len(values) > 1 else "-"
            rows.append(
                (one["name"], f"{one['median']:.3f}", spread, one["unit"], str(len(values)))
            )
        if rows:
            yield _table(("what", "median", "range", "unit", "rounds"), rows)
        if cells := result.get("cells"):
            yield cells_table(cells)
        yield from (f"\n{note}" for note in result["notes"])
        for plot in result.get("plots", ()):
            yield f"\n![{plot['title']}: {plot['y']}]({plot['file']}.svg)"
    yield f"\n{_circumstances(result, places)}"


def cells_table(cells: dict[str, dict[str, str]]) -> str:
    """Return what happened to each contender in each situation, as docs/compare.md has it too."""
    names = list(next(iter(cells.values())))
    rows = ((situation, *(by[name] for name in names)) for situation, by in cells.items())
    return _table(("situation", *names), rows)


def _circumstances(result: dict[str, Any], places: Sequence[str]) -> str:
    where, noise = result["machine"], result["noise"]
    return (
        f"{where['date']}, commit {where['commit']}, machine and versions "
        f"{places.index(_place(where)) + 1}. Took {noise['seconds']:.0f} s; load average "
        f"{noise['load_before']} before, {noise['load_after']} after; others kept "
        f"{noise['others_cores']} cores busy."
    )


def _place(where: dict[str, Any]) -> str:
    versions = [f"Python {where['python']}", *where["programs"].values()]
    versions += [f"{name} {version}" for name, version in where["packages"].items()]
    versions += [f"{one.replace('==', ' ')} (peer)" for one in where.get("peers", ())]
    return (
        f"{' '.join(filter(None, (where['cpu'], where.get('cpu_model'))))}, "
        f"{where['cores']} cores, {where['memory']}, Linux {where['kernel']}; "
        f"{', '.join(versions)}."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)
