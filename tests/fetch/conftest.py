"""What the tests of the fetcher share: a file, quick options, and one way to call it."""

from __future__ import annotations

import contextlib
import hashlib
import random
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cmx_resnet50.digests import Digests, Expected
from cmx_resnet50.fetch import Download, FetchOptions, Source, fetch
from cmx_resnet50.progress import Progress
from tests.harness.file_server import Answer, FileServer

SIZE = 3_000_017
CONTENT = random.Random(50).randbytes(SIZE)
KNOWN = Expected(
    hashlib.md5(CONTENT, usedforsecurity=False).hexdigest(),
    hashlib.sha256(CONTENT).hexdigest(),
    SIZE,
)
GOOD: Answer = ()
DIGESTS = Digests(KNOWN.md5 or "", KNOWN.sha256 or "", SIZE)
QUICK = FetchOptions(retry_budget=60.0, retries=2, backoff=0.01)
SILENT = replace(QUICK, read_timeout=0.5)
"""For servers that fall silent, and no others: on a busy machine a good one may take as long."""


class Watched(Progress):
    """Progress that records its calls."""

    def __init__(self) -> None:
        self.starts: list[tuple[str, int | None, str, int]] = []
        self.notes: list[str] = []
        self.count = 0
        self.ended = 0

    def start(self, name: str, total: int | None, source: str, resumed: int) -> None:
        self.starts.append((name, total, source, resumed))
        self.count = resumed

    def advance(self, count: int) -> None:
        assert count >= 0
        self.count += count

    def note(self, text: str) -> None:
        self.notes.append(text)

    def done(self) -> None:
        self.ended += 1


@dataclass
class Clock:
    """The monotonic clock of this process, which stands still until a test moves it."""

    now: float = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("time.monotonic", lambda: made.now)
    return made


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, bundle or .netrc of the machine takes part."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    """Where the file is put together; nothing may be left beside it in the end."""
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder / "object.part"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(CONTENT) as running:
        yield running


@pytest.fixture
def second() -> Iterator[FileServer]:
    """A mirror of the same bytes."""
    with FileServer(CONTENT, etag='"two"') as running:
        yield running


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with 1 MiB of room."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def get(
    sources: Sequence[str | Source],
    partial: Path,
    expected: Expected = KNOWN,
    *,
    options: FetchOptions = QUICK,
    progress: Watched | None = None,
) -> Download:
    """Fetch as a caller would."""
    return fetch(
        [Source(source) if isinstance(source, str) else source for source in sources],
        expected,
        partial,
        name="model.onnx",
        options=options,
        progress=Watched() if progress is None else progress,
        place_hint="the folder of models",
    )


def assert_whole(download: Download, partial: Path) -> None:
    """The right bytes are there, and nothing else."""
    assert partial.read_bytes() == CONTENT
    assert (download.path, download.digests) == (partial, DIGESTS)
    assert [path.name for path in partial.parent.iterdir()] == [partial.name]


def forget(partial: Path) -> None:
    """Remove what a fetch left."""
    for path in partial.parent.iterdir():
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
