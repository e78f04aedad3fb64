"""A site behind one line: how long until all nodes have the file, and what came over the line.

A node is a process with a store of its own. The line carries 20 MB/s in all. Each way of
`docs/clusters.md` is tried with 1, 4 and 16 nodes that begin at the same time.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import (
    BenchmarkError,
    Comparison,
    Contender,
    Outcome,
    Reading,
    Setting,
    interleave,
)
from benchmarks.tools import MB, PYTHON, ROOT, Served, check, environment, fresh, md5, model, run
from tests.harness import artifacts, build, seaweed
from tests.harness.cm import CM
from tests.site.proxy import Proxy, running

KIND = "onnx-opset-11"
RATE = 20 * MB
ALONE, PROXY, S3, SHARED = "alone", "proxy", "S3", "shared store"
PUBLISHING = "S3, publishing once"
_BYTES = "bytes over the line / bytes of the file"
_PLACE = "s3://models/resnet50"


@dataclass(frozen=True)
class Site:
    """What all nodes have in common."""

    setting: Setting
    file: Path
    digest: str
    installation: build.Installation
    line: Served
    ports: tuple[int, int]

    def nodes(self, way: str, count: int, env: Mapping[str, str]) -> list[Reading]:
        """Let `count` nodes get the file at once, and count what came over the line."""
        folder = fresh(self.setting, "nodes")
        homes = [folder / str(number) for number in range(count)]
        users = [CM(self.installation, home / "home", home / "CM") for home in homes]
        program = self.installation.bin / "cmx-resnet50"
        command: list[str | Path] = [program, "get", "_onnx", "--to", "out"]
        self.line.reset()
        begun = time.perf_counter()
        started = [
            subprocess.Popen(
                [*command, "--silent"],
                cwd=user.cwd,
                env=user.environment(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for user in users
        ]
        said = [process.communicate()[1] for process in started]
        seconds = time.perf_counter() - begun
        for process, err in zip(started, said, strict=True):
            if process.returncode:
                raise BenchmarkError(f"{way}: {err[-800:]}")
        for user in users:
            check(user.cwd / "out" / "resnet50_v1.onnx", self.digest, way)
        drawn = self.line.count() / self.file.stat().st_size
        shutil.rmtree(folder)
        return [Reading(_name(way, count), seconds), Reading(_bytes(way, count), drawn, _BYTES)]

    def alone(self, count: int) -> list[Reading]:
        """Let each node ask the origin."""
        return self.nodes(ALONE, count, {"CM_RESNET50_MIRROR": self.line.url})

    def proxy(self, count: int) -> list[Reading]:
        """Let the nodes ask the caching proxy, which has nothing yet."""
        # nginx's workers are nobody, who may not enter the folder that the benchmarks work in.
        with tempfile.TemporaryDirectory(prefix="benchmarks-proxy-") as name:
            Path(name).chmod(0o755)
            recipe = Proxy.lay_out(Path(name) / "proxy", {})
            origins = f"/md5/{self.digest} {self.line.url};\n"
            (recipe.folder / "origins.conf").write_text(f'default "";\n{origins}', "utf-8")
            recipe.change("listen 8080", f"listen 127.0.0.1:{self.ports[0]}")
            recipe.change("127.0.0.1:8081", f"127.0.0.1:{self.ports[1]}")
            with running(recipe):
                mirror = f"http://127.0.0.1:{self.ports[0]}"
                return self.nodes(PROXY, count, {"CM_RESNET50_MIRROR": mirror})

    def shared(self, count: int) -> list[Reading]:
        """Let the nodes share one store, which is empty."""
        store = fresh(self.setting, "shared")
        env = {"CM_RESNET50_MIRROR": self.line.url, "CM_RESNET50_STORE": str(store)}
        try:
            return self.nodes(SHARED, count, env)
        finally:
            shutil.rmtree(store)

    def publish(self, store: seaweed.Seaweed) -> list[Reading]:
        """Fill the object store from the origin, as one machine does once."""
        client = store.client()
        for found in client.list_objects_v2(Bucket="models").get("Contents", []):
            client.delete_object(Bucket="models", Key=found["Key"])
        home = fresh(self.setting, "publisher")
        user = CM(self.installation, home / "home", home / "CM")
        program = self.installation.bin / "cmx-resnet50"
        command: list[str | Path] = [program, "publish", "_onnx", "--to", _PLACE]
        env = {"CM_RESNET50_MIRROR": self.line.url, **store.environment()}
        self.line.reset()
        seconds, _ = run(command, cwd=user.cwd, env=user.environment(env))
        drawn = self.line.count() / self.file.stat().st_size
        shutil.rmtree(home)
        return [
            Reading(PUBLISHING, seconds),
            Reading(f"{PUBLISHING}, {_BYTES.partition(' /')[0]}", drawn, _BYTES),
        ]

    def s3(self, store: seaweed.Seaweed, count: int) -> list[Reading]:
        """Let the nodes ask the object store that was filled before."""
        return self.nodes(S3, count, {"CM_RESNET50_MIRROR": _PLACE, **store.environment()})


def site(setting: Setting) -> Outcome:
    """Nodes that all want one file at once."""
    counts = (1, 4) if setting.quick else (1, 4, 16)
    with _built(setting) as here, seaweed.start(setting.work / "objects") as objects:
        objects.make_bucket("models")

        def contender(way: str, count: int) -> Contender:
            return {
                ALONE: lambda: here.alone(count),
                PROXY: lambda: here.proxy(count),
                S3: lambda: here.s3(objects, count),
                SHARED: lambda: here.shared(count),
            }[way]

        contenders: list[Contender] = [lambda: here.publish(objects)]
        contenders += [contender(way, n) for n in counts for way in (ALONE, PROXY, S3, SHARED)]
        series = interleave(contenders, setting.rounds, warm=False)
        size = here.file.stat().st_size
    outcome = Outcome(
        f"{len(counts)} sizes of a site, {size / MB:.0f} MB, one line of {RATE // MB} MB/s in all",
        series,
        [],
        [
            "Nodes, proxy, object store and origin share the cores of one machine. "
            "A node is a whole process `cmx-resnet50 get`, verified, its start included. "
            "The store of the proxy and of the shared folder is empty at the beginning; the "
            "object store was filled before, which is told apart.",
        ],
    )
    for count in counts:
        floor = f"{count} times the file at {RATE // MB} MB/s, computed"
        outcome.known(floor, count * size / RATE, "s")
        outcome.comparisons.append(Comparison(_name(ALONE, count), floor))
        for way in (PROXY, S3, SHARED):
            outcome.comparisons.append(Comparison(_name(way, count), _name(ALONE, count)))
    once = "the file once, computed"
    outcome.known(once, 1.0, _BYTES)
    most = counts[-1]
    outcome.comparisons += [
        Comparison(_bytes(way, most), once, 1.02) for way in (PROXY, S3, SHARED)
    ]
    return outcome


def _name(way: str, count: int) -> str:
    return f"{way}, {count} node{'s' if count > 1 else ''}"


def _bytes(way: str, count: int) -> str:
    return f"{_name(way, count)}, bytes over the line"


@contextlib.contextmanager
def _built(setting: Setting) -> Iterator[Site]:
    folder = fresh(setting, "site")
    file = model(setting, KIND)
    wheel = build.build_wheel(ROOT, folder / "wheel")
    installation = build.install(folder / "env", wheel)
    # boto3, an extra of ours, is taken from where the benchmarks run.
    (installation.site_packages / "outer.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    artifacts.patch(installation, {KIND: file})
    command: list[str | Path] = [PYTHON, "-m", "benchmarks.site_origin", file, "--rate", str(RATE)]
    origin = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=folder,
    )
    try:
        line = Served(origin, "127.0.0.1")
        yield Site(setting, file, md5(file), installation, line, _free_ports())
    finally:
        origin.terminate()
        origin.communicate()


def _free_ports() -> tuple[int, int]:
    """Return two ports for nginx that are free now."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
