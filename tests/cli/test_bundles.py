"""``bundle``: from one user's machine to another's without a network, and as a site's mirror."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.cm import CM
from tests.harness.origin import Origin

TOOL = "cmx-resnet50"
CARRIED = {
    "onnx,opset-8": "onnx-opset-8",
    "ncnn": "ncnn",
    "tflite": "tflite-argmax",
    "onnx,from-tf": "onnx-from-tf",
}


@pytest.fixture
def there(new_cm: Callable[..., CM]) -> CM:
    """Return another user, to whom nobody on the network answers."""
    return new_cm("there").also(origin=None)


@pytest.mark.parametrize(
    ("name", "requests"), [("bundle.tar", tuple(CARRIED)), ("bundle", ("onnx,opset-8", "ncnn"))]
)
def test_there_everything_runs_offline(
    cm: CM,
    there: CM,
    tmp_path: Path,
    served: dict[str, Path],
    name: str,
    requests: tuple[str, ...],
) -> None:
    target = tmp_path / name
    asked = [",".join(f"_{part}" for part in names.split(",")) for names in requests]
    result = cm.command(TOOL, "bundle", "export", str(target), *asked)
    assert result.ok, result.text
    assert result.out.splitlines()[-1].startswith(f"{target}: {len(requests) + 1} files")
    taken = there.command(TOOL, "bundle", "import", str(target), "--json")
    assert taken.ok, taken.text
    carried = {CARRIED[names] for names in requests}
    assert {row["artifact"] for row in json.loads(taken.out)} == {*carried, "ncnn-param"}
    assert there.command(TOOL, "verify").ok
    for names in requests:
        result = there.get(*names.split(","), offline=True)
        assert result.ok, result.text
        assert result.path.read_bytes() == delivered(served[CARRIED[names]])
    missing = there.get("pytorch", offline=True)
    assert missing.code == 1
    assert "resnet50-19c8e357.pth" in missing.err


def test_a_fixed_batch_travels_with_its_original(cm: CM, there: CM, tmp_path: Path) -> None:
    target = str(tmp_path / "bundle.tar")
    assert cm.command(TOOL, "bundle", "export", target, "_onnx,_batch_size.4").ok
    assert there.command(TOOL, "bundle", "import", target).ok
    for _ in range(2):
        assert there.command(TOOL, "get", "_onnx,_batch_size.4", "--offline").ok
        assert there.command(TOOL, "get", "_onnx", "--offline").ok


def test_without_requests_it_holds_the_store(cm: CM, tmp_path: Path) -> None:
    target = str(tmp_path / "bundle.tar")
    empty = cm.command(TOOL, "bundle", "export", target)
    assert empty.code == 1
    assert "holds nothing to export" in empty.err
    assert not Path(target).exists()
    assert cm.command(TOOL, "prefetch", "_pytorch", "_ncnn").ok
    result = cm.command(TOOL, "bundle", "export", target, "--json")
    assert result.ok, result.text
    assert {row["artifact"] for row in json.loads(result.out)["objects"]} == {
        "pytorch-fp32",
        "ncnn",
        "ncnn-param",
    }


def test_incomplete_it_is_not_written(cm: CM, origin: Origin, tmp_path: Path) -> None:
    for url in ARTIFACTS["pytorch-int8"].urls:
        origin.forget(url)
    target = tmp_path / "bundle.tar"
    result = cm.command(TOOL, "bundle", "export", str(target), "--all")
    assert result.code == 1
    assert "_pytorch,_int8: " in result.err
    assert f"{target} was not written" in result.err
    assert not target.exists()


def test_a_folder_serves_as_mirror(
    cm: CM, there: CM, origin: Origin, tmp_path: Path, served: dict[str, Path]
) -> None:
    folder = tmp_path / "mirror"
    result = cm.command(TOOL, "bundle", "export", str(folder), "--all")
    assert result.ok, result.text
    assert "resnet50_v1.tflite.gz" in result.err
    (folder / "resnet50_v1.tflite.gz").write_bytes(served["tflite-argmax"].read_bytes())
    for path in folder.rglob("*"):
        if path.is_file():
            origin.serve(origin.url(f"/site/{path.relative_to(folder)}"), path)
    own = {"CM_RESNET50_MIRROR": origin.url("/site/")}
    result = there.command(TOOL, "prefetch", "--all", "--json", env=own)
    assert result.ok, result.text
    assert len(json.loads(result.out)) == len(ARTIFACTS) - 1
    assert all("/site/" in record.url for record in origin.requests[-len(ARTIFACTS) :])


@pytest.mark.parametrize("kind", ["escape", "other bytes", "page", "cut", "absent"])
def test_a_bad_bundle_is_refused(cm: CM, there: CM, tmp_path: Path, kind: str) -> None:
    bundle = tmp_path / "bundle.tar"
    assert cm.command(TOOL, "bundle", "export", str(bundle), "_pytorch").ok
    if kind == "escape":
        with tarfile.open(bundle, "a") as tar:
            member = tarfile.TarInfo("../escaped")
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))
    elif kind == "other bytes":
        content = bytearray(bundle.read_bytes())
        content[len(content) // 2] ^= 1
        bundle.write_bytes(content)
    elif kind == "page":
        bundle.write_text("<html><title>Sign in</title></html>")
    elif kind == "cut":
        bundle.write_bytes(bundle.read_bytes()[:5000])
    else:
        bundle.unlink()
    result = there.command(TOOL, "bundle", "import", str(bundle))
    assert result.code == 1
    assert "Traceback" not in result.err
    assert str(bundle) in result.err or "sha256" in result.err
    assert not list(tmp_path.rglob("escaped"))
    assert there.command(TOOL, "get", "_pytorch", "--offline").code == 1
