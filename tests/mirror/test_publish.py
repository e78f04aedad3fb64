"""``publish`` to a store, and the site that is served from it, through the commands of users."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.cm import CM
from tests.harness.origin import Origin
from tests.mirror.conftest import MIRROR, Place

TOOL = "cmx-resnet50"
NODES = 8
SECRETS = ("X-Amz-Signature", "X-Amz-Credential", "Signature=")

Node = Callable[..., CM]


def manifest(place: Place) -> dict[str, dict[str, object]]:
    """The manifest's objects by artifact."""
    content = json.loads(place.get("site/manifest.json"))
    assert (content["format"], content["version"]) == ("cmx-resnet50-bundle", 1)
    return {str(entry["record"]["artifact"]): entry for entry in content["objects"]}


def assert_no_secret(cm: CM, place: Place) -> None:
    """Nothing that was written down tells how the store was asked."""
    words = [*SECRETS, place.environment["AWS_SECRET_ACCESS_KEY"]]
    for path in (path for path in cm.home.parent.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert not [word for word in words if word.encode() in content], path


def test_all_is_published_and_serves_the_site(
    place: Place, node: Node, origin: Origin, served: dict[str, Path]
) -> None:
    publisher = node("publisher", place, online=True)
    first = publisher.command(TOOL, "publish", "--all", "--to", MIRROR, "--json")
    assert first.ok, first.text
    rows = json.loads(first.out)
    assert rows["target"] == MIRROR
    assert len(rows["objects"]) == len(ARTIFACTS) + 1, "the archive, and what is in it"
    assert all(row["sent"] for row in rows["objects"])
    keys = set(place.names())
    for row in rows["objects"]:
        assert {f"site/sha256/{row['sha256']}", f"site/md5/{row['md5']}"} <= keys
    again = publisher.command(TOOL, "publish", "--all", "--to", f"{MIRROR}/", "--json")
    assert again.ok, again.text
    assert not any(row["sent"] for row in json.loads(again.out)["objects"])
    assert set(place.names()) == keys
    assert set(manifest(place)) == set(ARTIFACTS)

    user = node("user", place)
    result = user.command(TOOL, "prefetch", "--all", "--json")
    assert result.ok, result.text
    assert len(json.loads(result.out)) == len(ARTIFACTS) - 1
    asked = user.get("tflite")
    assert asked.ok, asked.text
    assert asked.path.read_bytes() == delivered(served["tflite-argmax"])
    assert asked.env["CM_ML_MODEL_VERIFIED"] == "yes"
    assert_no_secret(user, place)
    assert_no_secret(publisher, place)


def test_the_site_asks_at_once(
    place: Place, node: Node, origin: Origin, served: dict[str, Path]
) -> None:
    done = node("publisher", place, online=True).command(TOOL, "publish", "_onnx", "--to", MIRROR)
    assert done.ok, done.text
    assert done.out.splitlines()[-1].startswith(f"{MIRROR}: 1 file, ")
    drawn = origin.bytes_sent()
    users = [node(f"user{number}", place) for number in range(NODES)]
    with ExitStack() as stack:
        running = [
            stack.enter_context(user.start("get", "_onnx", "--to", "here", program=TOOL))
            for user in users
        ]
        results = [one.wait() for one in running]
    for user, result in zip(users, results, strict=True):
        assert result.ok, result.text
        assert "s3://models/site/md5/" in result.err
        got = (user.cwd / "here" / "resnet50_v1.onnx").read_bytes()
        assert got == served["onnx-opset-11"].read_bytes()
    assert origin.bytes_sent() == drawn
    through_cm = node("user-of-cm", place).get("onnx")
    assert through_cm.ok, through_cm.text
    assert through_cm.path.read_bytes() == served["onnx-opset-11"].read_bytes()


@pytest.mark.full
def test_publishers_at_once_are_all_in_the_manifest(place: Place, node: Node) -> None:
    requests = {
        "_onnx": "onnx-opset-11",
        "_onnx,_opset-8": "onnx-opset-8",
        "_pytorch": "pytorch-fp32",
        "_tf": "tensorflow",
    }
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                node(f"publisher{number}", place, online=True).start(
                    "publish", text, "_pytorch,_int8", "--to", MIRROR, program=TOOL
                )
            )
            for number, text in enumerate(requests)
        ]
        for one in running:
            result = one.wait()
            assert result.ok, result.text
    entries = manifest(place)
    assert set(entries) == {*requests.values(), "pytorch-int8"}
    for entry in entries.values():
        assert len(place.get(f"site/sha256/{entry['sha256']}")) == entry["bytes"]


def test_only_what_the_store_holds(place: Place, node: Node, origin: Origin) -> None:
    user = node("publisher", place, online=True)
    empty = user.command(TOOL, "publish", "--from-store", "--to", MIRROR)
    assert empty.code == 1
    assert "is empty. Name requests" in empty.err
    assert user.command(TOOL, "prefetch", "_pytorch").ok
    drawn = len(origin.requests)
    missing = user.command(TOOL, "publish", "_pytorch", "_tf", "--from-store", "--to", MIRROR)
    assert missing.code == 4
    assert "resnet50_v1.pb is not here" in missing.err
    assert "Nothing was sent" in missing.err
    assert not place.names()
    for request in ([], ["_pytorch"]):
        done = user.command(TOOL, "publish", *request, "--from-store", "--to", MIRROR, "--json")
        assert done.ok, done.text
        assert [row["artifact"] for row in json.loads(done.out)["objects"]] == ["pytorch-fp32"]
    assert len(origin.requests) == drawn
    offline = {"CM_RESNET50_OFFLINE": "yes"}
    refused = user.command(TOOL, "publish", "--from-store", "--to", MIRROR, env=offline)
    assert refused.code == 1
    assert "CM_RESNET50_OFFLINE" in refused.err


def test_other_bytes_are_sent_again_and_not_taken(
    place: Place, node: Node, origin: Origin, served: dict[str, Path]
) -> None:
    publisher = node("publisher", place, online=True)
    assert publisher.command(TOOL, "publish", "_tf", "--to", MIRROR).ok
    (name,) = filter(re.compile("/md5/").search, place.names())
    good = place.get(name)
    place.put(name, good[:-1] + bytes([good[-1] ^ 1]))
    user = node("user", place, online=True, CM_RESNET50_MIRROR=MIRROR)
    result = user.command(TOOL, "get", "_tf", "--to", "here")
    assert result.ok, result.text
    assert f"s3://models/{name}: wrong bytes" in result.err
    assert (user.cwd / "here/resnet50_v1.pb").read_bytes() == served["tensorflow"].read_bytes()
    alone = node("alone", place).command(TOOL, "get", "_tf")
    assert alone.code == 5
    assert f"s3://models/{name}\n     wrong bytes" in alone.err
    assert f"expected md5 {name.rpartition('/')[2]}" in alone.err
    again = publisher.command(TOOL, "publish", "_tf", "--to", MIRROR)
    assert again.ok, again.text
    assert place.get(name) == good


def test_verbose_logs_what_is_sent_and_no_signature(place: Place, node: Node) -> None:
    publisher = node("publisher", place, online=True)
    done = publisher.command(TOOL, "publish", "_tf", "--to", MIRROR, "-v", "--silent")
    assert done.ok, done.text
    sent = re.findall(r"cmx-resnet50: PUT \S+: 200, ([\d,]+) bytes in \d+\.\d\d s\n", done.err)
    (size,) = {entry["bytes"] for entry in manifest(place).values()}
    assert f"{size:,}" in sent
    assert "cmx-resnet50: HEAD " in done.err
    assert "ignature" not in done.err


def test_a_missing_bucket_is_said(place: Place, node: Node) -> None:
    nowhere = "s3://nobody-made-this/site"
    publisher = node("publisher", place, online=True)
    sent = publisher.command(TOOL, "publish", "_tf", "--to", nowhere)
    assert sent.code == 4
    assert f"{nowhere}: NoSuchBucket: the store has no bucket of this name" in sent.err
    asked = node("user", place, CM_RESNET50_MIRROR=nowhere).get("tf")
    assert asked.code == 1
    assert f"{nowhere}/md5/" in asked.err
    assert "HTTP 404 NoSuchBucket: the store has no bucket of this name" in asked.err
    (manual,) = re.findall(r"^ *(curl -fL .*)$", asked.err, re.MULTILINE)
    assert "zenodo.org" in manual and "nobody-made-this" not in manual


@pytest.mark.parametrize("kind", ["path", "file://", "file://localhost"])
def test_a_folder_is_left_to_bundle_export(
    cm: CM, tmp_path: Path, origin: Origin, kind: str
) -> None:
    folder = tmp_path / "a mirror"
    url = str(folder) if kind == "path" else f"{kind}{folder}".replace(" ", "%20")
    refused = cm.command(TOOL, "publish", "_tf", "--to", url)
    assert refused.code == 2
    advice = refused.err.partition("For a folder: ")[2].splitlines()[0]
    assert advice == f"{TOOL} bundle export '{folder}'"
    assert not origin.requests
    assert not folder.exists()


@pytest.mark.parametrize("url", ["gs://bucket/site", "https://h/x", "sftp://me:secret@host/x"])
def test_other_stores_are_reached_over_https(cm: CM, origin: Origin, url: str) -> None:
    refused = cm.command(TOOL, "publish", "_tf", "--to", url)
    assert refused.code == 2
    assert "only s3:// is understood" in refused.err
    assert f"{TOOL} bundle export DIR" in refused.err
    assert "over https" in refused.err
    assert "secret" not in refused.err
    assert not origin.requests


def test_what_is_exported_is_what_is_published(place: Place, node: Node, tmp_path: Path) -> None:
    user = node("publisher", place, online=True)
    assert user.command(TOOL, "publish", "_onnx,_batch_size.4", "--to", MIRROR).ok
    assert user.command(TOOL, "bundle", "export", str(tmp_path / "b"), "_onnx,_batch_size.4").ok
    exported = json.loads((tmp_path / "b" / "manifest.json").read_text())
    published = json.loads(place.get("site/manifest.json"))
    for content in (exported, published):
        content["objects"].sort(key=lambda entry: entry["sha256"])
    assert published == exported


def test_a_foreign_manifest_is_left_alone(place: Place, node: Node, origin: Origin) -> None:
    place.put("site/manifest.json", b"not ours")
    drawn = len(origin.requests)
    done = node("publisher", place, online=True).command(TOOL, "publish", "_tf", "--to", MIRROR)
    assert done.code == 1
    assert len(origin.requests) == drawn
    assert f"{MIRROR}/manifest.json is not the manifest of a mirror" in done.err
    assert place.get("site/manifest.json") == b"not ours"


def test_without_boto3_nothing_is_tried(place: Place, node: Node, origin: Origin) -> None:
    user = node("user", place, online=True, CM_RESNET50_MIRROR=MIRROR, PYTHONPATH="")
    for command in (["get", "_tf"], ["publish", "_tf", "--to", MIRROR]):
        result = user.command(TOOL, *command)
        assert result.code == 1
        assert "pip install boto3" in result.err
    result = user.get("tf")
    assert result.code == 1
    assert "pip install boto3" in result.err
    assert not origin.requests
    unused = user.command(TOOL, "get", "_dummy-weights", "--silent")
    assert unused.ok, unused.text


@pytest.mark.parametrize("name", ["MIRROR", "URL"])
def test_a_store_of_another_kind_is_said(cm: CM, origin: Origin, name: str) -> None:
    url = "gs://bucket/resnet50_v1.pb"
    if name == "MIRROR":
        done = cm.command(TOOL, "get", "_tf", env={"CM_RESNET50_MIRROR": url})
    else:
        done = cm.get("tf", **{"const.CM_PACKAGE_URL": url})
    assert done.code != 0
    assert "gs:// is not supported. Supported are https://" in done.err + done.out
    assert not origin.requests
