"""A receipt that is not exactly what a run of ours writes: no answer, and written anew."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.support import assert_good
from tests.harness.cm import CM

OFFLINE = {"CM_RESNET50_OFFLINE": "yes"}
NAME = "onnx-opset-11"

Receipt = dict[str, Any]


def edited(change: Callable[[Receipt], object]) -> Callable[[Path], None]:
    """Return a damage that changes the content of a receipt."""

    def apply(path: Path) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")

    return apply


def _elsewhere(receipt: Receipt) -> None:
    """Name another file that is as the store says, for instance the store's own."""
    sha256, path, stamp = receipt["files"][0]
    other = f"{receipt['store']}/objects/{sha256[:2]}/{sha256}/data"
    receipt["files"] = [[sha256, other, stamp]]
    receipt["located"] = {
        name: value.replace(path, other) for name, value in receipt["located"].items()
    }


def _beside(receipt: Receipt) -> None:
    """Name another file of the entry, while the model is as the store says."""
    path = receipt["files"][0][1]
    Path(f"{path}.other").write_bytes(b"other bytes")
    receipt["located"].update(ML_MODEL_FILE_WITH_PATH=f"{path}.other")


def _another_object(receipt: Receipt) -> None:
    """Name another object of the store, and put it where the model is."""
    objects = Path(receipt["store"]) / "objects"
    path, digest = receipt["files"][0][1], hashlib.sha256(b"other bytes").hexdigest()
    folder = objects / digest[:2] / digest
    folder.mkdir(parents=True)
    (folder / "data").write_bytes(b"other bytes")
    Path(path).unlink()
    Path(path).hardlink_to(folder / "data")
    status = (folder / "data").stat()
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, "0" * 32)
    (folder / "stamp").write_text(" ".join(map(str, stamp)) + "\n")
    receipt["files"] = [[digest, path, ""]]


def _of_another_user(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, 65534, -1)
    else:
        path.unlink()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _link(path: Path) -> None:
    other = path.with_name("elsewhere.json")
    path.rename(other)
    path.symlink_to(other)


ABSURD = {
    "no files": edited(lambda receipt: receipt.update(files=[])),
    "another file": edited(_elsewhere),
    "a path that leaves the entry": edited(
        lambda receipt: receipt["located"].update(ML_MODEL_PATH="/etc/../tmp")
    ),
    "a key with a number": edited(lambda receipt: receipt["located"].update(ML_MODEL_PATH=1)),
    "a file beside the model": edited(_beside),
    "another object": edited(_another_object),
    "a key of no file": edited(
        lambda receipt: receipt["located"].update(ML_MODEL_VERIFIED=receipt["files"][0][1])
    ),
    "a line that acts on a terminal": edited(lambda receipt: receipt.update(summary="\x1b[2J")),
    "a notice that cannot be printed": edited(lambda receipt: receipt.update(notices=["\ud800"])),
    "of another user": _of_another_user,
    "a list": lambda path: path.write_text("[]"),
    "deeply nested": lambda path: path.write_text("[" * 60_000),
    "200 KB of brackets": lambda path: path.write_text("[" * 200_000),
    "nothing": lambda path: path.write_text(""),
    "a pipe": _pipe,
    "a link": _link,
}


@pytest.mark.parametrize("damage", ABSURD.values(), ids=ABSURD)
@pytest.mark.under_mlc("another file")
def test_an_absurd_receipt_answers_nothing(
    engine: CM, served: dict[str, Path], damage: Callable[[Path], None]
) -> None:
    first = engine.get()
    assert_good(engine, first, served, NAME)
    assert engine.get(env=OFFLINE).ok  # The receipt is now that of a run with these options.
    receipt = first.path.parent.parent / "cmx-resnet50-receipt.json"
    written = receipt.read_bytes()
    damage(receipt)
    # What the receipt hides if it is believed: the file is not there any more.
    first.path.unlink(missing_ok=True)
    again = engine.get(env=OFFLINE)
    assert_good(engine, again, served, NAME)
    assert again.path == first.path
    assert "Traceback" not in again.text and "\x1b" not in again.text
    assert receipt.is_file() and not receipt.is_symlink()
    assert json.loads(receipt.read_bytes())["request"] == json.loads(written)["request"]
