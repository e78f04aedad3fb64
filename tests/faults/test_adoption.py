"""The user's own file in place of a download: compared, taken, or refused by name."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import onnx
import pytest

from tests.faults.support import assert_failed, assert_good, objects, store_of
from tests.faults.test_disks import read_only
from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.build import Installation
from tests.harness.cm import CM
from tests.harness.origin import Origin

# The library alone, whatever engine calls it: the full run has these cases under MLC, too.
pytestmark = pytest.mark.under_mlc()

NAME = "onnx-opset-11"
FILE = "resnet50_v1.onnx"
WAYS = [
    "checkpoint",
    pytest.param("model_path", marks=pytest.mark.full),
    pytest.param("env.CM_DOWNLOAD_LOCAL_FILE_PATH", marks=pytest.mark.full),
]
ANY = {"CM_RESNET50_ACCEPT_ANY": "yes"}


def altered(path: Path, offset: int) -> bytes:
    """The same model with another weight: of the right form, and of no known digest."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    return bytes(content)


@pytest.fixture
def mine(engine: CM) -> Path:
    """Return a folder of the user's own."""
    folder = engine.home / "mine"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
@pytest.mark.under_mlc("checkpoint-file", "file-checkpoint")
def test_right_file(
    engine: CM, origin: Origin, served: dict[str, Path], mine: Path, way: str, folder: bool
) -> None:
    path = mine / (FILE if folder else "by-another-name.bin")
    shutil.copyfile(served[NAME], path)
    path.chmod(0o644)
    before = path.stat()
    for _ in range(2):
        result = engine.get(**{way: str(mine if folder else path)})
        assert_good(engine, result, served, NAME)
        assert result.path.name == FILE
        assert engine.repos in result.path.parents
    after = path.stat()
    assert (after.st_ino, after.st_mode, after.st_mtime_ns, after.st_nlink) == (
        before.st_ino,
        before.st_mode,
        before.st_mtime_ns,
        1,
    )
    # The user goes on with his file: what was taken is not touched by it.
    path.write_bytes(b"changed")
    plain = engine.get()
    assert_good(engine, plain, served, NAME)
    assert not origin.requests and not origin.connects


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("given", [FILE, ".", f"~/mine/{FILE}"])
def test_path_from_where_the_user_stands(
    engine: CM, origin: Origin, served: dict[str, Path], mine: Path, way: str, given: str
) -> None:
    """Also where another folder was meant by the same words before."""
    elsewhere = engine.home / "elsewhere"
    elsewhere.mkdir()
    request = engine.request(quiet=True, **{way: given})
    if given != f"~/mine/{FILE}":
        missing = engine.run(*request, cwd=elsewhere)
        assert_failed(engine, missing, served, f"{elsewhere}/{FILE}", "does not exist")
    shutil.copyfile(served[NAME], mine / FILE)
    for folder in (mine, mine, elsewhere):
        assert_good(engine, engine.run(*request, cwd=folder), served, NAME)
    other = altered(served[NAME], 200_000)
    (mine / FILE).write_bytes(other)
    result = engine.run(
        *request, cwd=mine, env={**ANY, "CM_RESNET50_STORE": str(engine.home / "store")}
    )
    assert result.ok, result.text
    assert not origin.requests


@pytest.mark.parametrize("way", WAYS)
def test_wrong_file_is_refused(
    engine: CM, origin: Origin, served: dict[str, Path], mine: Path, way: str
) -> None:
    wrong = mine / FILE
    shutil.copyfile(served["onnx-opset-8"], wrong)
    result = engine.get(**{way: str(wrong)})
    digests = [
        hashlib.md5(served[name].read_bytes(), usedforsecurity=False).hexdigest()
        for name in (NAME, "onnx-opset-8")
    ]
    assert_failed(engine, result, served, str(wrong), *digests, "CM_RESNET50_ACCEPT_ANY=yes")
    assert not origin.requests
    assert not objects(store_of(engine))
    assert_good(engine, engine.get(), served, NAME)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", ["nothing", "empty folder", "folder of that name"])
def test_path_without_a_file_is_refused(
    engine: CM, origin: Origin, served: dict[str, Path], mine: Path, way: str, what: str
) -> None:
    path = mine / "x"
    if what != "nothing":
        path.mkdir()
    if what == "folder of that name":
        (path / FILE).mkdir()
    result = engine.get(**{way: str(path)})
    assert_failed(engine, result, served, str(path), "does not exist")
    assert not origin.requests
    assert_good(engine, engine.get(), served, NAME)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.under_mlc("mlc-checkpoint")
def test_any_file_has_an_identity_of_its_own(
    engine: CM, served: dict[str, Path], mine: Path, way: str
) -> None:
    content = altered(served[NAME], 200_000)
    (mine / FILE).write_bytes(content)
    for _ in range(2):
        result = engine.get(env=ANY, **{way: str(mine / FILE)})
        assert result.ok, result.text
        assert result.path.read_bytes() == content
        assert result.env["CM_ML_MODEL_VERIFIED"] == "no"
        assert result.env["CM_ML_MODEL_ACCURACY"] == ""
        assert result.env["CM_ML_MODEL_SHA256"] == hashlib.sha256(content).hexdigest()
        assert (mine / FILE).read_bytes() == content
    assert engine.get(**{way: str(mine / FILE)}).code == 1
    for variations in ((), ("onnx",), ("onnx", "opset-11"), ("fp32",)):
        plain = engine.get(*variations)
        assert plain.ok, plain.text
        assert plain.path.read_bytes() == served[NAME].read_bytes()
        assert plain.env["CM_ML_MODEL_VERIFIED"] == "yes"


def test_any_file_does_not_answer_after_uninstall(
    cm: CM, upstream: Installation, served: dict[str, Path]
) -> None:
    """The old script, put back after ours is gone, on the same cache."""
    mine = cm.home / FILE
    mine.write_bytes(altered(served[NAME], 200_000))
    assert cm.get(env=ANY, checkpoint=str(mine)).ok
    old = cm.also(installation=upstream)
    assert old.reindex().ok
    answer = old.get("onnx")
    assert answer.ok, answer.text
    assert answer.path.read_bytes() == served[NAME].read_bytes()


def test_any_file_that_changes_is_taken_anew(
    engine: CM, served: dict[str, Path], mine: Path
) -> None:
    path = mine / FILE
    for content in (altered(served[NAME], 200_000), altered(served[NAME], 201_000)):
        path.write_bytes(content)
        result = engine.get(env=ANY, checkpoint=str(path))
        assert result.ok, result.text
        assert result.path.read_bytes() == content


def test_pair_from_a_folder(
    engine: CM, origin: Origin, served: dict[str, Path], mine: Path
) -> None:
    for name in ("ncnn", "ncnn-param"):
        shutil.copyfile(served[name], mine / ARTIFACTS[name].file)
    result = engine.get("ncnn", checkpoint=str(mine))
    assert_good(engine, result, served, "ncnn")
    assert not origin.requests and not origin.connects
    param = Path(result.env["CM_ML_MODEL_PARAM_FILE_WITH_PATH"])
    assert param == result.path.with_name("resnet50_v1.param")
    assert param.read_bytes() == served["ncnn-param"].read_bytes()


def test_half_of_a_pair_is_wrong(
    engine: CM, origin: Origin, served: dict[str, Path], mine: Path
) -> None:
    """The other half is at hand and altered: what is delivered goes together all the same."""
    shutil.copyfile(served["ncnn"], mine / "resnet50_v1.bin")
    (mine / "resnet50_v1.param").write_bytes(b"7767517\n0 0\n")
    result = engine.get("ncnn", checkpoint=str(mine))
    assert_good(engine, result, served, "ncnn")
    param = Path(result.env["CM_ML_MODEL_PARAM_FILE_WITH_PATH"])
    assert param.read_bytes() == served["ncnn-param"].read_bytes()
    assert origin.asked(ARTIFACTS["ncnn-param"].url)


@pytest.mark.parametrize("name", ["tflite-argmax", "pytorch-fp32"])
@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_archive_and_its_content(
    engine: CM, origin: Origin, served: dict[str, Path], mine: Path, name: str, folder: bool
) -> None:
    """Of an archive only its own digest is known: the archive is what can be compared."""
    path = mine / ARTIFACTS[name].file
    shutil.copyfile(served[name], path)
    given = mine if folder else path
    result = engine.get({"tflite-argmax": "tflite"}.get(name, "pytorch"), checkpoint=str(given))
    assert_good(engine, result, served, name)
    assert result.path.read_bytes() == delivered(served[name])
    assert not origin.requests


def test_what_is_no_model_is_described(
    engine: CM, origin: Origin, served: dict[str, Path], mine: Path
) -> None:
    """`tests/api/test_checkpoint.py` has all kinds; here, that both ways in say it."""
    (mine / FILE).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    told = f"The given file {mine / FILE} is not {FILE} ({NAME}) but a Git LFS pointer"
    result = engine.get(checkpoint=str(mine / FILE))
    assert_failed(engine, result, served, told)
    command = engine.command("cmx-resnet50", "get", "--checkpoint", str(mine / FILE))
    assert command.code == 5
    assert told in command.err
    assert "ACCEPT_ANY" not in result.text + command.text
    assert not origin.requests


def test_external_data_comes_along(
    engine: CM, origin: Origin, served: dict[str, Path], mine: Path
) -> None:
    """The model's other file is in the entry with it, and in the output folder."""
    model = onnx.load(served[NAME])
    onnx.save(model, mine / FILE, save_as_external_data=True, location="w.data", size_threshold=9)
    for options in ({}, {"outdirname": str(engine.home / "out")}):
        result = engine.get(env=ANY, checkpoint=str(mine), **options)
        assert result.ok, result.text
        assert result.path.with_name("w.data").read_bytes() == (mine / "w.data").read_bytes()
        onnx.checker.check_model(str(result.path))
    (mine / "w.data").unlink()
    refused = engine.get(env=ANY, checkpoint=str(mine))
    assert refused.code == 1
    assert "'w.data', which is not next to it" in refused.err


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_read_only_media(
    engine: CM, origin: Origin, served: dict[str, Path], mine: Path, folder: bool
) -> None:
    shutil.copyfile(served[NAME], mine / FILE)
    with read_only(mine):
        for _ in range(2):
            result = engine.get(checkpoint=str(mine if folder else mine / FILE))
            assert_good(engine, result, served, NAME)
    # Taken out, it is not missed.
    shutil.rmtree(mine)
    assert_good(engine, engine.get(offline=True), served, NAME)
    assert not origin.connects


def test_two_small_files_make_no_other_bytes_the_published_file(
    engine: CM, origin: Origin, served: dict[str, Path], mine: Path
) -> None:
    """A file of the user's own is in the store; its record and one alias are changed."""
    (mine / FILE).write_bytes(altered(served[NAME], 200_000))
    assert engine.command("cmx-resnet50", "get", "--checkpoint", str(mine), env=ANY).ok
    ((sha256, path),) = objects(store_of(engine)).items()
    record = path.with_name("record.json")
    true = json.loads(record.read_text())
    published = hashlib.md5(served[NAME].read_bytes(), usedforsecurity=False).hexdigest()
    record.write_text(json.dumps({**true, "md5": published}))
    (store_of(engine) / "aliases" / f"md5-{published}").write_text(sha256)

    verified = engine.command("cmx-resnet50", "verify")
    assert verified.code == 1, verified.text
    offline = engine.get(offline=True, env={"CM_RESNET50_STRICT": "yes"})
    assert offline.code == 1, offline.text
    assert not offline.env
    assert engine.command("cmx-resnet50", "get", "--offline").code == 4
    assert not origin.requests
    result = engine.get()
    assert result.ok, result.text
    assert result.path.read_bytes() == served[NAME].read_bytes()
    assert result.env["CM_ML_MODEL_VERIFIED"] == "yes"
    assert engine.command("cmx-resnet50", "verify").ok


def test_an_alias_makes_no_other_bytes_what_an_archive_holds(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    """Of ``_tflite`` only the archive has a published digest; the store is told a lie about it."""
    assert engine.command("cmx-resnet50", "get", "_tflite,_no-argmax").ok
    ((sha256, _),) = objects(store_of(engine)).items()
    packed = ARTIFACTS["tflite-argmax"]
    md5 = hashlib.md5(served[packed.name].read_bytes(), usedforsecurity=False).hexdigest()
    (store_of(engine) / "aliases" / f"archive-md5-{md5}").write_text(sha256)
    origin.clear_log()
    assert engine.get("tflite", offline=True).code == 1
    assert not origin.requests
    assert_good(engine, engine.get("tflite"), served, "tflite-argmax")
