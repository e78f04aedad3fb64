"""The metas that MLC loads: made from those of CM, fresh, and valid for MLC itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.mlc_meta import SCRIPTS, mlc_meta

ROOT = Path(__file__).resolve().parents[2]


def paths() -> list[tuple[Path, Path]]:
    """Return the meta of each script, as CM and as MLC loads it."""
    return [
        (ROOT / folder / "_cm.json", ROOT / "mlc" / name / "meta.json")
        for folder, name in SCRIPTS.items()
    ]


@pytest.mark.parametrize(("source", "made"), paths())
def test_what_is_there_is_what_is_made(source: Path, made: Path) -> None:
    expected = mlc_meta(json.loads(source.read_text(encoding="utf-8")))
    assert json.loads(made.read_text(encoding="utf-8")) == expected, "run `make docs`"


@pytest.mark.parametrize(("source", "made"), paths())
def test_mlc_finds_no_fault(
    source: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # MLC makes its home when it is imported.
    monkeypatch.setenv("MLC_REPOS", str(tmp_path / "MLC"))
    monkeypatch.chdir(tmp_path)
    from mlc.meta_schema import validate_meta

    errors, warnings = validate_meta(json.loads(made.read_text(encoding="utf-8")))
    assert not errors and not warnings


def test_nothing_of_cm_is_left(tmp_path: Path) -> None:
    for _, made in paths():
        assert "CM_" not in made.read_text(encoding="utf-8").replace("MLC_", "")


def test_every_variation_sets_what_it_sets_under_cm() -> None:
    (source, made), _ = paths()
    ours = json.loads(source.read_text(encoding="utf-8"))["variations"]
    theirs = json.loads(made.read_text(encoding="utf-8"))["variations"]
    assert list(ours) == list(theirs)
    for name, variation in ours.items():
        both = {**variation.get("env", {}), **variation.get("const", {})}
        expected = {
            key.replace("CM_", "MLC_"): text.replace("CM_", "MLC_").replace('\\"', '"')
            for key, text in both.items()
        }
        if "alias" in variation:
            assert not {"env", "const"} & theirs[name].keys()
            continue
        checksum = {"MLC_RESNET50_CHECKSUM": "checksum:<<<MLC_DOWNLOAD_CHECKSUM>>>"}
        assert theirs[name]["env"] == {**expected, **checksum}
        # Nothing that one dependency asks for reaches the next.
        assert theirs[name]["const"] == {"MLC_RESNET50_GENERATION": "1"}
