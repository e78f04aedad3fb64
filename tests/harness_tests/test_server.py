"""What every test server can do: be any host, by any kind of proxy, and keep a log."""

from __future__ import annotations

import pytest
import requests

from tests.harness.authority import Authority
from tests.harness.faults import Endless, IgnoreRanges, Reset, Status
from tests.harness.file_server import FileServer
from tests.harness.reply import Request, plain
from tests.harness.server import Server

KINDS = ["http", "https", "socks5", "socks5h"]


def behind(server: Server, user: str = "", password: str = "", *, kind: str) -> requests.Session:
    """Return a client that knows a proxy and a CA, and nothing of this machine."""
    known = server.environment(user, password, kind)  # type: ignore[arg-type]
    made = requests.Session()
    made.trust_env = False
    made.proxies = {"https": known["HTTPS_PROXY"], "http": known["HTTP_PROXY"]}
    made.verify = known["REQUESTS_CA_BUNDLE"]
    return made


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_proxy(authority: Authority, kind: str) -> None:
    host = "127.0.0.1" if kind == "socks5" else "files.example"
    urls = [f"https://{host}/a?b=1", f"https://{host}:444/a", f"http://{host}/c"]
    with Server(lambda request: plain(200, request.url.encode()), authority) as server:
        with behind(server, kind=kind) as client:
            assert [client.get(url).text for url in urls] == urls
        assert [request.url for request in server.requests] == urls
        tunnels = [f"{host}:443", f"{host}:444", f"{host}:80"]
        assert [one.host for one in server.connects] == tunnels[: 3 if "socks" in kind else 2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_proxy_with_a_password_and_a_host_out_of_reach(authority: Authority, kind: str) -> None:
    with Server(lambda request: plain(200, b"yes"), authority) as server:
        server.require_password("anna", "s3cret")
        server.unreachable("127.0.0.2")
        with (
            behind(server, "anna", "wrong", kind=kind) as client,
            pytest.raises(requests.ConnectionError),
        ):
            client.get("https://127.0.0.1/")
        with behind(server, "anna", "s3cret", kind=kind) as client:
            assert client.get("https://127.0.0.1/").text == "yes"
            with pytest.raises(requests.ConnectionError):
                client.get("https://127.0.0.2/")
        assert len(server.requests) == 1


def test_bodies_of_requests_are_kept(authority: Authority) -> None:
    with Server(lambda request: plain(200, request.body), authority) as server:
        url = server.at("/a", "https")
        verify = str(authority.bundle)
        pieces = iter([b"one", b"two"])
        assert requests.put(url, data=b"whole", verify=verify).content == b"whole"
        assert requests.put(url, data=pieces, verify=verify).content == b"onetwo"
        told = {"Expect": "100-continue"}
        assert requests.put(url, data=b"x", headers=told, verify=verify).content == b"x"
        assert [request.body for request in server.requests] == [b"whole", b"onetwo", b"x"]


def test_an_error_of_the_answer_ends_the_block() -> None:
    def answer(request: Request) -> None:
        assert request.path == "/right"

    with (
        pytest.raises(AssertionError, match="/wrong"),
        Server(answer) as server,  # type: ignore[arg-type]
        pytest.raises(requests.ConnectionError),
    ):
        requests.get(server.at("/wrong"))


def test_a_plan_is_followed_and_then_what_is_always_so() -> None:
    with FileServer(bytes(1000)) as server:
        server.plan = [Status(503), (IgnoreRanges(), Reset(10)), lambda _: plain(200, b"own")]
        told = {"Range": "bytes=3-5"}
        assert requests.get(server.url, headers=told).status_code == 503
        with pytest.raises(requests.RequestException):
            requests.get(server.url, headers=told)
        assert requests.get(server.url).content == b"own"
        good = requests.get(server.url, headers=told)
        assert (good.content, good.headers["ETag"]) == (bytes(3), server.etag)
        server.content, server.etag, server.always = b"abcdef", '"two"', IgnoreRanges()
        assert requests.get(server.url, headers=told).content == b"abcdef"
        assert server.ranges == ["bytes=3-5", "bytes=3-5", "", "bytes=3-5", "bytes=3-5"]


def test_an_endless_body_ends_with_its_client() -> None:
    with FileServer(b"begin", always=Endless(b"x" * 1000)) as server:
        with requests.get(server.url, stream=True) as reply:
            assert reply.raw.read(2005) == b"begin" + b"x" * 2000
        server.wait(lambda: not server.active)
        assert not server.requests[0].complete
