"""``bundle``: from one user's machine to another's without a network, and as a site's mirror."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
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
    count = len(requests) + 1 + ("tflite" in requests)
    assert result.out.splitlines()[-1].startswith(f"{target}: {count} files")
    taken = there.command(TOOL, "bundle", "import", str(target), "--json")
    assert taken.ok, taken.text
    carried = {CARRIED[names] for names in requests}
    assert {row["artifact"] for row in json.loads(taken.out)} == {*carried, "ncnn-param"}
    assert all(row["taken"] for row in json.loads(taken.out))
    assert there.command(TOOL, "verify").ok
    for names in requests:
        result = there.get(*names.split(","), offline=True)
        assert result.ok, result.text
        assert result.path.read_bytes() == delivered(served[CARRIED[names]])
    missing = there.get("pytorch", offline=True)
    assert missing.code == 1
    assert "resnet50-19c8e357.pth" in missing.err


def test_import_ends_with_what_it_took(cm: CM, there: CM, origin: Origin, tmp_path: Path) -> None:
    target = tmp_path / "bundle.tar"
    assert cm.command(TOOL, "bundle", "export", str(target), "_ncnn", "_pytorch").ok
    assert there.also(origin=origin).command(TOOL, "prefetch", "_pytorch").ok
    result = there.command(TOOL, "bundle", "import", str(target))
    sizes = [int(line.split()[1].replace(",", "")) for line in result.out.splitlines()[:-1]]
    assert len(sizes) == 3
    store = there.repos / "resnet50-store"
    whole = f"{target}: 3 files, {sum(sizes):,} bytes; "
    (last,) = result.out.splitlines()[3:]
    assert last.startswith(f"{whole}2 files, ")
    assert last.endswith(f" bytes taken into {store}, 1 already there")
    again = there.command(TOOL, "bundle", "import", str(target)).out.splitlines()[-1]
    assert again == f"{whole}0 files, 0 bytes taken into {store}, 3 already there"
    rows = json.loads(there.command(TOOL, "bundle", "import", str(target), "--json").out)
    assert [row["taken"] for row in rows] == [False] * 3


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
    assert "is empty. Name requests" in empty.err
    assert not Path(target).exists()
    assert cm.command(TOOL, "prefetch", "_pytorch", "_ncnn").ok
    result = cm.command(TOOL, "bundle", "export", target, "--json")
    assert result.ok, result.text
    assert {row["artifact"] for row in json.loads(result.out)["objects"]} == {
        "pytorch-fp32",
        "ncnn",
        "ncnn-param",
    }


def test_random_weights_are_packed_only_by_request(cm: CM, tmp_path: Path) -> None:
    folder = tmp_path / "mirror"
    random = "_onnx,_dummy-weights"
    assert cm.command(TOOL, "prefetch", random).ok
    alone = cm.command(TOOL, "bundle", "export", str(folder))
    assert alone.code == 1
    assert "holds random weights only. Name requests" in alone.err
    assert cm.command(TOOL, "prefetch", "_pytorch").ok
    result = cm.command(TOOL, "bundle", "export", str(folder))
    assert result.ok, result.text
    assert "Random weights are left out: resnet50_v1.onnx." in result.err
    assert (folder / "resnet50-19c8e357.pth").exists()
    assert not (folder / "resnet50_v1.onnx").exists()
    (named,) = (line.split()[-1] for line in result.err.splitlines() if "left out" in line)
    named_too = cm.command(TOOL, "bundle", "export", str(folder), named)
    assert named_too.ok, named_too.text
    assert (folder / "resnet50_v1.onnx").exists()


def test_incomplete_it_is_not_written(cm: CM, origin: Origin, tmp_path: Path) -> None:
    for url in ARTIFACTS["pytorch-int8"].urls:
        origin.forget(url)
    target = tmp_path / "bundle.tar"
    result = cm.command(TOOL, "bundle", "export", str(target), "--all")
    assert result.code == 4
    assert "_pytorch,_int8: " in result.err
    assert f"{target} was not written" in result.err
    assert not target.exists()


@pytest.mark.parametrize(("name", "scheme"), [("mirror", "http"), ("mirror.tar", "file")])
def test_a_folder_serves_as_mirror_whole(
    cm: CM, there: CM, origin: Origin, tmp_path: Path, name: str, scheme: str
) -> None:
    """Every file that is known, the one in an archive too; also one that was packed as a tar."""
    folder = tmp_path / name
    result = cm.command(TOOL, "bundle", "export", str(folder), "--all")
    assert result.ok, result.text
    assert "is not in the store" not in result.err
    if name.endswith(".tar"):
        with tarfile.open(folder) as tar:
            folder = tmp_path / "unpacked"
            tar.extractall(folder, filter="data")
    assert len(list((folder / "sha256").iterdir())) == len(ARTIFACTS) + 1
    prefix = f"{folder.as_uri()}/"
    if scheme == "http":
        prefix = origin.at("/site/")
        for path in folder.rglob("*"):
            if path.is_file():
                origin.serve(origin.at(f"/site/{path.relative_to(folder)}"), path)
    origin.clear_log()
    own = {"CM_RESNET50_MIRROR": prefix}
    result = there.command(TOOL, "prefetch", "--all", "--json", env=own)
    assert result.ok, result.text
    assert len(json.loads(result.out)) == len(ARTIFACTS) - 1
    assert all("/site/" in record.url for record in origin.requests)
    assert bool(origin.requests) == (scheme == "http")


def store_data(cm: CM, content: bytes) -> Path:
    """Return the object that has these bytes."""
    (path,) = (p for p in cm.repos.rglob("objects/*/*/data") if p.read_bytes() == content)
    return path


def test_a_store_without_the_archive_goes_on_and_says_how_to_have_it(
    cm: CM, origin: Origin, tmp_path: Path, served: dict[str, Path]
) -> None:
    """As earlier versions left it: what was unpacked, and nothing to serve to others."""
    assert cm.command(TOOL, "prefetch", "_tflite").ok
    packed = served["tflite-argmax"].read_bytes()
    shutil.rmtree(store_data(cm, packed).parent)
    origin.clear_log()
    assert cm.command(TOOL, "get", "_tflite").ok
    assert cm.command(TOOL, "prefetch", "_tflite", env={"CM_RESNET50_OFFLINE": "yes"}).ok
    assert cm.get("tflite").ok
    assert not origin.requests
    for name in ("old", "old.tar"):
        result = cm.command(TOOL, "bundle", "export", "--silent", str(tmp_path / name))
        assert result.ok, result.text
        (advice,) = result.err.splitlines()
        assert "resnet50_v1.tflite.gz, is not in the store" in advice
    command = advice[advice.index(f"{TOOL} prefetch") :].partition(", then")[0]
    assert cm.command(*command.split()).ok
    assert origin.asked(ARTIFACTS["tflite-argmax"].url)
    result = cm.command(TOOL, "bundle", "export", "--silent", str(tmp_path / "new"))
    assert result.err == ""
    assert (tmp_path / "new" / "resnet50_v1.tflite.gz").read_bytes() == packed


def test_a_lost_file_is_unpacked_again_without_a_network(
    cm: CM, origin: Origin, served: dict[str, Path]
) -> None:
    content = delivered(served["tflite-argmax"])
    assert cm.command(TOOL, "prefetch", "_tflite").ok
    origin.clear_log()
    shutil.rmtree(store_data(cm, content).parent)
    assert cm.command(TOOL, "get", "_tflite", "--offline").ok
    first = cm.get("tflite", offline=True)
    assert first.ok, first.text
    for path in (first.path, store_data(cm, content)):
        for other in cm.repos.rglob("resnet50_v1.tflite"):
            other.unlink()
        path.unlink(missing_ok=True)
        result = cm.get("tflite", offline=True)
        assert result.ok, result.text
        assert result.path.read_bytes() == content
    assert not origin.requests


def test_an_archive_at_hand_is_kept(cm: CM, origin: Origin, served: dict[str, Path]) -> None:
    given = f"--checkpoint={served['tflite-argmax']}"
    assert cm.command(TOOL, "get", "_tflite", given).ok
    folder = store_data(cm, served["tflite-argmax"].read_bytes()).parent
    shutil.rmtree(folder)
    assert cm.command(TOOL, "get", "_tflite", given).ok
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    assert record["file"] == "resnet50_v1.tflite.gz"
    assert record["url"] == served["tflite-argmax"].as_uri()
    assert not origin.requests


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
    assert result.code == (5 if kind == "other bytes" else 1)
    assert "Traceback" not in result.err
    assert str(bundle) in result.err
    if kind in ("other bytes", "cut"):
        assert "(resnet50-19c8e357.pth)" in result.err
    assert not list(tmp_path.rglob("escaped"))
    assert there.command(TOOL, "get", "_pytorch", "--offline").code == 4


def test_a_folder_that_is_there_gets_what_it_lacks(
    cm: CM, new_cm: Callable[..., CM], tmp_path: Path
) -> None:
    """From several machines, as a site's mirror; then it serves and is imported."""
    folder = tmp_path / "a mirror"
    for user, request, fresh in (
        (cm, "_tf", {"tensorflow"}),
        (new_cm("second"), "_ncnn", {"ncnn", "ncnn-param"}),
        (cm, "_tf", set()),
    ):
        done = user.command(TOOL, "bundle", "export", str(folder), request, "--json")
        assert done.ok, done.text
        content = json.loads(done.out)
        assert content["target"] == str(folder)
        rows = content["objects"]
        assert {row["artifact"] for row in rows if row["written"]} == fresh
    again = cm.command(TOOL, "bundle", "export", str(folder), "_tf", "_pytorch")
    assert again.out.splitlines()[-1].endswith(" 1 already there")
    user = new_cm("user").also(origin=None)
    served = user.command(
        TOOL, "prefetch", "_tf", "_ncnn", env={"CM_RESNET50_MIRROR": folder.as_uri()}
    )
    assert served.ok, served.text
    assert folder.as_uri() in served.err
    taken = new_cm("other").also(origin=None).command(TOOL, "bundle", "import", str(folder))
    assert taken.ok, taken.text
    assert ": 4 files" in taken.out.splitlines()[-1]


@pytest.mark.parametrize("name", ["b.zip", "models.tar.gz", "models.tar.zst"])
def test_a_compressed_bundle_is_refused_before_a_fetch(
    cm: CM, origin: Origin, tmp_path: Path, name: str
) -> None:
    result = cm.command(TOOL, "bundle", "export", str(tmp_path / name), "_tf")
    assert result.code == 1
    assert f"{tmp_path / name} is not written: a bundle is not compressed" in result.err
    assert not origin.requests
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["bundle", "bundle.tar"])
def test_a_damaged_object_is_named_with_the_bundle(cm: CM, tmp_path: Path, name: str) -> None:
    assert cm.command(TOOL, "prefetch", "_pytorch").ok
    (path,) = cm.repos.rglob("objects/*/*/data")
    path.chmod(0o644)
    path.write_bytes(bytes(path.stat().st_size))
    result = cm.command(TOOL, "bundle", "export", str(tmp_path / name))
    assert result.code == 1
    assert f"{tmp_path / name} is not written: resnet50-19c8e357.pth is damaged" in result.err
    assert not (tmp_path / name).exists()


class Forger:
    """Makes a bundle folder in which each object is listed as the forger likes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: list[dict[str, object]] = []
        (folder / "sha256").mkdir(parents=True)

    def add(self, content: bytes, artifact: str, *keys: str) -> str:
        """Add an object; return its sha256."""
        sha256, md5 = (hashlib.new(kind, content).hexdigest() for kind in ("sha256", "md5"))
        (self.folder / "sha256" / sha256).write_bytes(content)
        entry = {"sha256": sha256, "md5": md5, "bytes": len(content), "keys": list(keys)}
        record = {"artifact": artifact, "file": ARTIFACTS[artifact].file}
        self._entries.append({**entry, "record": record})
        content = {"format": "cmx-resnet50-bundle", "version": 1, "objects": self._entries}
        (self.folder / "manifest.json").write_text(json.dumps(content))
        return sha256


STRICT = {"CM_RESNET50_STRICT": "yes"}


@pytest.mark.parametrize("archive", [False, True], ids=["no archive", "the archive"])
def test_an_archive_that_did_not_come_along_proves_nothing(
    there: CM, tmp_path: Path, served: dict[str, Path], archive: bool
) -> None:
    """Other bytes are never delivered as those of an archive with a published digest."""
    packed = served["tflite-argmax"].read_bytes()
    right = delivered(served["tflite-argmax"])
    forged = bytearray(right)
    forged[len(forged) // 2] ^= 1
    forger = Forger(tmp_path / "bundle")
    md5 = hashlib.md5(packed).hexdigest()
    digest = forger.add(bytes(forged), "tflite-argmax", f"archive-md5-{md5}")
    if archive:
        forger.add(packed, "tflite-argmax", f"md5-{md5}")
    taken = there.command(TOOL, "bundle", "import", str(forger.folder), "--json")
    assert taken.ok, taken.text
    (row,) = (row for row in json.loads(taken.out) if row["sha256"] == digest)
    assert f"archive-md5-{md5}" in row["unconfirmed"]
    assert f"{forger.folder}: resnet50_v1.tflite" in taken.err
    result = there.get("tflite", offline=True, env=STRICT)
    if archive:
        assert result.ok, result.text
        assert result.path.read_bytes() == right
        assert result.env["CM_ML_MODEL_VERIFIED"] == "yes"
    else:
        assert result.code == 1
        assert "resnet50_v1.tflite.gz is not here" in result.err


def test_a_file_that_was_made_is_made_again_before_it_is_believed(
    cm: CM, there: CM, tmp_path: Path, served: dict[str, Path]
) -> None:
    made = cm.get("onnx", "batch_size.8")
    assert made.ok, made.text
    right = made.path.read_bytes()
    original = served["onnx-opset-11"].read_bytes()
    forger = Forger(tmp_path / "bundle")
    sha256 = forger.add(original, "onnx-opset-11")
    key = f"derived-{sha256}-batch-8-r1"
    digest = forger.add(served["onnx-opset-8"].read_bytes(), "onnx-opset-11", key)
    taken = there.command(TOOL, "bundle", "import", str(forger.folder), "--json")
    assert taken.ok, taken.text
    (row,) = (row for row in json.loads(taken.out) if row["sha256"] == digest)
    assert row["unconfirmed"] == {key: "it has other bytes when made again here"}
    result = there.get("onnx", "batch_size.8", offline=True, env=STRICT)
    assert result.ok, result.text
    assert result.path.read_bytes() == right


def test_a_url_in_a_bundle_proves_nothing(
    cm: CM, there: CM, origin: Origin, tmp_path: Path, served: dict[str, Path]
) -> None:
    """A file that somebody else fetched from there, perhaps, is not what this user asks for."""
    url = origin.at("/own.onnx")
    key = f"url-{hashlib.sha256(url.encode()).hexdigest()}"
    forger = Forger(tmp_path / "bundle")
    forger.add(served["onnx-opset-8"].read_bytes(), "onnx-opset-8", key)
    assert there.command(TOOL, "bundle", "import", str(forger.folder)).ok
    result = there.get("onnx", offline=True, **{"const.CM_PACKAGE_URL": url})
    assert result.code == 1
    assert "offline mode is on" in result.err


@pytest.mark.parametrize("name", ["mine.tar", "mine/manifest.json", "mine/resnet50_v1.pb"])
def test_a_file_of_the_user_is_left_alone_before_a_fetch(
    cm: CM, origin: Origin, tmp_path: Path, name: str
) -> None:
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_bytes(b"a month of work")
    target = tmp_path / name.partition("/")[0]
    result = cm.command(TOOL, "bundle", "export", str(target), "_tf")
    assert result.code == 1
    assert str(mine) in result.err
    assert "Move it away, or name another" in result.err
    assert mine.read_bytes() == b"a month of work"
    assert not origin.requests
    forced = cm.command(TOOL, "bundle", "export", str(target), "_tf", "--force")
    assert forced.ok == ("--force" in result.err) == (mine.name != "manifest.json"), forced.text
    assert (mine.read_bytes() == b"a month of work") == (not forced.ok)
    if forced.ok:
        assert (f"{mine} was there, and was replaced" in forced.err) == (mine == target)
        assert cm.command(TOOL, "bundle", "import", str(target)).ok
