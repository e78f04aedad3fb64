"""The servers that the tests start end with the process that started them, however it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness.waiting import HANGS, until

_STARTER = """
import os, pathlib, sys
from tests.harness import seaweed
with seaweed.start(pathlib.Path(sys.argv[1])) as store:
    print(store.endpoint, flush=True)
    os.kill(os.getpid(), int(sys.argv[2]))
"""


def answers(endpoint: str) -> bool:
    parts = urlsplit(endpoint)
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=HANGS).close()
    except OSError:
        return False
    return True


@pytest.mark.site
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_nothing_is_left_running(tmp_path: Path, number: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _STARTER, str(tmp_path / "weed"), str(int(number))],
        cwd=Path(__file__).resolve().parents[2],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    endpoint = done.stdout.strip()
    assert done.returncode != 0
    assert endpoint.startswith("http://127.0.0.1:"), done.stderr
    until(lambda: not answers(endpoint))
