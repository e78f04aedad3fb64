"""A disk that is full, small, or not there, and what the fetch costs in memory and imports."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cmx_resnet50.digests import Expected
from cmx_resnet50.fetch import FetchError, SpaceError
from tests.fetch.conftest import SIZE, assert_whole, get
from tests.harness.faults import Chunked, IgnoreRanges
from tests.harness.file_server import FileServer

ROOT = Path(__file__).parents[2]


def test_room_is_looked_for_before(small_disk: Path, server: FileServer) -> None:
    with pytest.raises(SpaceError, match=r"model\.onnx needs 3\.0 MB more at .*1\.0 MB are free"):
        get([server.url, server.url + "?again"], small_disk / "part")
    assert len(server.requests) == 1


def test_a_disk_that_fills_up_midway_is_told(small_disk: Path, server: FileServer) -> None:
    server.always = (IgnoreRanges(), Chunked())
    with pytest.raises(SpaceError, match="does not fit at"):
        get([server.url], small_disk / "part")


LIMITED = """
import resource, signal, sys
from pathlib import Path
from cmx_resnet50.fetch import SpaceError
from tests.fetch.conftest import get
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    get([sys.argv[1]], Path(sys.argv[2]))
except SpaceError as error:
    print(error)
"""


@pytest.mark.parametrize("room", [0, 100, 300_000, SIZE - 1])
def test_writing_fails_at_some_byte(room: int, server: FileServer, partial: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, server.url, str(partial), str(room)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert f"the limit is {room:,}. Raise the limit (ulimit -f unlimited)" in run.stdout, run.stderr
    assert "What is there is kept" in run.stdout
    assert_whole(get([server.url], partial), partial)


def test_a_folder_that_is_not_there_is_told(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="cannot be written: No such file"):
        get([server.url], tmp_path / "gone" / "part")


def test_importing_fetch_imports_nothing_heavy() -> None:
    code = (
        "import sys, json, cmx_resnet50.fetch, cmx_resnet50.progress, cmx_resnet50.gunzip;"
        "print(json.dumps(sorted(sys.modules)))"
    )
    output = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    loaded = set(json.loads(output))
    assert not loaded & {"requests", "urllib3", "tqdm", "ssl", "onnx", "numpy"}


MEASURED = """
import hashlib, resource, sys
import requests
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
from pathlib import Path
from cmx_resnet50.digests import Expected
from cmx_resnet50.fetch import FetchOptions, Source, fetch
from cmx_resnet50.progress import Progress
fetch([Source(sys.argv[1])], Expected(sha256=sys.argv[3]), Path(sys.argv[2]), name="f",
      options=FetchOptions(), progress=Progress())
print(peak() - before)
"""


@pytest.mark.parametrize("ranges", [True, False])
def test_memory_does_not_grow_with_the_file(ranges: bool, partial: Path) -> None:
    content = os.urandom(1 << 20) * 100
    with FileServer(content, always=() if ranges else IgnoreRanges()) as big:
        grown = subprocess.check_output(
            [
                sys.executable,
                "-c",
                MEASURED,
                big.url,
                str(partial),
                hashlib.sha256(content).hexdigest(),
            ],
            cwd=ROOT,
            text=True,
        )
    kilobyte = 1 if sys.platform != "darwin" else 1024
    assert int(grown) < 40_000 * kilobyte
    assert partial.stat().st_size == len(content)


def test_a_file_of_unknown_digest_fits_as_well(server: FileServer, partial: Path) -> None:
    assert_whole(get([server.url], partial, Expected()), partial)
