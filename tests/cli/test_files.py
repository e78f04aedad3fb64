"""``inspect``, ``reshape``, ``convert``: files by themselves; and what the command imports."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.cm import CM

TOOL = "cmx-resnet50"
FORMATS = {
    "onnx-opset-11": {"format": "onnx", "opset": 11, "version": {"opset": 11, "ir": 6}},
    "onnx-opset-8": {"format": "onnx", "version": {"opset": 8, "ir": 4}},
    "onnx-from-tf": {"format": "onnx", "layout": "NHWC"},
    "tensorflow": {"format": "tensorflow", "layout": "NHWC"},
    "pytorch-fp32": {"format": "pytorch", "version": {"container": "tar"}},
    "pytorch-int8": {"format": "pytorch", "version": {"container": "torchscript"}},
    "ncnn": {"format": "ncnn", "precision": "fp32"},
    "ncnn-param": {"format": "ncnn"},
    "tflite-argmax": {"format": "tflite", "precision": "fp32"},
    "tflite-no-argmax": {"format": "tflite"},
    "tflite-edgetpu": {"format": "tflite"},
}


@pytest.fixture
def models(cm: CM, served: dict[str, Path]) -> dict[str, Path]:
    """Return what a user has of each artifact: unpacked, and ncnn's two files side by side."""
    found = {}
    for name, path in served.items():
        folder = cm.home / "models" / name.removesuffix("-param")
        folder.mkdir(parents=True, exist_ok=True)
        found[name] = folder / ARTIFACTS[name].file.removesuffix(".gz")
        found[name].write_bytes(delivered(path))
    return found


def test_inspect_knows_every_artifact(cm: CM, models: dict[str, Path]) -> None:
    assert models.keys() == FORMATS.keys()
    result = cm.command(TOOL, "inspect", "--json", *map(str, models.values()))
    assert result.ok, result.text
    for name, row in zip(models, json.loads(result.out), strict=True):
        assert row["path"] == str(models[name])
        assert row["size"] == models[name].stat().st_size
        for key, wanted in FORMATS[name].items():
            if isinstance(wanted, dict):
                assert row[key].items() >= wanted.items(), name
            else:
                assert row[key] == wanted, name
    shown = cm.command(TOOL, "inspect", *map(str, models.values())).out
    for path in models.values():
        assert f"{path}\n" in shown


def test_inspect_answers_the_usual_questions(cm: CM, models: dict[str, Path]) -> None:
    shown = cm.command(TOOL, "inspect", "--check", str(models["onnx-opset-8"])).out
    lines = [line.split(None, 1) for line in shown.splitlines()]
    assert ["opset", "8"] in lines
    assert ["input", "input_tensor:0 float32 [N, 3, 224, 224]"] in lines
    assert ["output", "ArgMax:0 int64 [N]"] in lines
    assert ["check", "passed"] in lines
    other = cm.command(TOOL, "inspect", "--check", str(models["tflite-edgetpu"]))
    assert other.ok
    assert "no further check for tflite" in other.out


def test_inspect_refuses_what_is_no_model(cm: CM, models: dict[str, Path]) -> None:
    page = cm.cwd / "resnet50_v1.onnx"
    page.write_text("<!DOCTYPE html><html><title>Sign\x1b[31m in</title></html>")
    cut = cm.cwd / "cut.pb"
    cut.write_bytes(models["tensorflow"].read_bytes()[:-100])
    good = models["pytorch-fp32"]
    files = [page, cut, cm.cwd / "absent", cm.cwd, good]
    for more in ((), ("--json",)):
        result = cm.command(TOOL, "inspect", *map(str, files), *more)
        assert result.code == 1
        assert "an HTML page" in result.err
        for file in files[:4]:
            assert str(file) in result.err
        assert "Traceback" not in result.err
        assert "\x1b" not in result.err + result.out
        assert str(good) in result.out
    rows = json.loads(result.out)
    assert ["error" in row for row in rows] == [True] * 4 + [False]


def test_inspect_check_fails_on_a_wrong_shape(cm: CM, models: dict[str, Path]) -> None:
    import onnx

    model = onnx.load(models["onnx-opset-11"])
    model.graph.output[1].type.tensor_type.shape.dim[1].dim_value = 7
    path = cm.cwd / "wrong.onnx"
    onnx.save(model, path)
    assert cm.command(TOOL, "inspect", str(path)).ok
    result = cm.command(TOOL, "inspect", "--check", str(path))
    assert result.code == 1
    assert "rejected by the checker" in result.err


def test_inspect_takes_any_file_name(cm: CM, models: dict[str, Path]) -> None:
    for name in (b"-dash.onnx", b"new\nline.onnx", b"not-utf8-\xff.onnx"):
        path = Path(os.fsdecode(bytes(cm.cwd) + b"/" + name))
        path.write_bytes(models["onnx-opset-11"].read_bytes())
        result = cm.command(TOOL, "inspect", "--json", "--", path.name)
        assert result.ok, result.text
        assert json.loads(result.out)[0]["path"] == str(path)
        assert cm.command(TOOL, "inspect", str(path), env={"LC_ALL": "POSIX"}).ok


def test_reshape_makes_the_batch_true(cm: CM, models: dict[str, Path]) -> None:
    for name in ("onnx-opset-11", "tensorflow"):
        result = cm.command(TOOL, "reshape", str(models[name]), "out", "--batch", "8")
        assert result.ok, result.text
        (row,) = json.loads(cm.command(TOOL, "inspect", "--json", "out").out)
        assert [tensor["shape"][0] for tensor in row["inputs"]] == [8]
        (cm.cwd / "out").unlink()
    for source in (models["pytorch-fp32"], cm.cwd / "absent"):
        result = cm.command(TOOL, "reshape", str(source), "out", "--batch", "8")
        assert result.code == 1
        assert str(source) in result.err
        assert "Traceback" not in result.err
        assert not (cm.cwd / "out").exists()


def test_convert_changes_the_container(cm: CM, models: dict[str, Path]) -> None:
    source = models["pytorch-fp32"]
    result = cm.command(TOOL, "convert", str(source), "new.pth")
    assert result.ok, result.text
    (old, new) = json.loads(cm.command(TOOL, "inspect", "--json", str(source), "new.pth").out)
    assert new["version"]["container"] == "zip"
    assert new["parameter_count"] == old["parameter_count"]
    for bad in (models["tensorflow"], cm.cwd / "new.pth", cm.cwd / "absent"):
        result = cm.command(TOOL, "convert", str(bad), "other.pth")
        assert result.code == 1
        assert str(bad) in result.err
        assert "Traceback" not in result.err
        assert not (cm.cwd / "other.pth").exists()


@pytest.mark.parametrize(
    ("command", "artifact", "more"),
    [("reshape", "tensorflow", ("--batch", "8")), ("convert", "pytorch-fp32", ())],
)
def test_out_is_never_lost(
    cm: CM, models: dict[str, Path], command: str, artifact: str, more: tuple[str, ...]
) -> None:
    """The same again is fine; something else that is there stays, and is an error."""
    line = (TOOL, command, str(models[artifact]))
    out = cm.cwd / "out"
    assert cm.command(*line, "out", *more).ok
    made = out.read_bytes()
    again = cm.command(*line, "out", *more)
    assert again.ok, again.text
    assert out.read_bytes() == made
    out.write_bytes(b"mine")
    (cm.cwd / "folder").mkdir()
    (cm.cwd / "dangling").symlink_to("nowhere")
    for name in ("out", "folder", "dangling", str(models[artifact])):
        result = cm.command(*line, name, *more)
        assert result.code == 1
        assert "exists already" in result.err
        assert ("--force" in result.err) == (name not in ("folder", "dangling"))
    assert out.read_bytes() == b"mine"
    assert (cm.cwd / "dangling").is_symlink()
    assert cm.command(*line, "folder", *more, "--force").code == 1
    for name in ("out", "dangling"):
        forced = cm.command(*line, name, *more, "--force")
        assert forced.ok, forced.text
        assert (cm.cwd / name).read_bytes() == made
    result = cm.command(*line, "no/such/out", *more)
    assert result.code == 6
    assert f"{cm.cwd / 'no/such'} is not a folder" in result.err
    assert {path.name for path in cm.cwd.iterdir()} == {"out", "folder", "dangling"}


@pytest.mark.unmeasured
@pytest.mark.parametrize("arguments", [["--help"], ["inspect", "{onnx}"], ["inspect", "{pth}"]])
def test_starts_light(cm: CM, models: dict[str, Path], arguments: list[str]) -> None:
    paths = {"onnx": models["onnx-opset-11"], "pth": models["pytorch-fp32"]}
    given = [text.format(**paths) for text in arguments]
    program = (
        "import sys\n"
        "from cmx_resnet50.cli import main\n"
        "try:\n"
        f"    main({given!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        "heavy = {'requests', 'onnx', 'numpy', 'tqdm', 'filelock', 'cmind', 'hashlib', 'ssl'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    result = cm.command("python", "-c", program)
    assert result.ok, result.text
    assert result.err.strip() == "[]"
