"""The caching proxy of docs/recipes/nginx: real nginx, the file as shipped, public names."""

from __future__ import annotations

import contextlib
import http.client
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cmx_resnet50.digests import digest_file
from tests.harness.artifacts import ARTIFACTS
from tests.harness.authority import Authority
from tests.harness.cm import CM
from tests.harness.faults import Html, IgnoreRanges, Redirect, Status, Trickle
from tests.harness.origin import Origin
from tests.harness.reply import Resource
from tests.harness.waiting import HANGS, until
from tests.site.conftest import LARGE
from tests.site.network import Host, Network, environment
from tests.site.proxy import MIRROR, PORT, SLICE, Proxy, running

pytestmark = pytest.mark.site

URL = ARTIFACTS[LARGE].url
GET = "cmx-resnet50 get _onnx --to out"
SOON = {
    "CM_RESNET50_MIRROR": MIRROR,
    "CM_RESNET50_CONNECT_TIMEOUT": "2",
    "CM_RESNET50_RETRY_BUDGET": "2",
}
"""Options of users: a source that fails is given up after seconds."""


@dataclass(frozen=True)
class Site:
    """What a test needs of a site whose machines ask a proxy."""

    network: Network
    origin: Origin
    proxy: Proxy
    file: Path
    name: str
    """What the proxy calls the file."""

    def open(self) -> contextlib.AbstractContextManager[Proxy]:
        """Start nginx on a machine of its own."""
        return running(self.proxy, self.network.host("cache").prefix)

    def drawn(self) -> int:
        """Bytes that came from the internet."""
        return self.origin.bytes_sent()

    def ask(self, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Ask the proxy for the file, as any HTTP client may; underscores stand for hyphens."""
        return self.ask_for(self.name, **headers)

    def ask_for(self, name: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Ask the proxy for any name."""
        connection = http.client.HTTPConnection("cache.example", PORT, timeout=HANGS)
        connection.sock = self.network.connect(PORT)
        names = {key.replace("_", "-"): value for key, value in headers.items()}
        with contextlib.closing(connection):
            connection.request("GET", name, headers=names)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()


@pytest.fixture
def site_here(
    network: Network, empty_origin: Origin, open_folder: Path, served_here: dict[str, Path]
) -> Site:
    proxy = Proxy.lay_out(open_folder / "proxy", served_here)
    file = served_here[LARGE]
    return Site(network, empty_origin, proxy, file, f"/md5/{digest_file(file).md5}")


def get(site: Site, node: CM, script: str = GET, **options: str) -> str:
    """Let a machine get the file, see that it is the right one, and return what was said."""
    host = site.network.host(node.home.parent.name)
    done = host.run(script, env=environment(node, **(SOON | options)), cwd=node.cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (node.cwd / "out" / site.file.name).read_bytes() == site.file.read_bytes()
    return done.stderr


@contextlib.contextmanager
def all_getting(hosts: list[tuple[Host, CM]], **options: str) -> Iterator[list[str]]:
    """Let machines get the file at the same time; yields what each said, at the end."""
    said: list[str] = []
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(
                host.start(GET, env=environment(node, **(SOON | options)), cwd=node.cwd)
            )
            for host, node in hosts
        ]
        for process in started:
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, out + err
            said.append(err)
        yield said


def test_many_at_once_one_request_a_slice(site_here: Site, new_node: Callable[[str], CM]) -> None:
    """Also where a slice takes longer than nginx by itself lets others wait (5 s)."""
    size, rate = site_here.file.stat().st_size, 2_600_000
    assert SLICE / rate > 5
    site_here.origin.fail(URL, Trickle(rate))
    nodes = [new_node(f"node{number}") for number in range(6)]
    hosts = [(site_here.network.host(f"node{number}"), cm) for number, cm in enumerate(nodes)]
    with site_here.open(), all_getting(hosts) as said:
        for node, text in zip(nodes, said, strict=True):
            got = node.cwd / "out" / site_here.file.name
            assert got.read_bytes() == site_here.file.read_bytes()
            assert MIRROR in text and URL not in text
    ranges = Counter(record.range for record in site_here.origin.requests)
    assert len(ranges) == -(-size // SLICE) > 1
    assert set(ranges.values()) == {1}
    assert site_here.drawn() == size


def test_the_origin_dies_and_what_is_cached_goes_on(
    site_here: Site, new_node: Callable[[str], CM]
) -> None:
    with site_here.open():
        get(site_here, new_node("first"))
        site_here.origin.clear_log()
        site_here.origin.stop()
        assert URL not in get(site_here, new_node("second"))
        # What is not cached is nowhere: the error names the proxy and the public host.
        node = new_node("third")
        done = site_here.network.host("third").run(
            "cmx-resnet50 get _pytorch", env=environment(node, **SOON), cwd=node.cwd
        )
    assert done.returncode == 4
    assert f"{MIRROR}/sha256/" in done.stderr
    assert "HTTP 502" in done.stderr
    assert ARTIFACTS["pytorch-fp32"].url in done.stderr
    assert not site_here.origin.requests


def test_cache_of_another_day(site_here: Site, new_node: Callable[[str], CM]) -> None:
    """What is cached outlives nginx; once its time is over it is still given if need be."""
    site_here.proxy.change("proxy_cache_valid 206 365d", "proxy_cache_valid 206 1s")
    with site_here.open():
        get(site_here, new_node("first"))
    size = site_here.file.stat().st_size
    site_here.origin.fail(URL, Status(503))
    site_here.origin.clear_log()
    time.sleep(2.1)
    with site_here.open():
        status, _, body = site_here.ask()
        assert status == 200
        assert body == site_here.file.read_bytes()
        # Only ours asked for no range; nginx logs an answer after the client has it.
        until(lambda: [line for line in site_here.proxy.served if line.range == "-"])
        plain = [line.cache for line in site_here.proxy.served if line.range == "-"]
        assert plain == ["STALE"]
        assert {record.status for record in site_here.origin.requests} == {503}
        site_here.origin.heal()
        site_here.origin.clear_log()
        get(site_here, new_node("second"))
    # Well again, the origin is asked anew, for each slice once.
    assert site_here.drawn() == size


@pytest.mark.parametrize("restarted", [False, True])
def test_resume(site_here: Site, new_node: Callable[[str], CM], restarted: bool) -> None:
    """A machine that was killed goes on where it was, also against another nginx."""
    node = new_node("node")
    size = site_here.file.stat().st_size
    site_here.origin.fail(URL, Trickle(6_000_000))
    line = environment(node, **SOON)
    with contextlib.ExitStack() as stack:
        stack.enter_context(site_here.open())
        with site_here.network.host("node").start(GET, env=line, cwd=node.cwd) as process:
            site_here.origin.wait(lambda: site_here.drawn() > 12_000_000)
            process.send_signal(signal.SIGKILL)
        if restarted:
            stack.pop_all().close()
            stack.enter_context(site_here.open())
        site_here.origin.heal()
        said = get(site_here, node)
    assert "resumed at" in said
    sent = [line.bytes for line in site_here.proxy.served if line.range not in ("", "-")]
    assert sent[-1] < size - 1_000_000
    # nginx brings a slice to its end when the client is gone, but not when it is killed itself.
    assert site_here.drawn() <= size + (SLICE if restarted else 0)


def test_ranges_and_conditions(site_here: Site) -> None:
    body = site_here.file.read_bytes()
    size = len(body)
    tag = f'"{site_here.name}"'
    with site_here.open():
        for _ in ("from the origin", "from the cache"):
            status, headers, got = site_here.ask()
            assert (status, got == body, headers["ETag"]) == (200, True, tag)
            # Across the border of two slices, to the end, and the last bytes.
            border = SLICE - 1000
            for asked, first, last in [
                (f"bytes={border}-{border + 1999}", border, border + 1999),
                (f"bytes={size - 10}-", size - 10, size - 1),
                ("bytes=-10", size - 10, size - 1),
                (f"bytes=100-{size + 5}", 100, size - 1),
            ]:
                status, headers, got = site_here.ask(Range=asked)
                assert (status, headers["Content-Range"]) == (206, f"bytes {first}-{last}/{size}")
                assert got == body[first : last + 1]
        asked = f"bytes={border}-{border + 1999}"
        status, _, got = site_here.ask(Range=asked, If_Range=tag)
        assert (status, got) == (206, body[border : border + 2000])
        status, _, got = site_here.ask(Range=asked, If_Range='"another"')
        assert (status, got == body) == (200, True)
        assert site_here.ask(Range=f"bytes={size}-")[0] == 416
        assert site_here.ask(If_None_Match=tag)[0] == 304
    assert site_here.drawn() == size


def test_origins_whose_etags_differ(site_here: Site, new_node: Callable[[str], CM]) -> None:
    """Two machines behind one public name; nginx would break off where slices meet."""
    other = Resource(site_here.file.read_bytes(), etag='"another"', last_modified=None)
    with site_here.open():
        site_here.ask(Range="bytes=0-99")
        site_here.origin.serve(URL, other)
        site_here.origin.clear_log()
        assert URL not in get(site_here, new_node("node"))
    (record,) = site_here.origin.requests
    assert record.range == f"bytes={SLICE}-{2 * SLICE - 1}"


def test_redirects(site_here: Site, new_node: Callable[[str], CM]) -> None:
    """To another host, and from there to another path of it: as Dropbox and others do."""
    site_here.origin.fail(URL, Redirect("https://elsewhere.example/a?token=1"))
    site_here.origin.fail("https://elsewhere.example/a?token=1", Redirect("/b?token=2", 307))
    site_here.origin.serve("https://elsewhere.example/b?token=2", site_here.file)
    with site_here.open():
        assert URL not in get(site_here, new_node("node"))
        asked = [record.url for record in site_here.origin.requests]
        assert asked[:3] == [
            URL,
            "https://elsewhere.example/a?token=1",
            "https://elsewhere.example/b?token=2",
        ]
        site_here.origin.stop()
        get(site_here, new_node("second"))


def test_redirects_without_end(site_here: Site) -> None:
    site_here.origin.fail(URL, Redirect("https://zenodo.org/record/4735647/files/resnet50_v1.onnx"))
    with site_here.open():
        assert site_here.ask()[0] == 500
        assert len(site_here.origin.requests) < 20
        assert not site_here.proxy.slices


def test_wrong_bytes_in_the_cache(site_here: Site, new_node: Callable[[str], CM]) -> None:
    """The machine sees it, asks the next source, and says who was wrong."""
    with site_here.open():
        get(site_here, new_node("first"))
        for path in site_here.proxy.slices:
            data = bytearray(path.read_bytes())
            data[-1000] ^= 1
            path.write_bytes(data)
        said = get(site_here, new_node("second"))
        assert f"{MIRROR}{site_here.name}: wrong bytes" in said
        assert f"from {URL}" in said
        site_here.proxy.empty()
        site_here.origin.clear_log()
        assert URL not in get(site_here, new_node("third"))
        assert site_here.drawn() == site_here.file.stat().st_size


def test_an_origin_without_ranges_is_passed_on(
    site_here: Site, new_node: Callable[[str], CM]
) -> None:
    """The whole file for a slice is not kept: it would be, once for each slice."""
    site_here.origin.fail(URL, IgnoreRanges())
    with site_here.open():
        assert URL not in get(site_here, new_node("node"))
        assert not site_here.proxy.slices
    assert len(site_here.origin.requests) == 1


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_an_error_of_the_origin_is_not_kept(
    site_here: Site, new_node: Callable[[str], CM], status: int
) -> None:
    site_here.origin.fail(URL, Status(status), times=1)
    with site_here.open():
        assert site_here.ask()[0] == status
        assert not site_here.proxy.slices
        assert URL not in get(site_here, new_node("node"))


def test_a_page_in_place_of_the_file_is_not_kept(
    site_here: Site, new_node: Callable[[str], CM]
) -> None:
    """As networks for guests send it, whatever is asked: log in first."""
    site_here.origin.fail(URL, Html(), times=1)
    with site_here.open():
        assert site_here.ask()[0] == 200
        assert not site_here.proxy.slices
        assert URL not in get(site_here, new_node("node"))


def test_an_origin_that_is_not_trusted(site_here: Site, new_node: Callable[[str], CM]) -> None:
    site_here.proxy.change("/etc/ssl/certs/ca-certificates.crt", "other.pem")
    folder = site_here.proxy.folder / "other"
    folder.mkdir()
    Authority(folder).bundle.rename(site_here.proxy.folder / "other.pem")
    with site_here.open():
        assert site_here.ask()[0] == 502
        assert not site_here.origin.requests
        assert "certificate verify" in site_here.proxy.errors


def test_other_names_are_asked_of_nobody(site_here: Site) -> None:
    names = [
        "/",
        "/md5/" + "0" * 32,
        "/sha256/" + "0" * 64,
        "/resnet50_v1.onnx",
        site_here.name.upper(),
        site_here.name + "/x",
        "/http://zenodo.org/record/1",
    ]
    with site_here.open():
        for name in names:
            assert site_here.ask_for(name)[0] == 404, name
    assert not site_here.origin.requests


def test_a_password_stays_on_the_site(site_here: Site) -> None:
    with site_here.open():
        site_here.ask(Authorization="Basic c2VjcmV0OnNlY3JldA==")
    assert site_here.origin.requests
    for record in site_here.origin.requests:
        assert "authorization" not in record.headers


def test_a_mirror_further_up(site_here: Site, new_node: Callable[[str], CM]) -> None:
    """The table's last resort, for names that it does not know; a bundle has them all."""
    origins = site_here.proxy.folder / "origins.conf"
    text = origins.read_text(encoding="utf-8")
    text = text.replace(site_here.name, "/md5/" + "0" * 32)
    assert 'default "";' in text
    text = text.replace('default "";', "default https://up.example/bundle$uri;")
    origins.write_text(text, encoding="utf-8")
    writer = new_node("writer")
    done = site_here.network.host("writer").run(
        "cmx-resnet50 bundle export bundle _onnx", env=environment(writer), cwd=writer.cwd
    )
    assert done.returncode == 0, done.stderr
    bundle = writer.cwd / "bundle"
    for path in filter(Path.is_file, bundle.rglob("*")):
        site_here.origin.serve(f"https://up.example/bundle/{path.relative_to(bundle)}", path)
    site_here.origin.clear_log()
    with site_here.open():
        get(site_here, new_node("node"))
        assert {record.url for record in site_here.origin.requests} == {
            f"https://up.example/bundle{site_here.name}"
        }
        site_here.origin.clear_log()
        get(site_here, new_node("second"))
    assert not site_here.origin.requests
