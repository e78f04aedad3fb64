"""How large a file may become: what is known of its size bounds every source."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmx_resnet50.catalog.table import Catalog
from cmx_resnet50.digests import Expected
from cmx_resnet50.fetch import FetchError, SpaceError
from cmx_resnet50.fetch.transfer import SIZE_LIMIT
from tests.fetch.conftest import CONTENT, KNOWN, SIZE, assert_whole, get
from tests.harness.faults import Endless, IgnoreRanges, Status
from tests.harness.file_server import Answer, FileServer
from tests.harness.reply import Reply, Request

LIMIT = SIZE * 5 // 4
ABOUT = Expected(KNOWN.md5, limit=LIMIT)
"""What is known of most published files: a digest, and about how large they are."""
MUCH = 900 << 30

ZEROS = memoryview(bytes(1 << 20))


def endless_chunks(request: Request) -> Reply:
    """A chunked body that does not end; 200 MB stand for that."""
    return Reply(200, {}, memoryview(bytes(200 << 20)), framing="chunked")


def claim(size: int, sent: int = 1 << 20) -> Answer:
    """A file that is said to have `size` bytes, of which `sent` come."""

    def answer(request: Request) -> Reply:
        return Reply(200, {}, ZEROS[:sent], length=size, ending="close")

    return answer


def claim_ranges(request: Request) -> Reply:
    """Ranges of a file that is said to be far too large."""
    assert request.range is not None
    first = int(request.range.removeprefix("bytes=").partition("-")[0])
    last = first + (4 << 20) - 1
    content = memoryview(bytes(4 << 20))
    return Reply(206, {"Content-Range": f"bytes {first}-{last}/{MUCH}"}, content)


TOO_LARGE: dict[str, Answer] = {
    "endless": (IgnoreRanges(), Endless()),
    "endless chunks": endless_chunks,
    "a claim": claim(MUCH),
    "a claim of ranges": claim_ranges,
}


@pytest.mark.parametrize("expected", [ABOUT, KNOWN], ids=["about", "exact"])
@pytest.mark.parametrize("fault", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_source_of_another_size_makes_way_for_the_next(
    fault: Answer, expected: Expected, server: FileServer, second: FileServer, partial: Path
) -> None:
    server.always = fault
    download = get([server.url, second.url], partial, expected)
    assert_whole(download, partial)
    assert download.url == second.url
    assert server.bytes_sent() < SIZE + (16 << 20)


@pytest.mark.parametrize("fault", TOO_LARGE.values(), ids=TOO_LARGE)
def test_nothing_useless_stays(fault: Answer, server: FileServer, partial: Path) -> None:
    server.always = fault
    with pytest.raises(FetchError, match=f"more than the {LIMIT:,}"):
        get([server.url], partial, ABOUT)
    assert not list(partial.parent.iterdir())


def test_what_cannot_be_continued_does_not_stay(server: FileServer, partial: Path) -> None:
    """Of a body without a length nobody knows later how far it came."""
    cut = Reply(200, {}, ZEROS, framing="chunked", terminated=False, ending="close")
    server.plan = [lambda request: cut]
    server.always = Status(404)
    with pytest.raises(FetchError):
        get([server.url], partial, ABOUT)
    assert not list(partial.parent.iterdir())


def test_a_size_of_which_nothing_is_known_is_bounded(
    server: FileServer, second: FileServer, partial: Path
) -> None:
    server.always = claim(SIZE_LIMIT + 1)
    assert get([server.url, second.url], partial, Expected(KNOWN.md5)).url == second.url


def test_a_claim_that_may_be_wrong_allocates_nothing(server: FileServer, partial: Path) -> None:
    size = 2 << 30
    server.plan = [claim(size)]
    server.always = Status(404)
    with pytest.raises(FetchError):
        get([server.url], partial, Expected(KNOWN.md5))
    assert partial.stat().st_size == size
    assert partial.stat().st_blocks * 512 < 4 << 20


def test_a_large_file_of_this_machine_is_refused(partial: Path, tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as large:
        large.truncate(MUCH)
    with pytest.raises(FetchError, match=f"more than the {LIMIT:,}"):
        get([(tmp_path / "large").as_uri()], partial, ABOUT)


def test_a_disk_that_is_full_of_another_file_ends_nothing(
    small_disk: Path, server: FileServer, second: FileServer
) -> None:
    """Where no size is known, nobody knows that it is another file before the right one came."""
    content = CONTENT[:500_000]
    server.always = (IgnoreRanges(), Endless())
    second.content = content
    download = get([server.url, second.url], small_disk / "part", Expected())
    assert download.path.read_bytes() == content
    download.path.unlink()
    with pytest.raises(SpaceError, match="does not fit at"):
        get([server.url], small_disk / "part", Expected())
    assert not list(small_disk.iterdir())


def test_each_published_file_has_a_bound() -> None:
    unbounded = {
        artifact.name
        for artifact in Catalog.load().artifacts.values()
        if artifact.expected_download.most is None
    }
    assert unbounded == {"onnx-from-tf"}
