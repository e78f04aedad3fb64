"""`tools.pin`: what the table leaves open is filled from the files, and nothing is overwritten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50.digests import digest_file
from tests.catalog.test_schema import schema_errors
from tests.docs.pages import ROOT
from tests.harness import artifacts, models
from tests.harness.artifacts import ARTIFACTS
from tests.harness.origin import Origin

FACTS = ("sha256", "bytes", "opset", "ir", "inputs", "outputs", "layout", "classes")
DRIVE, PACKED, NCNN = "onnx-from-tf", "tflite-argmax", "ncnn"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small file for each artifact."""
    return models.write_all(tmp_path_factory.mktemp("served"))


@dataclass
class Maintainer:
    """Somebody whose machine reaches the hosts, with a table of their own."""

    folder: Path
    origin: Origin
    table: Path

    @property
    def rows(self) -> dict[str, Any]:
        """The artifacts in the table, by name."""
        meta = json.loads(self.table.read_text(encoding="utf-8"))
        return {row["name"]: row for row in meta["artifacts"].values()}

    def change(self, change: Callable[[dict[str, Any]], object]) -> str:
        """Change the rows of the table, and return its text."""
        meta = json.loads(self.table.read_text(encoding="utf-8"))
        change({row["name"]: row for row in meta["artifacts"].values()})
        text = json.dumps(meta, indent=2, ensure_ascii=False) + "\n"
        self.table.write_text(text, encoding="utf-8")
        return text

    def pin(self, *names: str) -> subprocess.CompletedProcess[str]:
        """Run the tool."""
        command = [sys.executable, "-m", "tools.pin", str(self.folder / "store"), *names]
        env = {**os.environ, **self.origin.environment(), "CM_RESNET50_RETRY_BUDGET": "0.1"}
        return subprocess.run(
            [*command, "--table", str(self.table)],
            cwd=ROOT,
            env={**env, "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture
def maintainer(tmp_path: Path, empty_origin: Origin, small: dict[str, Path]) -> Maintainer:
    models.publish(empty_origin, small)
    table = tmp_path / "_cm.json"
    text = (ROOT / "_cm.json").read_text(encoding="utf-8")
    table.write_text(artifacts.patched_table(text, small), encoding="utf-8")
    return Maintainer(tmp_path, empty_origin, table)


def test_holes_are_filled_and_nothing_else_changes(
    maintainer: Maintainer, small: dict[str, Path]
) -> None:
    """Each line that is replaced held an open fact; and a second run fetches nothing."""
    full = maintainer.rows

    def open_all(rows: dict[str, Any]) -> None:
        for name in ("onnx-opset-8", "tensorflow", NCNN):
            rows[name].update({fact: None for fact in FACTS if fact in rows[name]})
        # A frozen graph does not state the shape of its outputs.
        rows["tensorflow"]["outputs"] = full["tensorflow"]["outputs"]
        del rows["onnx-opset-11"]["ir"]

    before = maintainer.change(open_all)
    done = maintainer.pin()
    assert done.returncode == 0, done.stdout + done.stderr
    after = maintainer.table.read_text(encoding="utf-8")
    assert schema_errors(json.loads(after)) == []
    for name, row in maintainer.rows.items():
        served = digest_file(small[name])
        at = row["archive"] if name == PACKED else row
        assert (at["md5"], at["sha256"], at["bytes"]) == (served.md5, served.sha256, served.size)
        for fact in FACTS[2:]:
            assert full[name].get(fact) in (None, row.get(fact)), (name, fact)
    assert list(maintainer.rows["onnx-opset-11"]) == list(full["onnx-opset-11"])
    assert maintainer.rows[DRIVE]["inputs"][0]["shape"] == ["N", 224, 224, 3]
    assert maintainer.rows[PACKED]["sha256"]
    gone = set(before.splitlines()) - set(after.splitlines())
    assert all(line.strip().endswith(("null", "null,")) for line in gone), gone

    maintainer.origin.clear_log()
    again = maintainer.pin()
    assert again.returncode == 0, again.stdout
    assert not maintainer.origin.requests
    assert maintainer.table.read_text(encoding="utf-8") == after


@pytest.mark.parametrize(
    ("fact", "wrong", "right"),
    [
        ("opset", 12, "8"),
        ("classes", 1000, "1001"),
        ("sha256", "0" * 64, "SHA256"),
        ("bytes", 12, "SIZE"),
        (
            "inputs",
            [{"name": "x", "shape": ["N", 3, 224, 224], "dtype": "float32"}],
            '"shape": ["N"',
        ),
    ],
)
def test_a_contradiction_is_shown_and_not_overwritten(
    maintainer: Maintainer, small: dict[str, Path], fact: str, wrong: object, right: str
) -> None:
    name = "onnx-opset-8"
    maintainer.change(lambda rows: rows[name].update({fact: wrong, "layout": None}))
    done = maintainer.pin(name)
    assert done.returncode == 1, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "CONTRADICTION" in line)
    served = digest_file(small[name])
    right = {"SHA256": served.sha256, "SIZE": str(served.size)}.get(right, right)
    assert line.startswith(f"{name}: CONTRADICTION: {fact} in the table is")
    assert right in line.partition("in the file")[2]
    assert maintainer.rows[name][fact] == wrong
    assert maintainer.rows[name]["layout"] == "NCHW"


def test_one_host_is_down_and_one_sends_other_bytes(maintainer: Maintainer) -> None:
    origin = maintainer.origin
    origin.forget(ARTIFACTS["tensorflow"].urls[0])
    origin.forget(ARTIFACTS["tensorflow"].urls[1])
    origin.serve(ARTIFACTS["pytorch-int8"].url, b"not the file")
    done = maintainer.pin("tensorflow", "pytorch-int8", "tflite-edgetpu")
    assert done.returncode == 1
    for name, reason in (("tensorflow", "HTTP 404"), ("pytorch-int8", "expected")):
        assert f"{name}: FAILED: " in done.stdout
        assert reason in done.stdout.partition(f"{name}: FAILED: ")[2]
        assert maintainer.rows[name]["sha256"] is None
    assert maintainer.rows["tflite-edgetpu"]["sha256"]


def test_an_unknown_name_and_another_format_of_the_table(maintainer: Maintainer) -> None:
    done = maintainer.pin("onnx-opset-9")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no artifact onnx-opset-9; there are: onnx-opset-11" in done.stderr
    text = json.dumps(json.loads(maintainer.table.read_text(encoding="utf-8")))
    maintainer.table.write_text(text, encoding="utf-8")
    done = maintainer.pin("tflite-edgetpu")
    assert done.returncode == 1
    assert "is not formatted as" in done.stderr
    assert maintainer.table.read_text(encoding="utf-8") == text
