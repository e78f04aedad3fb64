"""Bundles: there and back, as a mirror, and hostile ones."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.mirror import bundle
from cmx_resnet50.mirror.errors import MirrorError
from cmx_resnet50.store import Store, StoredObject
from tests.store.helpers import DATA, flip, md5, never, put, sha256

SECOND = b"second" * 1000


def take(store: Store, source: Path, doubt: str | None = None) -> list[StoredObject]:
    """Import a bundle on a machine that can make again all that it claims, or has a doubt."""
    return [one.stored for one in bundle.import_(store, source, lambda *_: doubt)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store, in a folder with a blank and letters beyond ASCII."""
    return Store(tmp_path / "Modell-Lager für ResNet" / "склад", notify=lambda _: None)


@pytest.fixture
def other(tmp_path: Path) -> Store:
    """An empty store on the machine that a bundle is for."""
    return Store(tmp_path / "other machine", notify=lambda _: None)


@pytest.mark.parametrize("name", ["bündel.tar", "bündel"])
def test_objects_travel_with_keys_and_records(
    store: Store, other: Store, tmp_path: Path, name: str
) -> None:
    keys = [f"md5-{md5(DATA)}", "archive-md5-" + "1" * 32]
    put(store, DATA, *keys)
    put(store, SECOND, "url-b", name="second.onnx")
    target = tmp_path / name
    bundle.export(store, store.objects(), target)
    taken = take(other, target)
    assert {stored.sha256 for stored in taken} == {sha256(DATA), sha256(SECOND)}
    assert {s.sha256: dict(s.record) for s in taken} == {
        s.sha256: dict(s.record) for s in store.objects()
    }
    stored, made = other.obtain(keys, never, name="model.onnx")
    assert not made
    assert stored.path.read_bytes() == DATA
    assert list((other.root / "temporary").iterdir()) == []
    assert [s.sha256 for s in take(other, target)] == [s.sha256 for s in taken]


def test_a_bundle_folder_is_a_mirror(store: Store, tmp_path: Path) -> None:
    first, second = put(store), put(store, SECOND, "url-b", name="second.onnx")
    same = put(store, b"third", "url-c", name="second.onnx")
    folder = tmp_path / "mirror"
    bundle.export(store, [first, second, same], folder)
    for name in (f"sha256/{first.sha256}", f"md5/{first.md5}", "model.onnx"):
        assert (folder / name).read_bytes() == DATA
    assert not (folder / "second.onnx").exists()
    assert (folder / "md5" / same.md5).read_bytes() == b"third"
    assert store.check(first)
    (folder / "model.onnx").write_bytes(b"changed")
    assert first.path.read_bytes() == DATA


def test_the_same_objects_make_the_same_tar(store: Store, tmp_path: Path) -> None:
    put(store)
    for name in ("a.tar", "b.tar"):
        bundle.export(store, store.objects(), tmp_path / name)
    assert (tmp_path / "b.tar").read_bytes() == (tmp_path / "a.tar").read_bytes()


def test_a_damaged_object_is_not_exported(store: Store, tmp_path: Path) -> None:
    flip(put(store).path)
    with pytest.raises(Resnet50Error, match="damaged"):
        bundle.export(store, store.objects(), tmp_path / "a.tar")
    assert not (tmp_path / "a.tar").exists()


def test_a_folder_that_was_packed_by_hand_is_taken(
    store: Store, other: Store, tmp_path: Path
) -> None:
    put(store)
    folder = tmp_path / "bundle"
    bundle.export(store, store.objects(), folder)
    with tarfile.open(tmp_path / "hand.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(folder, arcname=".")
    assert take(other, tmp_path / "hand.tar")[0].path.read_bytes() == DATA


@pytest.mark.parametrize("form", ["tar", "folder"])
def test_changed_bytes_are_refused(store: Store, other: Store, tmp_path: Path, form: str) -> None:
    stored = put(store)
    if form == "tar":
        target = tmp_path / "a.tar"
        bundle.export(store, [stored], target)
        content = bytearray(target.read_bytes())
        content[content.index(DATA) + 7] ^= 1
        target.write_bytes(content)
    else:
        target = tmp_path / "a"
        bundle.export(store, [stored], target)
        flip(target / "sha256" / stored.sha256)
    with pytest.raises(Resnet50Error, match=f"expected {stored.sha256}") as caught:
        take(other, target)
    assert str(caught.value).startswith(f"{target}: sha256/{stored.sha256} (model.onnx): sha256 is")
    # Also where the store has the right bytes already.
    with pytest.raises(Resnet50Error, match="expected"):
        take(store, target)
    assert store.check(stored)
    assert list(other.objects()) == []


@pytest.mark.parametrize("size", [0, 100, 512, 2000, 5000, 12_000])
def test_a_cut_tar_is_refused(store: Store, other: Store, tmp_path: Path, size: int) -> None:
    target = tmp_path / "a.tar"
    bundle.export(store, [put(store)], target)
    target.write_bytes(target.read_bytes()[:size])
    with pytest.raises(Resnet50Error):
        take(other, target)
    assert list(other.objects()) == []


def _tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for member, data in members:
            member.size = len(data) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(data))
    return path


def _manifest(**changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    entry = {"sha256": sha256(DATA), "md5": md5(DATA), "bytes": len(DATA)}
    entry = {**entry, "keys": [], "record": {}, **changes}
    content = {"format": "cmx-resnet50-bundle", "version": 1, "objects": [entry]}
    return tarfile.TarInfo("manifest.json"), json.dumps(content).encode()


def _good() -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(f"sha256/{sha256(DATA)}"), DATA


def _special(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member, b""


HOSTILE = [
    (tarfile.TarInfo("../escaped"), b"x"),
    (tarfile.TarInfo("/tmp-escaped"), b"x"),
    (tarfile.TarInfo("sha256/../../escaped"), b"x"),
    (tarfile.TarInfo("a/b/c"), b"x"),
    _special("sha256/link", tarfile.SYMTYPE, "/etc/passwd"),
    _special("name", tarfile.LNKTYPE, "/etc/passwd"),
    _special("name", tarfile.LNKTYPE, "sha256/../../escaped"),
    _special("name", tarfile.CHRTYPE),
    _special("name", tarfile.FIFOTYPE),
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda item: f"{item[0].name} {item[0].linkname}")
def test_a_hostile_member_is_refused(
    other: Store, tmp_path: Path, hostile: tuple[tarfile.TarInfo, bytes]
) -> None:
    good = _tar(tmp_path / "good.tar", _manifest(), _good())
    bad = _tar(tmp_path / "bad.tar", _manifest(), _good(), hostile)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Resnet50Error, match="no bundle has"):
        take(other, bad)
    assert sorted(tmp_path.rglob("*")) == before
    assert len(take(other, good)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "../../x"},
        {"sha256": None},
        {"bytes": -1},
        {"bytes": len(DATA) + 1},
        {"bytes": True},
        {"keys": ["../x"]},
        {"keys": [f"md5-{md5(SECOND)}"]},
        {"keys": [1]},
        {"record": []},
    ],
    ids=str,
)
def test_a_hostile_manifest_is_refused(
    other: Store, tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(Resnet50Error):
        take(other, _tar(tmp_path / "bad.tar", _manifest(**changes), _good()))
    assert list(other.objects()) == []


def test_a_key_that_nothing_confirms_is_not_taken(store: Store, tmp_path: Path) -> None:
    mine = put(store, SECOND, "url-a")
    claimed = [f"md5-{md5(DATA)}", "url-a", "archive-md5-" + "1" * 32]
    source = _tar(tmp_path / "a.tar", _manifest(keys=claimed), _good())
    (one,) = bundle.import_(store, source, lambda *_: "nobody knows")
    assert one.unconfirmed == dict.fromkeys(claimed[1:], "nobody knows")
    assert store.find("url-a") == mine
    assert store.find(claimed[2]) is None
    found = store.find(claimed[0])
    assert found is not None
    assert found.sha256 == sha256(DATA)


def test_what_a_claim_costs_is_bounded(store: Store, tmp_path: Path) -> None:
    asked = []
    claimed = [f"url-{number}" for number in range(5000)]
    source = _tar(tmp_path / "a.tar", _manifest(keys=claimed), _good())
    bundle.import_(store, source, lambda store, stored, key: asked.append(key) or "no")
    assert len(asked) == bundle.MAX_CLAIMS


def test_headers_that_claim_too_much_are_refused(other: Store, tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 1 << 28
    path = tmp_path / "big.tar"
    with open(path, "wb") as file:
        file.write(header.tobuf())
        file.truncate(1 << 29)
    tracemalloc.start()
    with pytest.raises(Resnet50Error):
        take(other, path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 << 20
    many = [(tarfile.TarInfo(f"f{number}"), b"") for number in range(5001)]
    with pytest.raises(Resnet50Error, match="members"):
        take(other, _tar(tmp_path / "many.tar", _manifest(), _good(), *many))


def test_an_endless_chain_of_headers_is_refused(other: Store, tmp_path: Path) -> None:
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 10
    block = name.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")
    (tmp_path / "chain.tar").write_bytes(block * 5000)
    with pytest.raises(Resnet50Error):
        take(other, tmp_path / "chain.tar")


@pytest.mark.parametrize("kind", ["text", "tar", "link", "folder", "truncated"])
def test_a_file_of_the_user_is_not_replaced(store: Store, tmp_path: Path, kind: str) -> None:
    target, stored = tmp_path / "mine.tar", put(store)
    if kind == "text":
        target.write_bytes(b"a month of work")
    elif kind == "tar":
        _tar(target, (tarfile.TarInfo("thesis.tex"), b"a month of work"))
    elif kind == "link":
        (tmp_path / "work").write_bytes(b"a month of work")
        target.symlink_to(tmp_path / "work")
    elif kind == "folder":
        target.mkdir()
    else:
        bundle.export(store, [stored], target)
        target.write_bytes(target.read_bytes()[:100])
    before = target.read_bytes() if kind != "folder" else b""
    with pytest.raises(MirrorError, match=f"{target} is there and is not a bundle"):
        bundle.export(store, [stored], target)
    assert kind == "folder" or target.read_bytes() == before
    assert target.is_symlink() == (kind == "link")


def test_a_bundle_is_replaced_by_a_new_one(store: Store, other: Store, tmp_path: Path) -> None:
    first = put(store)
    for objects in ([first], [first, put(store, SECOND, name="second.onnx")]):
        bundle.export(store, objects, tmp_path / "a.tar")
        assert len(take(other, tmp_path / "a.tar")) == len(objects)


def test_a_compressed_bundle_is_named_as_such(store: Store, other: Store, tmp_path: Path) -> None:
    bundle.export(store, [put(store)], tmp_path / "a.tar")
    packed = tmp_path / "a.tar.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.tar").read_bytes()))
    with pytest.raises(Resnet50Error, match=r"compressed \(gzip\)\. Decompress it first"):
        take(other, packed)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x1f\x8b\x08" + bytes(2000), b"\0" * 5000])
def test_what_is_no_tar_is_refused(other: Store, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(content)
    for path in (tmp_path / "x.tar", tmp_path / "absent.tar", tmp_path):
        with pytest.raises(Resnet50Error, match=str(path)):
            take(other, path)
