"""``python -m tools.pin STORE [NAME ...]``: fill the unknown facts of ``_cm.json`` from the files.

Fetches every artifact, or those named, from its hosts into the store at STORE, compares the
published md5, reads the file, and fills digests, size and facts where the table has none. A fact
that the table has is compared and never overwritten. Exits with 1 if an artifact could not be
fetched, or contradicts the table. For a machine that reaches the hosts; a second run fetches only
what is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cmx_resnet50.catalog.table import Artifact, Catalog
from cmx_resnet50.delivery.acquire import Acquirer
from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.formats import read_facts
from cmx_resnet50.formats.facts import ModelFacts, TensorInfo
from cmx_resnet50.options import Options
from cmx_resnet50.progress import progress_for
from cmx_resnet50.store import Store, StoredObject

ROOT = Path(__file__).resolve().parents[1]
_BATCH = "N"
"""How the table writes the dimension that the number of images has."""
_ONLY_COMPARED = ("precision",)
"""Facts that decide which requests mean a file: never filled by a tool."""

Agrees = Callable[[object, object], bool]


class Table:
    """The text of a ``_cm.json``, changed only where a fact is filled.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    Resnet50Error
        If writing it again would change more than that.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text(encoding="utf-8")
        self.meta: dict[str, Any] = json.loads(text)
        if self._text() != text:
            raise Resnet50Error(
                f"{path} is not formatted as json.dumps(…, indent=2, ensure_ascii=False) does: "
                "format it first, so that only facts change"
            )

    def rows(self, artifact: Artifact) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the table has of an artifact, and of the archive that it comes in."""
        row = self.meta["artifacts"][artifact.url]
        return row, row.get("archive", {})

    def write(self) -> None:
        """Write the table back."""
        self.path.write_text(self._text(), encoding="utf-8")

    def _text(self) -> str:
        return json.dumps(self.meta, indent=2, ensure_ascii=False) + "\n"


class Report:
    """What was found, a line each on stdout, and whether anything is wrong."""

    def __init__(self) -> None:
        self.failed = False
        self.filled = 0

    def line(self, artifact: Artifact, text: str) -> None:
        """Print what was found of an artifact."""
        print(f"{artifact.name}: {text}", flush=True)

    def wrong(self, artifact: Artifact, text: str) -> None:
        """Print what is wrong with an artifact."""
        self.failed = True
        self.line(artifact, text)

    def settle(
        self,
        artifact: Artifact,
        row: dict[str, Any],
        found: Mapping[str, object],
        *,
        label: str = "",
        agrees: Mapping[str, Agrees] | None = None,
    ) -> None:
        """Fill in `row` what it lacks of `found`; print what contradicts it."""
        for name, value in found.items():
            declared = row.get(name)
            if value is None:
                continue
            if declared is None:
                if name in _ONLY_COMPARED:
                    continue
                _insert(row, name, value)
                self.filled += 1
                self.line(artifact, f"{label}{name} {_shown(value)}")
            elif not (agrees or {}).get(name, _equal)(declared, value):
                self.wrong(
                    artifact,
                    f"CONTRADICTION: {label}{name} in the table is {_shown(declared)}, "
                    f"in the file {_shown(value)}",
                )


def pin(table: Path, store: Path, names: Sequence[str] = ()) -> int:
    """Fetch, compare and fill; return the exit code."""
    filled = Table(table)
    catalog = Catalog(filled.meta)
    known = {artifact.name: artifact for artifact in catalog.artifacts.values()}
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise Resnet50Error(f"no artifact {', '.join(unknown)}; there are: {', '.join(known)}")
    # From the hosts themselves: a mirror of one's own may be the one that is to be compared.
    options = replace(Options.read({}), store=store, mirror=(), offline=False)
    acquirer = Acquirer(Store(store), options, progress_for(True))
    report = Report()
    chosen = {name: known[name] for name in names or known}
    for artifact in chosen.values():
        try:
            with TemporaryDirectory(prefix="pin-") as folder:
                _pin(catalog, artifact, acquirer, Path(folder), filled, report)
        except Resnet50Error as error:
            report.wrong(artifact, f"FAILED: {error}")
    if report.filled:
        filled.write()
    print(f"{table}: {report.filled} facts filled, {len(chosen)} artifacts looked at")
    return 1 if report.failed else 0


def _pin(
    catalog: Catalog,
    artifact: Artifact,
    acquirer: Acquirer,
    folder: Path,
    table: Table,
    report: Report,
) -> None:
    row, archive_row = table.rows(artifact)
    stored = _fetch(artifact, acquirer)
    source = stored.record.get("url", artifact.url)
    report.line(artifact, f"md5 {stored.md5} from {source}")
    if artifact.archive is not None:
        packed = acquirer.fetch_archive(_by_md5(artifact), [artifact.url, *artifact.mirrors])
        report.settle(artifact, archive_row, _identity(packed), label="archive.")
    report.settle(artifact, row, _identity(stored))
    if artifact.companion_key is not None:
        return  # Its facts are those of the model that it belongs to.
    for part in (artifact, *(catalog.artifacts[url] for url in artifact.companions)):
        acquirer.store.place(_fetch(part, acquirer), folder / part.file)
    facts = read_facts(folder / artifact.file, artifact.format)
    report.settle(
        artifact,
        row,
        _facts(facts),
        agrees={"inputs": _same_tensors, "outputs": _same_tensors},
    )
    for kind in ("inputs", "outputs"):
        if row[kind] is None and getattr(facts, kind):
            report.line(artifact, f"{kind} are left open: the file does not state each shape")
    for warning in facts.warnings:
        report.line(artifact, f"warning: {warning}")


def _fetch(artifact: Artifact, acquirer: Acquirer) -> StoredObject:
    return acquirer.fetch(_by_md5(artifact), [artifact.url, *artifact.mirrors])[0]


def _by_md5(artifact: Artifact) -> Artifact:
    """Return the artifact as known by what is published; the rest is compared here, and shown."""
    archive = artifact.archive
    if archive is None:
        return replace(artifact, sha256=None, bytes=None) if artifact.md5 else artifact
    if not archive.get("md5"):
        return artifact
    packed = {**archive, "sha256": None, "bytes": None}
    return replace(artifact, archive=packed, md5=None, sha256=None, bytes=None)


def _identity(stored: StoredObject) -> dict[str, object]:
    return {"sha256": stored.sha256, "bytes": stored.size}


def _facts(facts: ModelFacts) -> dict[str, object]:
    return {
        "opset": facts.opset,
        "ir": facts.version.get("ir"),
        "layout": facts.layout,
        "classes": facts.classes,
        "precision": facts.precision,
        "inputs": _tensors(facts.inputs),
        "outputs": _tensors(facts.outputs),
    }


def _tensors(tensors: tuple[TensorInfo, ...]) -> list[dict[str, object]] | None:
    """Return inputs or outputs as the table has them; None where the file leaves one open."""
    found: list[dict[str, object]] = []
    for tensor in tensors:
        if tensor.shape is None or tensor.dtype is None:
            return None
        shape = [
            _BATCH if axis == 0 and not isinstance(size, int) else size
            for axis, size in enumerate(tensor.shape)
        ]
        if any(size is None or (isinstance(size, str) and size != _BATCH) for size in shape):
            return None
        found.append({"name": tensor.name, "shape": shape, "dtype": tensor.dtype})
    return found or None


def _same_tensors(declared: Any, found: Any) -> bool:
    """Whether both name the same tensors; a name that the table leaves open may be any."""
    return len(declared) == len(found) and all(
        mine["name"] in (None, other["name"])
        and mine["dtype"] == other["dtype"]
        and _same_shape(mine["shape"], other["shape"])
        for mine, other in zip(declared, found, strict=True)
    )


def _same_shape(declared: list[object], found: list[object]) -> bool:
    """Whether two shapes agree; where any number of images fits, a TFLite file has a 1."""
    if declared[:1] == [_BATCH] and found[:1] == [1]:
        return declared[1:] == found[1:]
    return declared == found


def _insert(row: dict[str, Any], name: str, value: object) -> None:
    """Set `name` in place; a key that is new comes after the opset, among the file's facts."""
    items = {} if name in row else dict(row)
    if items:
        row.clear()
        for key, kept in items.items():
            row[key] = kept
            if key == "opset":
                row[name] = None
    row[name] = value


def _equal(declared: object, found: object) -> bool:
    return declared == found


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.pin", description=__doc__)
    parser.add_argument("store", type=Path, metavar="STORE", help="folder that keeps the files")
    parser.add_argument("names", nargs="*", metavar="NAME", help="artifacts; by default all")
    parser.add_argument("--table", type=Path, default=ROOT / "_cm.json", help="a _cm.json")
    parsed = parser.parse_args(arguments)
    try:
        return pin(parsed.table, parsed.store, parsed.names)
    except Resnet50Error as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
