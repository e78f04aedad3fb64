"""What of an engine's cache is looked at: regular files of a size that may be right."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from cmx_resnet50.delivery.engine_cache import LARGEST, find_cached
from cmx_resnet50.digests import Expected

CONTENT = b"model"
KNOWN = Expected(None, hashlib.sha256(CONTENT).hexdigest(), None)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    (folder / "entry").mkdir(parents=True)
    return folder


def test_a_file_whose_size_is_not_known_is_read_within_a_bound(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sparse file of a terabyte costs nothing on the disk, and an hour to read."""
    read: list[Path] = []
    monkeypatch.setattr("cmx_resnet50.digests.digest_file", lambda path: read.append(path))
    huge = cache / "entry" / "m"
    huge.touch()
    os.truncate(huge, LARGEST + 1)
    assert find_cached(cache, "m", KNOWN) is None
    assert read == []


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "other bytes", "right"])
def test_what_is_not_a_plain_file_is_passed_by(cache: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "elsewhere").write_bytes(CONTENT)
    path = cache / "entry" / "m"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(CONTENT if kind == "right" else CONTENT[::-1])
    (cache / "no entry").write_bytes(CONTENT)
    assert find_cached(cache, "m", KNOWN) == (path if kind == "right" else None)
