"""A server that refuses, breaks off or lies: what the user is told, and what stays."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults.support import (
    IMPATIENT,
    SILENCE,
    assert_failed,
    assert_good,
    assert_next_run_is_good,
    options_for,
    sweep,
)
from tests.harness.artifacts import ARTIFACTS
from tests.harness.cm import CM
from tests.harness.faults import (
    Behaviour,
    Chunked,
    Empty,
    Flip,
    Gzipped,
    Html,
    IgnoreRanges,
    Json,
    LongLength,
    NoLength,
    NoValidators,
    Other,
    Redirect,
    RefuseRanges,
    Reset,
    Short,
    Stall,
    Status,
    Trickle,
    WrongRange,
)
from tests.harness.origin import Origin
from tests.harness.reply import http_date

# The library alone, whatever engine calls it: the full run has these cases under MLC, too.
pytestmark = pytest.mark.under_mlc()

LONE = "tflite-no-argmax"
"""An artifact with one public address: when that fails, the run fails."""
URL = ARTIFACTS[LONE].url
REQUEST = ("tflite", "no-argmax")
TWO = "pytorch-fp32"
"""An artifact with a mirror."""
FIRST, SECOND = ARTIFACTS[TWO].urls
HALF = 180_000

LASTING: dict[str, tuple[tuple[Behaviour, ...], str, int | None]] = {
    # What the server does for ever; words that the error must have; requests, where it matters:
    # an answer that will not change is not asked for again.
    "404": ((Status(404),), "HTTP 404", 1),
    "403": ((Status(403),), "HTTP 403", 1),
    "410": ((Status(410),), "HTTP 410", 1),
    "429 for long": ((Status(429, 86_400),), "HTTP 429", 1),
    "429 without a word": ((Status(429),), "HTTP 429", None),
    "500": ((Status(500),), "HTTP 500", None),
    "503 until tomorrow": ((Status(503, http_date(86_400)),), "HTTP 503", 1),
    "reset at the headers": ((Reset(),), "www.dropbox.com closed or broke the connection", None),
    "no answer": ((Stall(),), "sent nothing", None),
    "stall without ranges": ((IgnoreRanges(), Stall(HALF)), "sent nothing", None),
    "short without ranges": ((IgnoreRanges(), Short(HALF)), "closed early", None),
    "chunked and too short": ((IgnoreRanges(), Chunked(HALF)), "wrong bytes", 1),
    "chunked and cut": ((IgnoreRanges(), Chunked(HALF, terminated=False)), "", None),
    "cut without a length": ((IgnoreRanges(), NoLength(HALF)), "wrong bytes", 1),
    "bit flip": ((Flip(HALF),), "wrong bytes", 1),
    "other bytes": ((Other(),), "wrong bytes", 1),
    "a page": ((Html(),), "a web page came", 1),
    "JSON": ((Json(),), "JSON", 1),
    "nothing": ((Empty(),), "empty", 1),
    "redirect loop": ((Redirect(URL),), "redirects", None),
    "redirect to http": ((Redirect("http://example.org/a.tflite"),), "http", 1),
    "redirect to a file": ((Redirect("file:///etc/passwd"),), "file", 1),
}


@pytest.mark.parametrize(
    ("behaviours", "words", "requests"),
    sweep(
        LASTING,
        "404, 429 for long, 500, reset at the headers, bit flip, a page, nothing, "
        "chunked and too short, redirect loop, redirect to http, redirect to a file",
    ),
)
def test_fault_that_lasts(
    engine: CM,
    origin: Origin,
    served: dict[str, Path],
    behaviours: tuple[Behaviour, ...],
    words: str,
    requests: int | None,
) -> None:
    origin.fail(URL, *behaviours)
    folder = engine.home / "models"
    result = engine.get(*REQUEST, env=options_for(behaviours), outdirname=str(folder))
    name = served[LONE].name
    assert_failed(
        engine, result, served, words, name, URL, " in ", "curl -fL", "VARIATIONS --checkpoint=FILE"
    )
    assert not folder.exists() or not list(folder.iterdir())
    if "wrong bytes" in words:
        assert "expected md5" in result.err and "actual   md5" in result.err
    assert len(origin.requests) == requests if requests else len(origin.requests) < 15
    assert {record.url for record in origin.requests} == {URL}
    assert_next_run_is_good(engine, origin, served, LONE)


def test_what_cannot_pass_is_not_retried_without_end(engine: CM, origin: Origin) -> None:
    """The budget bounds the whole, not each attempt."""
    origin.fail(URL, Status(500))
    result = engine.get(*REQUEST, env=options_for([], budget=2))
    assert not result.ok
    assert "retry budget used up" in result.err
    assert 2 <= len(origin.requests) <= 4


PASSING: dict[str, tuple[Behaviour, ...]] = {
    "503": (Status(503),),
    "502": (Status(502),),
    "408": (Status(408),),
    "429": (Status(429),),
    "reset at the headers": (Reset(),),
    "reset in the body": (Reset(HALF),),
    "stall in the body": (Stall(HALF),),
    "short": (Short(HALF),),
    "chunked and cut": (Chunked(HALF, terminated=False),),
    "cut without a length": (NoLength(HALF),),
}


@pytest.mark.parametrize(
    "behaviours",
    sweep(
        {k: (v,) for k, v in PASSING.items()},
        "503, reset at the headers, reset in the body, stall in the body",
    ),
)
def test_fault_that_passes(
    engine: CM, origin: Origin, served: dict[str, Path], behaviours: tuple[Behaviour, ...]
) -> None:
    origin.fail(URL, *behaviours, times=1)
    result = engine.get(*REQUEST, env=options_for(behaviours, budget=60))
    assert_good(engine, result, served, LONE)
    assert len(origin.requests) >= 2
    # What came is not fetched again; a little may be on its way when a connection breaks.
    assert origin.bytes_sent() <= served[LONE].stat().st_size + 70_000
    assert_next_run_is_good(engine, origin, served, LONE)


@pytest.mark.full
@pytest.mark.parametrize("behaviour", [Reset(40_000), Short(40_000)], ids=["reset", "short"])
def test_fault_that_lasts_but_lets_bytes_through(
    engine: CM, origin: Origin, served: dict[str, Path], behaviour: Behaviour
) -> None:
    origin.fail(URL, behaviour)
    assert_good(engine, engine.get(*REQUEST, env=options_for([], budget=60)), served, LONE)
    assert origin.bytes_sent() <= 1.02 * served[LONE].stat().st_size


@pytest.mark.parametrize("wait", [2, pytest.param(None, marks=pytest.mark.full)])
def test_retry_after_is_obeyed(engine: CM, origin: Origin, wait: int | None) -> None:
    """That no request comes before its time is shown in tests/fetch/test_retry.py."""
    origin.fail(URL, Status(429, wait if wait else http_date(8)), times=1)
    result = engine.get(*REQUEST, env={"CM_RESNET50_RETRY_BUDGET": "20"})
    assert result.ok, result.text
    assert origin.requests[0].status == 429
    told = re.search(r"HTTP 429 .*? wait (\d+) s.* in (\d+) s", result.err)
    assert told is not None, result.err
    assert 1 <= int(told[1]) <= (wait or 8)
    assert int(told[2]) >= int(told[1])


WELL_MEANT: dict[str, tuple[Behaviour, ...]] = {
    "ranges ignored": (IgnoreRanges(),),
    "ranges refused": (RefuseRanges(),),
    "wrong range": (WrongRange(),),
    "chunked": (Chunked(),),
    "chunked whole": (IgnoreRanges(), Chunked()),
    "no length": (NoLength(),),
    "no length whole": (IgnoreRanges(), NoLength()),
    "gzip": (Gzipped(),),
    "no validators": (NoValidators(),),
    "long length": (LongLength(),),
    "one redirect": (Redirect(f"{URL}&again=1"),),
}


@pytest.mark.parametrize(
    "behaviours",
    sweep(
        {k: (v,) for k, v in WELL_MEANT.items()},
        "ranges ignored, ranges refused, wrong range, gzip, long length",
    ),
)
def test_odd_server_that_has_the_file(
    engine: CM, origin: Origin, served: dict[str, Path], behaviours: tuple[Behaviour, ...]
) -> None:
    origin.serve(f"{URL}&again=1", served[LONE])
    origin.fail(URL, *behaviours)
    assert_good(engine, engine.get(*REQUEST, env=IMPATIENT), served, LONE)
    assert origin.bytes_sent() <= 2.1 * served[LONE].stat().st_size


LIARS: dict[str, tuple[Behaviour, ...]] = {
    "other bytes of the same length": (Other(),),
    "bit flip": (Flip(HALF),),
    "a page": (Html(),),
    "404": (Status(404),),
    "no answer": (Stall(),),
    "trickle": (Trickle(1024),),
    "cut for ever": (IgnoreRanges(), Chunked(HALF)),
}


@pytest.mark.parametrize(
    "behaviours",
    sweep({k: (v,) for k, v in LIARS.items()}, "other bytes of the same length, a page, trickle"),
)
def test_mirror_takes_over(
    engine: CM, origin: Origin, served: dict[str, Path], behaviours: tuple[Behaviour, ...]
) -> None:
    origin.fail(FIRST, *behaviours)
    result = engine.get("pytorch", env=options_for(behaviours))
    assert_good(engine, result, served, TWO)
    assert FIRST in result.err and SECOND in result.err
    assert origin.bytes_sent(SECOND) <= served[TWO].stat().st_size
    assert len(origin.asked(FIRST)) < 30
    assert_next_run_is_good(engine, origin, served, TWO)


def test_mirrors_that_all_fail_are_all_named(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    origin.fail(FIRST, Flip(HALF))
    origin.fail(SECOND, Status(404))
    result = engine.get("pytorch", env=IMPATIENT)
    told = ("1. " + FIRST, "2. " + SECOND, "HTTP 404", "expected sha256", "actual   sha256")
    assert_failed(engine, result, served, *told)
    size = served[TWO].stat().st_size
    assert f"({size:,} bytes" in result.err
    assert_next_run_is_good(engine, origin, served, TWO)


@pytest.mark.full
def test_trickle_from_the_only_source(engine: CM, origin: Origin, served: dict[str, Path]) -> None:
    origin.fail(URL, Trickle(1024))
    result = engine.get(*REQUEST, env={**IMPATIENT, **SILENCE})
    assert_failed(engine, result, served, "stalled", URL)
    assert origin.bytes_sent() < served[LONE].stat().st_size
    assert_next_run_is_good(engine, origin, served, LONE)


@pytest.mark.parametrize("good", [True, False], ids=["moved", "replaced"])
def test_etag_changes_midway(
    engine: CM, origin: Origin, served: dict[str, Path], good: bool
) -> None:
    """The same bytes under another ETag, as of a server that was moved; and other bytes."""
    content = served[LONE].read_bytes()
    origin.fail(URL, Stall(HALF), times=1)
    origin.fail(URL, Other(content if good else bytes(len(content)), '"new"', None))
    result = engine.get(*REQUEST, env=SILENCE)
    assert origin.requests[0].sent == HALF
    if good:
        assert_good(engine, result, served, LONE)
    else:
        assert_failed(engine, result, served, "wrong bytes", "expected md5", "actual   md5")
    assert_next_run_is_good(engine, origin, served, LONE)


@pytest.mark.parametrize("name", ["tflite-argmax", "ncnn", "tflite-edgetpu"])
def test_fault_of_an_archive_or_a_pair(
    engine: CM, origin: Origin, served: dict[str, Path], name: str
) -> None:
    """An altered .gz, an altered half of a pair: nothing is delivered, then all of it."""
    part = "ncnn-param" if name == "ncnn" else name
    origin.fail(ARTIFACTS[part].url, Flip(5_000))
    variations = {"tflite-argmax": ("tflite",), "ncnn": ("ncnn",)}.get(
        name, ("tflite", "int8", "no-argmax")
    )
    result = engine.get(*variations, env=IMPATIENT)
    assert_failed(engine, result, served, ARTIFACTS[part].url, "wrong bytes", "expected md5")
    assert_next_run_is_good(engine, origin, served, name)


def test_error_says_what_to_do_and_that_works(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    """Whoever fetches by hand and does what the error says has the model."""
    for name, variations in (("tflite-argmax", ("tflite",)), (LONE, REQUEST)):
        origin.fail(ARTIFACTS[name].url, Status(404))
        result = engine.get(*variations)
        assert_failed(engine, result, served, f"-o {ARTIFACTS[name].file} ")
        assert "VARIATIONS --checkpoint=FILE" in result.err
        fetched = engine.home / ARTIFACTS[name].file
        fetched.write_bytes(served[name].read_bytes())
        result = engine.get(*variations, checkpoint=str(fetched))
        assert_good(engine, result, served, name)


def test_wait_is_not_paid_twice(engine: CM, origin: Origin) -> None:
    """A host that sent nothing is not asked for the second file of a pair as well."""
    origin.fail(ARTIFACTS["ncnn"].url, Stall())
    result = engine.get("ncnn", env={**IMPATIENT, **SILENCE})
    assert result.code == 1
    assert not origin.asked(ARTIFACTS["ncnn-param"].url)
