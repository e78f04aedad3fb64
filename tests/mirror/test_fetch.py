"""The fetcher and ``s3://``: what a store says, what becomes of signatures, what is resumed."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from cmx_resnet50.digests import Expected
from cmx_resnet50.errors import Resnet50Error
from cmx_resnet50.fetch import (
    Download,
    FetchError,
    FetchOptions,
    OfflineError,
    Source,
    fetch,
)
from cmx_resnet50.progress import Progress
from tests.harness import seaweed
from tests.harness.authority import Authority
from tests.harness.faults import Endless
from tests.harness.reply import Reply, Request, plain
from tests.harness.server import Server
from tests.mirror.conftest import BUCKET, Place, client
from tests.mirror.store_replies import expiring, problem, region_of, signature_of

SIZE = 6_000_011
CONTENT = random.Random(6).randbytes(SIZE)
KEY = "site/a file?with#odd%20letters é"
URL = f"s3://{BUCKET}/{KEY}"
QUICK = FetchOptions(retry_budget=60.0, backoff=0.01)


class Seen(Progress):
    """Progress that can stop a fetch, or do something else, after so many bytes."""

    def __init__(self, after: int = 0, do: Callable[[], None] | None = None) -> None:
        self.told: list[str] = []
        self.count = 0
        self._after, self._do = after, do

    def start(self, name: str, total: int | None, source: str, resumed: int) -> None:
        self.told.append(source)
        self.count = resumed

    def advance(self, count: int) -> None:
        self.count += count
        if self._do is not None and self.count > self._after:
            do, self._do = self._do, None
            do()

    def note(self, text: str) -> None:
        self.told.append(text)

    def done(self) -> None:
        pass


def known(content: bytes) -> Expected:
    return Expected(None, hashlib.sha256(content).hexdigest(), len(content))


def get(
    folder: Path,
    *urls: str,
    expected: Expected | None = None,
    options: FetchOptions = QUICK,
    progress: Progress | None = None,
) -> Download:
    """Fetch as a site's user does."""
    return fetch(
        [Source(url, named_by_user=True) for url in urls],
        known(CONTENT) if expected is None else expected,
        folder / "partial",
        name="model.onnx",
        options=options,
        progress=progress or Seen(),
    )


def use(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("expected", [known(CONTENT), Expected()], ids=["known", "unknown"])
def test_goes_on_under_another_signature(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, expected: Expected
) -> None:
    use(monkeypatch, place.environment)
    place.put(KEY, CONTENT)
    with Server(expiring(place.environment["AWS_ENDPOINT_URL"], 60, SIZE)) as slow:
        monkeypatch.setenv("AWS_ENDPOINT_URL", slow.at(""))
        with pytest.raises(KeyboardInterrupt):
            get(tmp_path, URL, expected=expected, progress=Seen(1_000_000, interrupt))
    journal = (tmp_path / "partial.journal").read_text()
    assert "Signature" not in journal
    assert json.loads(journal.splitlines()[0])["source"].startswith(f"s3://{BUCKET}/site/")
    time.sleep(1.1)  # Signatures differ by the second.
    monkeypatch.setenv("AWS_ENDPOINT_URL", place.environment["AWS_ENDPOINT_URL"])
    done = get(tmp_path, URL, expected=expected)
    assert done.resumed > 1_000_000
    assert done.transferred == SIZE - done.resumed
    assert done.path.read_bytes() == CONTENT
    assert done.url.startswith(f"s3://{BUCKET}/site/")
    assert [path.name for path in tmp_path.iterdir()] == ["partial"]


def test_a_program_that_logs_everything_logs_no_signature(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place.put(KEY, CONTENT)  # The test's own client may log.
    caplog.set_level(logging.DEBUG)
    use(monkeypatch, place.environment)
    assert get(tmp_path, URL, expected=known(CONTENT)).path.read_bytes() == CONTENT
    (tmp_path / "partial").unlink()
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t0ken")
    with suppress(FetchError):  # A real store refuses a token that it has not given.
        get(tmp_path, URL, expected=known(CONTENT))
    assert "Signature" not in caplog.text and "t0ken" not in caplog.text


def test_a_signature_that_is_over_is_renewed(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    use(monkeypatch, place.environment)
    place.put(KEY, CONTENT)
    answer = expiring(place.environment["AWS_ENDPOINT_URL"], 3, SIZE // 8)
    seen = Seen()
    with Server(answer) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.at(""))
        options = FetchOptions(connections=1, backoff=0.01, retries=3)
        done = get(tmp_path, URL, options=options, progress=seen)
        signatures = {signature_of(request) for request in between.requests}
    assert done.path.read_bytes() == CONTENT
    assert len(signatures) > 1
    shown = " ".join(seen.told) + caplog.text
    assert not [one for one in signatures if one in shown]


CODES = {
    "AccessDenied": (403, "these credentials do not allow that"),
    "InvalidAccessKeyId": (403, "has no such access key"),
    "SignatureDoesNotMatch": (403, "the secret key is wrong"),
    "ExpiredToken": (400, "the credentials have expired"),
    "RequestTimeTooSkewed": (403, "the clocks of this machine"),
    "NoSuchKey": (404, "the bucket has no object"),
    "SlowDown": (503, "throttles requests"),
    "Unheard.Of": (418, "HTTP 418 Unheard.Of"),
}


@pytest.mark.parametrize("code", CODES)
def test_what_a_store_says_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str
) -> None:
    status, words = CODES[code]
    content = "a text that may hold anything"
    with Server(lambda request: problem(status, code, content)) as server:
        store_at(monkeypatch, server.at(""))
        with pytest.raises(FetchError) as caught:
            get(tmp_path, "s3://models/x", options=FetchOptions(retries=0, retry_budget=0.1))
    assert f"HTTP {status} {code}" in str(caught.value)
    assert words in str(caught.value)
    assert "anything" not in str(caught.value)
    assert "Signature=" not in str(caught.value)


def store_at(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    use(
        monkeypatch,
        {"AWS_ENDPOINT_URL_S3": url, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"},
    )


def test_an_endless_error_is_cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def endless(request: Request) -> Reply:
        return Endless(b" " * 1000).change(request, problem(403, "AccessDenied"))

    with Server(endless) as server:
        store_at(monkeypatch, server.at(""))
        with pytest.raises(FetchError, match="HTTP 403 AccessDenied"):
            get(tmp_path, "s3://models/x")
        assert server.bytes_sent() < 50 << 20


def test_a_bucket_in_another_region_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def answer(request: Request) -> Reply:
        if region_of(request) == "eu-central-1":
            return plain(200, CONTENT)
        return problem(301, "PermanentRedirect", x_amz_bucket_region="eu-central-1")

    with Server(answer) as server:
        store_at(monkeypatch, server.at(""))
        assert get(tmp_path, "s3://models/x").path.read_bytes() == CONTENT


def test_the_bundle_of_aws_is_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: Authority
) -> None:
    with Server(lambda request: plain(200, CONTENT), authority) as server:
        store_at(monkeypatch, server.at("", "https").replace("127.0.0.1", "localhost"))
        with pytest.raises(FetchError, match=r"certificate of localhost:\d+ is not trusted"):
            get(tmp_path, "s3://models/x")
        config = tmp_path / "config"
        config.write_text(f"[default]\nca_bundle = {authority.bundle}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        get(tmp_path, "s3://models/x")


def test_a_password_in_netrc_is_not_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    def answer(request: Request) -> Reply:
        return plain(400 if "authorization" in request.headers else 200, CONTENT)

    with Server(answer) as server:
        store_at(monkeypatch, server.at(""))
        assert get(tmp_path, "s3://models/x").path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("settings", "url", "told"),
    [
        ({"AWS_PROFILE": "nobody"}, "s3://models/x", "profile (nobody) could not be found"),
        ({"AWS_ENDPOINT_URL": "no-address"}, "s3://models/x", "Invalid endpoint: no-address"),
        ({"AWS_ACCESS_KEY_ID": "half"}, "s3://models/x", "Partial credentials"),
        ({}, "s3://under_scores and blanks/x", "Invalid bucket name"),
    ],
)
def test_what_boto3_cannot_use_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: dict[str, str], url: str, told: str
) -> None:
    use(monkeypatch, settings)
    (tmp_path / "good").write_bytes(CONTENT)
    with pytest.raises(FetchError) as caught:
        get(tmp_path, url)
    assert told in str(caught.value)
    assert get(tmp_path, url, (tmp_path / "good").as_uri()).path.read_bytes() == CONTENT


def test_offline_opens_no_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Server(lambda request: plain(200, CONTENT)) as server:
        store_at(monkeypatch, server.at(""))
        with pytest.raises(OfflineError, match=r"s3://models/x: skipped \(offline\)"):
            get(tmp_path, "s3://models/x", options=FetchOptions(offline=True))
        assert not server.requests


def test_only_the_user_names_a_store(tmp_path: Path) -> None:
    for url in ("s3://models/x", "memory://x"):
        with pytest.raises(FetchError, match=r"refused: \w+ scheme; only https is accepted"):
            fetch(
                [Source(url)],
                known(CONTENT),
                tmp_path / "partial",
                name="model.onnx",
                options=QUICK,
                progress=Seen(),
            )


@pytest.mark.parametrize("offline", [False, True])
def test_the_manual_command_has_the_published_url(tmp_path: Path, offline: bool) -> None:
    """Not that of the mirror, which was just asked."""
    mirror = Source("http://127.0.0.1:9/sha256/1", named_by_user=True, of_mirror=True)
    with pytest.raises(FetchError) as caught:
        fetch(
            [mirror, Source("https://127.0.0.1:9/published/f")],
            known(CONTENT),
            tmp_path / "partial",
            name="model.onnx",
            options=FetchOptions(offline=offline, retries=0),
            progress=Seen(),
        )
    command = "curl -fL -C - -o model.onnx https://127.0.0.1:9/published/f"
    assert caught.value.commands == (command,)
    assert f"  {command}\n" in str(caught.value)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=f"folder {tmp_path / 'nope'} does not exist"):
        get(tmp_path, (tmp_path / "nope" / "sha256" / "1").as_uri())


@pytest.mark.parametrize("scheme", ["gs", "az", "sftp", "memory", "GS"])
def test_the_schemes_that_are_supported_are_named(tmp_path: Path, scheme: str) -> None:
    """At once, not after every other source: the user has named it."""
    (tmp_path / "good").write_bytes(CONTENT)
    with pytest.raises(Resnet50Error) as caught:
        get(tmp_path, f"{scheme}://me:secret@models/x", (tmp_path / "good").as_uri())
    text = str(caught.value)
    assert f"{scheme.lower()}:// is not supported" in text
    assert "https://, http://, s3:// and file://" in text
    assert "over https" in text
    assert "secret" not in text


def test_a_folder_named_without_a_scheme_is_answered_with_its_url(tmp_path: Path) -> None:
    with pytest.raises(Resnet50Error, match=r"no scheme\. For this folder write file:///"):
        get(tmp_path, str(tmp_path))


def test_others_pay_for_no_package(tmp_path: Path) -> None:
    (tmp_path / "good").write_bytes(CONTENT)
    code = (
        "import sys, pathlib\n"
        "from cmx_resnet50.digests import Expected\n"
        "from cmx_resnet50.fetch import FetchOptions, Source, fetch\n"
        "from cmx_resnet50.progress import Progress\n"
        f"fetch([Source('https://127.0.0.1:9/x', True), Source({(tmp_path / 'good').as_uri()!r})],"
        f" Expected(None, {known(CONTENT).sha256!r}, None), pathlib.Path('partial'),"
        " name='x', options=FetchOptions(retries=0), progress=Progress())\n"
        "print(sorted({'boto3', 'botocore'} & sys.modules.keys()))\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.site
def test_a_volume_server_dies_under_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = random.Random(7).randbytes(60_000_000)
    left = []
    # One of its own: with half of the servers gone, nothing can be written any more.
    with seaweed.start(tmp_path / "weed") as store:
        use(monkeypatch, store.environment())
        store.make_bucket(BUCKET)
        store.client().put_object(Bucket=BUCKET, Key="large", Body=content)

        def kill() -> None:
            left.append(len(content) - seen.count)
            store.kill_volume(0)

        seen = Seen(1, kill)
        (tmp_path / "got").mkdir()
        url = f"s3://{BUCKET}/large"
        done = get(tmp_path / "got", url, expected=known(content), progress=seen)
        assert left[0] > 0
        assert done.path.read_bytes() == content
        done.path.unlink()
        again = get(tmp_path / "got", url, expected=known(content))
        assert (again.resumed, again.path.read_bytes()) == (0, content)


@pytest.mark.site
def test_wrong_credentials_are_told(
    weed: seaweed.Seaweed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    right = weed.environment()
    client(right).put_object(Bucket=BUCKET, Key="x", Body=CONTENT)
    for wrong, told in (
        ({"AWS_SECRET_ACCESS_KEY": "another"}, "SignatureDoesNotMatch: the secret key is wrong"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "InvalidAccessKeyId: the store has no such"),
    ):
        use(monkeypatch, {**right, **wrong})
        with pytest.raises(FetchError) as caught:
            get(tmp_path, f"s3://{BUCKET}/x")
        assert told in str(caught.value)
    key, secret = weed.reader
    use(monkeypatch, {**right, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret})
    get(tmp_path, f"s3://{BUCKET}/x")


@pytest.mark.site
def test_a_public_bucket_needs_no_credentials(
    weed: seaweed.Seaweed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    right = weed.environment()
    weed.make_bucket("open")
    for bucket in ("open", BUCKET):
        client(right).put_object(Bucket=bucket, Key="x", Body=CONTENT)
    monkeypatch.setenv("AWS_ENDPOINT_URL", weed.endpoint)
    done = get(tmp_path, "s3://open/x")
    assert done.path.read_bytes() == CONTENT
    done.path.unlink()
    with pytest.raises(FetchError, match="no credentials are configured here"):
        get(tmp_path, f"s3://{BUCKET}/x", f"s3://{BUCKET}/y")
