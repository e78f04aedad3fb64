"""Runs the nginx of docs/recipes/nginx, and asks it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from cmx_resnet50.digests import digest_file
from tests.docs import pages
from tests.harness.artifacts import ARTIFACTS
from tests.harness.waiting import until

RECIPE = pages.ROOT / "docs" / "recipes" / "nginx"
PORT = 8080
SLICE = 16 << 20
MIRROR = f"http://cache.example:{PORT}"
"""Any name is this machine, see `tests.site.network`."""

_LINE = re.compile(r'\S+ (\d+) (\S+) (\d+) "GET (\S+) [^"]*" "([^"]*)"')


@dataclass(frozen=True)
class Served:
    """One line of nginx's log: what it answered a machine of the site."""

    status: int
    cache: str
    bytes: int
    uri: str
    range: str


@dataclass(frozen=True)
class Proxy:
    """A folder with the recipe in it, as `nginx -p` takes it."""

    folder: Path

    @classmethod
    def lay_out(cls, folder: Path, served: Mapping[str, Path]) -> Proxy:
        """Copy the recipe; its table names the files of `served` in place of the real ones.

        The folder must be one that any user may enter: nginx's workers are nobody.
        """
        if shutil.which("nginx") is None:
            pytest.skip("no nginx")
        shutil.copytree(RECIPE, folder)
        origins = folder / "origins.conf"
        text = origins.read_text(encoding="utf-8")
        for name, path in served.items():
            digests = digest_file(path)
            text = text.replace(ARTIFACTS[name].md5, digests.md5)
            if name == "pytorch-fp32":
                text = re.sub(r"[0-9a-f]{64}", digests.sha256, text)
        origins.write_text(text, encoding="utf-8")
        return cls(folder)

    def change(self, old: str, new: str) -> None:
        """Change a setting of the recipe, which must be there."""
        path = self.folder / "nginx.conf"
        text = path.read_text(encoding="utf-8")
        assert old in text, old
        path.write_text(text.replace(old, new), encoding="utf-8")

    @property
    def command(self) -> str:
        """The shell command that runs it in the foreground."""
        return f"exec nginx -p '{self.folder}' -c nginx.conf -g 'daemon off;'"

    @property
    def served(self) -> list[Served]:
        """What it answered so far; an answer is logged when it ends."""
        text = (self.folder / "access.log").read_text(encoding="utf-8")
        found = [_LINE.fullmatch(line) for line in text.splitlines()]
        return [Served(int(m[1]), m[2], int(m[3]), m[4], m[5]) for m in found if m]

    @property
    def slices(self) -> list[Path]:
        """The files of the cache."""
        return [path for path in (self.folder / "cache").rglob("*") if path.is_file()]

    @property
    def errors(self) -> str:
        """Its error log."""
        return (self.folder / "error.log").read_text(encoding="utf-8", errors="replace")

    def empty(self) -> None:
        """Remove all that is cached, as an administrator does."""
        for path in self.slices:
            path.unlink()


@contextlib.contextmanager
def running(proxy: Proxy, prefix: tuple[str, ...] = ()) -> Iterator[Proxy]:
    """Run it, by way of `prefix`, until the context ends."""
    ready = proxy.folder / "nginx.pid"
    ready.unlink(missing_ok=True)
    process = subprocess.Popen(
        [*prefix, "bash", "-c", proxy.command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin"},
        start_new_session=True,
    )
    try:

        def started() -> bool:
            assert process.poll() is None, process.communicate()
            return ready.exists() and bool(ready.read_text().strip())

        until(started, lambda: proxy.errors)
        yield proxy
    finally:
        # Its workers end with a namespace, or in good order.
        process.kill() if prefix else process.terminate()
        process.communicate()
