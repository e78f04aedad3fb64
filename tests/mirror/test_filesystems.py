"""Mirrors that fsspec knows: in memory."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from cmx_resnet50.digests import digest_file
from cmx_resnet50.mirror.publish import Item, opened, publish
from cmx_resnet50.mirror.target import PublishError
from tests.mirror.test_fetch import Seen, interrupt

HEAD = {"format": "cmx-resnet50-bundle", "version": 1}


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    yield


def items(folder: Path, *names: str) -> list[Item]:
    """Files with an entry each, as the command makes them."""
    made = []
    for name in names:
        path = folder / name
        path.write_bytes(name.encode() * 700_000)
        known_as = digest_file(path)
        entry = {"sha256": known_as.sha256, "md5": known_as.md5, "bytes": known_as.size}
        made.append(Item(path, name, {**entry, "keys": [f"md5-{known_as.md5}"], "record": {}}))
    return made


def fill(url: str, wanted: list[Item], seen: Seen | None = None) -> dict[str, bool]:
    """Publish; return which items were sent."""
    target = opened(url, connect_timeout=5, read_timeout=5)
    return {item.name: sent for item, sent in publish(wanted, target, HEAD, seen or Seen())}


def test_a_mirror_is_filled_once(tmp_path: Path) -> None:
    wanted = items(tmp_path, "a", "bb")
    assert fill("memory://mirror", wanted) == {"a": True, "bb": True}
    assert fill("memory://mirror/", wanted) == {"a": False, "bb": False}
    memory = fsspec.filesystem("memory")
    damaged = f"/mirror/sha256/{wanted[0].entry['sha256']}"
    content = memory.cat(damaged)
    memory.pipe(damaged, b"?" + content[1:])
    assert fill("memory://mirror", wanted) == {"a": True, "bb": False}
    assert memory.cat(damaged) == content
    assert not [name for name in memory.find("/mirror") if ".part" in name]


def test_a_break_leaves_nothing_half_written(tmp_path: Path) -> None:
    wanted = items(tmp_path, "aaaa")
    with pytest.raises(KeyboardInterrupt):
        fill("memory://mirror", wanted, Seen(1, interrupt))
    assert fsspec.filesystem("memory").find("/mirror") == []
    with pytest.raises(KeyboardInterrupt):
        fill(str(tmp_path / "mirror"), wanted, Seen(1, interrupt))
    assert not [path for path in (tmp_path / "mirror").rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_no_publisher_is_lost(tmp_path: Path, kind: str) -> None:
    """Many at once, each with one object of its own: the last manifest has them all."""
    wanted = items(tmp_path, *(f"{number:02}" for number in range(12)))
    url = "memory://mirror" if kind == "memory" else str(tmp_path / "mirror")
    start, failed = threading.Barrier(len(wanted)), []

    def run(item: Item) -> None:
        start.wait()
        try:
            fill(url, [item])
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(item,)) for item in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    if kind == "memory":
        content = fsspec.filesystem("memory").cat("/mirror/manifest.json")
    else:
        content = (tmp_path / "mirror" / "manifest.json").read_bytes()
    listed = {entry["sha256"] for entry in json.loads(content)["objects"]}
    assert listed == {hashlib.sha256(item.path.read_bytes()).hexdigest() for item in wanted}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.json", b"{}"),
        ("manifest.json", b"[" * 100_000),
        ("manifest.json", b" " * (2 << 20)),
        ("entries/x.json", b"{}"),
        ("entries/" + "0" * 64 + "-" + "0" * 16 + ".json", b'{"sha256": 1}'),
    ],
)
def test_what_is_no_manifest_is_said(tmp_path: Path, name: str, content: bytes) -> None:
    fsspec.filesystem("memory").pipe(f"/mirror/{name}", content)
    with pytest.raises(PublishError, match=f"memory://mirror/{name}"):
        fill("memory://mirror", items(tmp_path, "a"))
    assert fsspec.filesystem("memory").cat(f"/mirror/{name}") == content


def test_a_bundle_that_is_there_is_kept(tmp_path: Path) -> None:
    old = {"sha256": "0" * 64, "md5": "0" * 32, "bytes": 1, "keys": [], "record": {}}
    (tmp_path / "mirror").mkdir()
    manifest = tmp_path / "mirror" / "manifest.json"
    manifest.write_text(json.dumps({**HEAD, "objects": [old]}))
    fill(str(tmp_path / "mirror"), items(tmp_path, "a"))
    objects = json.loads(manifest.read_text())["objects"]
    assert len(objects) == 2
    assert old in objects
