"""A machine that gives no thread, or few: the same result over fewer connections."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fetch.conftest import SIZE
from tests.harness.faults import Short, Status, Trickle
from tests.harness.file_server import FileServer

ROOT = Path(__file__).parents[2]
USER = 54321

LIMITED = """
import resource, sys
from dataclasses import replace
from pathlib import Path
from cmx_resnet50.digests import digest_file
from cmx_resnet50.fetch import FetchError
from tests.fetch.conftest import KNOWN, QUICK, Watched, get
count = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_NPROC, (count, count))
progress, options = Watched(), replace(QUICK, stall_seconds=0.5)
try:
    get([sys.argv[1]], Path(sys.argv[2]), options=options, progress=progress)
    print(digest_file(Path(sys.argv[2])).md5 == KNOWN.md5, progress.count)
except FetchError as error:
    print(error.attempts[0].reason)
"""


def limited(server: FileServer, folder: Path, threads: int) -> str:
    """Fetch as a user who may have so many threads in all, the first one included."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() or setpriv is None:
        pytest.skip("only root can become another user, and root has no limit")
    target = folder / "incoming"
    target.mkdir(mode=0o777)
    target.chmod(0o777)
    # Reading everything is no matter of threads, and Python may be in a folder of root's.
    line = [setpriv, f"--reuid={USER}", "--clear-groups", "--inh-caps=-all,+dac_read_search"]
    line += ["--ambient-caps=-all,+dac_read_search", "--bounding-set=-all,+dac_read_search"]
    line += [sys.executable, "-c", LIMITED, server.url, str(target / "part"), str(threads)]
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("threads", range(1, 8))
def test_any_number_of_threads_is_enough(threads: int, server: FileServer, tmp_path: Path) -> None:
    server.plan = [Short(1_000_000)]
    assert limited(server, tmp_path, threads) == f"True {SIZE}"
    assert server.bytes_sent() <= 1.1 * SIZE


def test_a_slow_source_is_noticed_without_threads(server: FileServer, tmp_path: Path) -> None:
    server.always = Trickle(2000)
    assert limited(server, tmp_path, 1).startswith("stalled: ")


def test_a_failure_is_told_without_threads(server: FileServer, tmp_path: Path) -> None:
    server.always = Status(404)
    assert limited(server, tmp_path, 1) == "HTTP 404 Not Found"
