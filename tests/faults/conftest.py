"""Fixtures of the fault tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """Yield a folder on another file system than that of the tests."""
    shm = Path("/dev/shm")
    if not os.access(shm, os.W_OK):
        pytest.skip("no tmpfs at /dev/shm")
    folder = shm / f"cmx-resnet50-{os.getpid()}-{os.urandom(4).hex()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
