"""Digests that are slower than the transfer: the writer waits for them, within bounds."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50.fetch.partial_file import hashing
from tests.fetch.conftest import QUICK, SIZE, Watched, assert_whole, get
from tests.harness.file_server import FileServer

ONE = replace(QUICK, connections=1)


class SlowMd5:
    """An md5 that does something before it takes bytes."""

    def __init__(self, before: Callable[[], object]) -> None:
        self._before = before
        self._real = hashlib.new("md5", usedforsecurity=False)

    def update(self, data: memoryview) -> None:
        self._before()
        self._real.update(data)

    def hexdigest(self) -> str:
        return self._real.hexdigest()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the digests read from the file, with little memory for what was written last."""
    reads: list[int] = []

    class File(io.FileIO):
        def __init__(self, path: Path, mode: str, buffering: int) -> None:
            super().__init__(path, mode)

        def readinto(self, buffer: Any) -> int:
            count = super().readinto(buffer)
            reads.append(count)
            return count

    monkeypatch.setattr(hashing, "open", File, raising=False)
    monkeypatch.setattr(hashing, "RECENT", 3 * hashing.BLOCK)
    monkeypatch.setattr(hashing, "AHEAD", hashing.BLOCK)
    return reads


def slow(monkeypatch: pytest.MonkeyPatch, before: Callable[[], object]) -> None:
    monkeypatch.setattr(hashlib, "md5", lambda **options: SlowMd5(before))


def test_the_writer_waits_for_a_slow_digest(
    monkeypatch: pytest.MonkeyPatch, server: FileServer, partial: Path, read: list[int]
) -> None:
    """Both digests take all bytes from memory, however slow one of them is."""
    monkeypatch.setattr(hashing, "PATIENCE", 60.0)
    slow(monkeypatch, lambda: time.sleep(0.05))
    assert_whole(get([server.url], partial, options=ONE), partial)
    assert read == []


def test_a_digest_that_is_held_up_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch, server: FileServer, partial: Path, read: list[int]
) -> None:
    """It goes on when all bytes are there, and reads what it missed from the file."""
    complete = threading.Event()

    class Progress(Watched):
        def advance(self, count: int) -> None:
            super().advance(count)
            if self.count == SIZE:
                complete.set()

    slow(monkeypatch, lambda: complete.wait(60))
    assert_whole(get([server.url], partial, options=ONE, progress=Progress()), partial)
    assert complete.is_set()
    assert read
