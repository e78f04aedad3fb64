"""A long line with losses between two network namespaces: real TCP, late and lost packets.

The kernels that this runs on may have no netem. Two TUN devices, each in a namespace of its
own, are joined by a process that hands each IP packet on after half of the round trip, and
drops some at random. All that TCP does about it is the kernel's own. Needs root, iproute2
and ``/dev/net/tun``.

``python -m benchmarks.link NAMESPACE NAMESPACE DELAY LOSS RATE`` is that process. A rate that is
too high for it is kept by the kernel, on the loopback device of one namespace.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import itertools
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import BenchmarkError
from benchmarks.peers import peer
from benchmarks.tools import PYTHON, environment, run

SERVER = "10.77.0.1"
CLIENT = "10.77.0.2"
_DEVICE = "line0"
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_SEED = 50
PACKET = 1500
"""Bytes of a full IP packet on the device of a `line`."""
HEADERS = 52
"""Bytes of it that are headers: IP, and TCP with time stamps."""
QUEUE = 0.05
"""Seconds that a packet waits at most until the line is free."""


@dataclass(frozen=True)
class Line:
    """Two ends: what to put before a command, so that it runs there."""

    server: tuple[str, ...]
    client: tuple[str, ...]


@contextlib.contextmanager
def line(work: Path, *, round_trip: float, loss: float = 0.0, rate: float = 0.0) -> Iterator[Line]:
    """Lay a line with a round trip in seconds, and a share of packets lost each way.

    `rate` is the bytes per second of each direction, 0 for all that there can be.

    Raises
    ------
    BenchmarkError
        Without the right to make namespaces, or without TUN.
    """
    ip = peer("ip")
    names = [f"cmxbench{os.getpid()}{end}" for end in "sc"]
    relay: subprocess.Popen[str] | None = None
    try:
        for name in names:
            run([ip, "netns", "add", name], cwd=work)
        command = [PYTHON, "-m", "benchmarks.link", *names]
        command += [str(number) for number in (round_trip / 2, loss, rate)]
        relay = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=work, env=environment()
        )
        if relay.stdout is None or relay.stdout.readline().strip() != "ready":
            raise BenchmarkError("the line cannot be laid: no right to open a TUN device?")
        for name, address in zip(names, (SERVER, CLIENT), strict=True):
            run([ip, "-n", name, "address", "add", f"{address}/24", "dev", _DEVICE], cwd=work)
            for device in ("lo", _DEVICE):
                run([ip, "-n", name, "link", "set", device, "up"], cwd=work)
        ends = [(ip, "netns", "exec", name) for name in names]
        yield Line(ends[0], ends[1])
    finally:
        if relay is not None:
            relay.terminate()
            relay.communicate()
        for name in names:
            subprocess.run([ip, "netns", "del", name], check=False, capture_output=True)


@contextlib.contextmanager
def narrow(work: Path, *, rate: float) -> Iterator[Line]:
    """Make a namespace whose loopback device takes `rate` bytes per second.

    Raises
    ------
    BenchmarkError
        Without the right to make namespaces, or without the kernel's token bucket.
    """
    ip, tc = peer("ip"), peer("tc")
    name = f"cmxbench{os.getpid()}n"
    shape = ["rate", f"{rate * 8:.0f}bit", "burst", "512k", "latency", "50ms"]
    try:
        run([ip, "netns", "add", name], cwd=work)
        run([ip, "-n", name, "link", "set", "lo", "up"], cwd=work)
        run([tc, "-n", name, "qdisc", "add", "dev", "lo", "root", "tbf", *shape], cwd=work)
        end = (ip, "netns", "exec", name)
        yield Line(end, end)
    finally:
        subprocess.run([ip, "netns", "del", name], check=False, capture_output=True)


def listener(end: Sequence[str], host: str) -> socket.socket:
    """Return a socket of this process that listens at `host` in the namespace of `end`."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _enter(f"/run/netns/{end[-1]}")
        try:
            return socket.create_server((host, 0), backlog=128)
        finally:
            _enter(f"/proc/self/fd/{here}")
    finally:
        os.close(here)


def _enter(namespace: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    place = os.open(namespace, os.O_RDONLY)
    try:
        if libc.setns(place, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(place)


def _open(namespace: str) -> int:
    """Make the TUN device of a namespace. Moves this process there; the device stays open."""
    _enter(f"/run/netns/{namespace}")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    wanted = struct.pack("16sH22x", _DEVICE.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(device, _TUNSETIFF, wanted)
    return device


def _relay(devices: list[int], delay: float, loss: float, rate: float) -> None:
    """Hand packets on for ever."""
    free = dict.fromkeys(devices, 0.0)
    """When each device has sent all that it was given before."""
    chance = random.Random(_SEED)  # noqa: S311 - no secret
    other = {devices[0]: devices[1], devices[1]: devices[0]}
    waiting: list[tuple[float, int, int, bytes]] = []
    number = itertools.count()
    poll = select.poll()
    for device in devices:
        poll.register(device, select.POLLIN)
    while True:
        left = waiting[0][0] - time.monotonic() if waiting else 1.0
        for device, _ in poll.poll(max(0.0, left * 1000)):
            with contextlib.suppress(BlockingIOError):
                while True:
                    packet = os.read(device, 1 << 16)
                    if chance.random() < loss:
                        continue
                    due = time.monotonic()
                    if rate:
                        due = free[device] = max(due, free[device]) + len(packet) / rate
                        if due > time.monotonic() + QUEUE:
                            # The queue of the line is full: the packet is lost, and took no time.
                            free[device] -= len(packet) / rate
                            continue
                    heapq.heappush(waiting, (due + delay, next(number), other[device], packet))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, device, packet = heapq.heappop(waiting)
            # A full queue or an end that is down loses a packet, as on any line.
            with contextlib.suppress(OSError):
                os.write(device, packet)


if __name__ == "__main__":
    opened = [_open(sys.argv[1]), _open(sys.argv[2])]
    print("ready", flush=True)
    _relay(opened, *map(float, sys.argv[3:]))
