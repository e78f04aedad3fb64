"""``--to`` and ``--download_path`` through the real ``cm``: filled each time; and ctrl-C there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.faults.support import store_of
from tests.faults.test_disks import read_only
from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.cm import CM
from tests.harness.faults import Stall
from tests.harness.origin import Origin

FILES = {
    "ncnn": {"resnet50_v1.bin": "ncnn", "resnet50_v1.param": "ncnn-param"},
    "tflite": {"resnet50_v1.tflite": "tflite-argmax"},
}


def assert_filled(folder: Path, served: dict[str, Path], name: str) -> None:
    assert {path.name for path in folder.iterdir()} == set(FILES[name])
    for file, artifact in FILES[name].items():
        assert (folder / file).read_bytes() == delivered(served[artifact])


@pytest.mark.parametrize(("name", "key"), [("ncnn", "to"), ("tflite", "download_path")])
def test_the_folder_is_filled_each_time(
    cm: CM, origin: Origin, served: dict[str, Path], name: str, key: str
) -> None:
    """On a cold run, on a hit, elsewhere, again, and with what was there replaced or lost."""
    first, second = cm.cwd / "first", cm.cwd / "second"

    def run(folder: Path, given: str, **more: str) -> None:
        result = cm.get(name, **{key: given}, **more)
        assert result.ok, result.text
        assert result.path.parent == folder
        assert_filled(folder, served, name)

    run(first, str(first))
    origin.clear_log()
    run(first, str(first))
    run(second, "second")
    damaged = first / next(iter(FILES[name]))
    damaged.unlink()
    damaged.write_bytes(b"not the model")
    refused = cm.get(name, **{key: "first"})
    assert refused.code == 1
    assert str(damaged) in refused.err
    run(first, "first", force="yes")
    for path in second.iterdir():
        path.unlink()
    second.rmdir()
    run(second, str(second))
    assert_filled(first, served, name)
    plain = cm.get(name)
    assert plain.ok, plain.text
    assert plain.path.parent not in (first, second)
    assert not origin.requests


def test_ctrl_c_ends_cm_with_130(cm: CM, origin: Origin) -> None:
    """As a shell sees it: Python ends by the signal itself, which is what shells expect."""
    url = ARTIFACTS["pytorch-fp32"].url
    origin.fail(url, Stall(20_000))
    shell = f"cm {' '.join(cm.request('pytorch', quiet=True))}; echo code $?"
    with cm.start("-c", f"trap : INT; {shell}", program=str(shutil.which("bash"))) as running:
        origin.wait(lambda: origin.bytes_sent(url) >= 20_000)
        running.interrupt()
        result = running.wait()
    assert "code 130" in result.out, result.text
    origin.heal()
    assert cm.get("pytorch").ok


def test_a_store_that_can_only_be_read(cm: CM, origin: Origin, served: dict[str, Path]) -> None:
    """What has a place there is delivered; for the rest, the error says how to have it."""
    tool = "cmx-resnet50"
    filled = cm.command(tool, "get", "_pytorch")
    assert cm.command(tool, "prefetch", "_ncnn", "_tf,_batch_size.2").ok
    origin.clear_log()
    with read_only(store_of(cm)):
        again = cm.command(tool, "get", "_pytorch")
        assert again.out.replace(", store)", ", fetched)") == filled.out
        assert again.err == ""
        result = cm.command(tool, "get", "_ncnn")
        assert result.code == 6
        assert "--to DIR" in result.err
        assert "Traceback" not in result.err
        missing = cm.command(tool, "get", "_tflite", "--to", "to", "--offline")
        assert missing.code == 4, missing.text
        (line,) = missing.err.splitlines()
        assert "resnet50_v1.tflite (_tflite,_fp32) is missing" in line
        assert str(store_of(cm)) in line
        assert "cmx-resnet50 prefetch _tflite,_fp32. " in line
        result = cm.command(tool, "get", "_ncnn", "--to", "to")
        assert result.ok, result.text
        assert_filled(cm.cwd / "to", served, "ncnn")
        fixed = cm.command(tool, "get", "_tf,_batch_size.2", "--to", "fixed", "--json")
        assert fixed.ok, fixed.text
        model = json.loads(fixed.out)
        original = Path(model["original"])
        assert model["exports"]["CM_ML_MODEL_STARTING_FILE_PATH"] == str(original)
        assert original.read_bytes() == served["tensorflow"].read_bytes()
        assert [path.name for path in (cm.cwd / "fixed").iterdir()] == ["resnet50_v1.pb"]
    assert not origin.connects
    assert cm.command(tool, "get", "_ncnn").ok
