"""Cut, killed, interrupted: what is there is kept, and only the rest is fetched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmx_resnet50.digests import Expected
from cmx_resnet50.fetch import FetchError
from tests.fetch.conftest import (
    CONTENT,
    GOOD,
    KNOWN,
    QUICK,
    SIZE,
    Watched,
    assert_whole,
    forget,
    get,
)
from tests.harness.faults import Chunked, IgnoreRanges, Other, Reset, Short, Stall, Status, Trickle
from tests.harness.file_server import Answer, FileServer

OTHER = Other(bytes(SIZE), '"one"')


def break_off(server: FileServer, partial: Path, after: int, expected: Expected = KNOWN) -> None:
    """Leave a fetch behind that got so many bytes."""
    server.plan = [Short(after), Status(404)]
    with pytest.raises(FetchError):
        get([server.url], partial, expected)
    server.clear_log()
    server.plan.clear()


def test_a_later_run_fetches_only_the_rest(server: FileServer, partial: Path) -> None:
    break_off(server, partial, 1_234_567)
    progress = Watched()
    download = get([server.url], partial, progress=progress)
    assert_whole(download, partial)
    assert (download.resumed, download.transferred) == (1_234_567, SIZE - 1_234_567)
    assert server.bytes_sent() == download.transferred
    assert progress.starts[0] == ("model.onnx", SIZE, server.url, 1_234_567)
    assert progress.count == SIZE


def test_another_mirror_continues(server: FileServer, second: FileServer, partial: Path) -> None:
    break_off(server, partial, 2_000_000)
    download = get([second.url], partial)
    assert_whole(download, partial)
    assert second.bytes_sent() == download.transferred == SIZE - 2_000_000


def test_in_one_run_another_mirror_continues(
    server: FileServer, second: FileServer, partial: Path
) -> None:
    server.plan = [Short(2_000_000)]
    server.always = Status(404)
    download = get([server.url, second.url], partial)
    assert_whole(download, partial)
    assert server.requests[0].sent == 2_000_000
    assert second.bytes_sent() == SIZE - 2_000_000


def test_of_an_unverifiable_file_only_the_same_version_is_continued(
    server: FileServer, second: FileServer, partial: Path
) -> None:
    break_off(server, partial, 1_000_000, Expected())
    assert get([server.url], partial, Expected()).resumed == 1_000_000
    assert server.requests[0].headers["if-range"] == '"one"'
    forget(partial)
    break_off(server, partial, 1_000_000, Expected())
    download = get([second.url], partial, Expected())
    assert (download.resumed, second.bytes_sent()) == (0, SIZE)
    forget(partial)
    break_off(server, partial, 1_000_000, Expected())
    server.content, server.etag = bytes(reversed(CONTENT)), '"new"'
    download = get([server.url], partial, Expected())
    assert partial.read_bytes() == server.content


def test_bytes_of_another_file_are_not_continued(server: FileServer, partial: Path) -> None:
    break_off(server, partial, 1_000_000, replace(KNOWN, md5="0" * 32))
    download = get([server.url], partial)
    assert_whole(download, partial)
    assert download.resumed == 0


def test_kept_bytes_that_are_wrong_cost_a_restart_and_blame_nobody(
    server: FileServer, partial: Path
) -> None:
    break_off(server, partial, 1_000_000)
    with open(partial, "r+b") as file:
        file.write(b"spoilt")
    progress = Watched()
    download = get([server.url], partial, progress=progress)
    assert_whole(download, partial)
    assert "kept from before" in progress.notes[0]
    assert download.resumed == 0


def test_a_lying_mirror_is_found_out_though_another_gave_half(
    server: FileServer, second: FileServer, partial: Path
) -> None:
    break_off(second, partial, 1_000_000)
    server.always = OTHER
    progress = Watched()
    download = get([server.url, second.url], partial, progress=progress)
    assert_whole(download, partial)
    assert download.url == second.url
    assert "wrong bytes" in progress.notes[-1]
    assert server.url in progress.notes[-1]


def test_a_whole_file_that_was_left_is_not_fetched(partial: Path) -> None:
    partial.write_bytes(CONTENT)
    download = get(["http://127.0.0.1:9/never"], partial)
    assert_whole(download, partial)
    assert (download.transferred, download.resumed) == (0, SIZE)


def test_a_whole_file_with_its_journal_is_not_fetched(server: FileServer, partial: Path) -> None:
    break_off(server, partial, 1_000_000)
    journal = partial.with_name(partial.name + ".journal")
    partial.write_bytes(CONTENT)
    with open(journal, "a") as file:
        file.write(f"+0 {SIZE}\n")
    download = get([server.url], partial)
    assert_whole(download, partial)
    assert (server.requests, download.url) == ([], server.url)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\x00\xff" * 100,
        b"null\n+0 9\n",
        b"[]\n",
        b"{}\n",
        b'{"version": 1}\n+0 3000017\n',
        b"[" * 100_000,
        b"+0 3000017\n",
    ],
)
def test_a_journal_that_is_none_is_passed_over(
    text: bytes, server: FileServer, partial: Path
) -> None:
    partial.write_bytes(b"x" * SIZE)
    partial.with_name(partial.name + ".journal").write_bytes(text)
    assert_whole(get([server.url], partial), partial)


def test_a_journal_that_claims_too_much_is_found_out(server: FileServer, partial: Path) -> None:
    break_off(server, partial, 1_000_000)
    with open(partial.with_name(partial.name + ".journal"), "a") as file:
        file.write("+900000 99999999999\n+5 nonsense\n+7 3\n+12 34")
    assert_whole(get([server.url], partial), partial)


SILENCE = 240.0
CHILD = f"""
import sys
from dataclasses import replace
from pathlib import Path
from tests.fetch.conftest import QUICK, get
get([sys.argv[1]], Path(sys.argv[2]), options=replace(QUICK, read_timeout={SILENCE}))
"""


def child(server: FileServer, partial: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, server.url, str(partial)],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_kill_and_run_again(share: float, server: FileServer, partial: Path) -> None:
    server.always = Trickle(6_000_000)
    process = child(server, partial)
    server.wait(lambda: server.bytes_sent() >= share * SIZE)
    process.kill()
    process.wait()
    server.always = GOOD
    server.wait(lambda: not server.active)
    before = server.bytes_sent()
    download = get([server.url], partial)
    assert_whole(download, partial)
    assert server.bytes_sent() - before == download.transferred
    # One line of the journal a connection may be missing, and what the kernel held.
    assert download.resumed >= share * SIZE - 8 * 256 * 1024 - 700_000
    assert download.resumed > 0 or share < 0.5


def test_an_interrupt_stops_at_once_and_keeps_what_is_there(
    server: FileServer, partial: Path
) -> None:
    server.always = Stall(1_000_000)
    process = child(server, partial)
    kept = CONTENT[:1_000_000]
    server.wait(lambda: partial.exists() and partial.read_bytes()[: len(kept)] == kept)
    process.send_signal(signal.SIGINT)
    # It would bear the silence for longer.
    _, text = process.communicate(timeout=SILENCE / 2)
    assert "KeyboardInterrupt" in text
    server.always = GOOD
    assert get([server.url], partial).resumed == 1_000_000


POINTS = st.integers(0, SIZE)
FAULTS = st.one_of(
    st.just(GOOD),
    st.just(IgnoreRanges()),
    POINTS.map(Short),
    POINTS.map(lambda after: (IgnoreRanges(), Short(after))),
    st.just(Reset()),
    st.just(Status(503)),
    st.just(Status(404)),
    POINTS.map(lambda until: (IgnoreRanges(), Chunked(until, terminated=False))),
    st.just((IgnoreRanges(), Chunked())),
    st.just(OTHER),
)


@settings(max_examples=40)
@given(runs=st.lists(st.lists(FAULTS, max_size=4), min_size=1, max_size=4), known=st.booleans())
def test_any_row_of_cuts_and_runs_ends_in_the_right_bytes_or_a_clear_error(
    runs: list[list[Answer]], known: bool, partial: Path
) -> None:
    forget(partial)
    with FileServer(CONTENT) as first, FileServer(CONTENT, etag='"two"') as mirror:
        for number, plan in enumerate(runs):
            first.plan = list(plan)
            urls = [first.url, mirror.url] if number % 2 else [first.url]
            try:
                download = get(urls, partial, options=replace(QUICK, connections=3))
            except FetchError as error:
                assert "Sources asked" in str(error)
                assert error.attempts
            else:
                assert_whole(download, partial)
                assert download.transferred <= first.bytes_sent() + mirror.bytes_sent()
                if known:
                    forget(partial)
        first.plan = []
        assert_whole(get([first.url], partial), partial)
