"""Sources and mirrors that fsspec knows: in memory, and of a kind that fails as networks do."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from cmx_resnet50.digests import Expected, digest_file
from cmx_resnet50.fetch import FetchError, FetchOptions
from cmx_resnet50.mirror.publish import Item, opened, publish
from cmx_resnet50.mirror.target import PublishError
from tests.mirror.test_fetch import CONTENT, SIZE, Seen, get, interrupt, known

HEAD = {"format": "cmx-resnet50-bundle", "version": 1}


class Shaky(MemoryFileSystem):
    """Keeps its files in memory, and does `trouble` before each read."""

    protocol = "shaky"
    store: dict[str, Any] = {}  # noqa: RUF012 - as in its base
    pseudo_dirs: list[str] = [""]  # noqa: RUF012
    trouble: list[Callable[[], None]] = []  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return super()._strip_protocol(str(path).replace("shaky://", "memory://"))

    def cat_file(self, *arguments: Any, **keywords: Any) -> Any:
        """Read a piece."""
        if self.trouble:
            self.trouble.pop(0)()
        return super().cat_file(*arguments, **keywords)


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    fsspec.register_implementation("shaky", Shaky, clobber=True)
    for kind in (MemoryFileSystem, Shaky):
        kind.store.clear()
        kind.pseudo_dirs[:] = [""]
    Shaky.trouble.clear()
    yield


def fail(error: BaseException) -> Callable[[], None]:
    def trouble() -> None:
        raise error

    return trouble


def test_a_file_is_fetched_in_pieces_and_resumed(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/site/model", CONTENT)
    for expected in (known(CONTENT), Expected()):
        with pytest.raises(KeyboardInterrupt):
            get(tmp_path, "memory://site/model", expected=expected, progress=Seen(1, interrupt))
        assert json.loads((tmp_path / "partial.journal").read_text().splitlines()[0])
        done = get(tmp_path, "memory://site/model", expected=expected)
        assert done.resumed > 0
        assert done.transferred == SIZE - done.resumed
        assert done.path.read_bytes() == CONTENT
        done.path.unlink()


def test_an_altered_file_is_not_continued(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/site/model", CONTENT)
    with pytest.raises(KeyboardInterrupt):
        get(tmp_path, "memory://site/model", expected=Expected(), progress=Seen(1, interrupt))
    other = bytes(reversed(CONTENT))
    time.sleep(0.01)
    fsspec.filesystem("memory").pipe("/site/model", other)
    assert get(tmp_path, "memory://site/model", expected=Expected()).path.read_bytes() == other


def test_troubles_pass_and_are_told_without_their_text(tmp_path: Path) -> None:
    fsspec.filesystem("shaky").pipe("/site/model", CONTENT)
    Shaky.trouble += [fail(OSError("token=secret")), fail(RuntimeError("token=secret"))]
    done = get(tmp_path, "shaky://site/model")
    assert done.path.read_bytes() == CONTENT
    done.path.unlink()
    Shaky.trouble += [fail(BadZipFile("token=secret"))] * 9
    with pytest.raises(FetchError) as caught:
        get(tmp_path, "shaky://site/model", "shaky://u:secret@site/none")
    text = str(caught.value)
    assert "zipfile says BadZipFile" in text
    assert "shaky://***@site/none\n     there is no such file" in text
    assert "secret" not in text


def test_what_hangs_is_left(tmp_path: Path) -> None:
    released = threading.Event()
    fsspec.filesystem("shaky").pipe("/site/model", CONTENT)
    impatient = FetchOptions(connect_timeout=0.2, read_timeout=0.2, backoff=0.01)
    Shaky.trouble += [lambda: released.wait(30) and None] * 2
    try:
        began = time.monotonic()
        done = get(tmp_path, "shaky://site/model", options=impatient)
        assert time.monotonic() - began < 10
        assert done.path.read_bytes() == CONTENT
    finally:
        released.set()


@pytest.mark.parametrize("other", [CONTENT[:-1], CONTENT[:-1] + b"?", b""])
def test_other_bytes_are_refused(tmp_path: Path, other: bytes) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/bad/model": other, "/good/model": CONTENT})
    with pytest.raises(FetchError, match="memory://bad/model"):
        get(tmp_path, "memory://bad/model")
    assert get(tmp_path, "memory://bad/model", "memory://good/model").url == "memory://good/model"


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
