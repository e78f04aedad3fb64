"""Each leg of a connection: proxy and origin, with every kind of certificate and of trust.

One rule holds for all: not one byte of a request goes to a peer that is not verified.
"""

from __future__ import annotations

import datetime
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cmx_resnet50.fetch import FetchError, Source
from tests.fetch.conftest import CONTENT, assert_whole, get
from tests.harness.authority import Authority, Flavour
from tests.harness.faults import Status
from tests.harness.file_server import FileServer
from tests.harness.server import Proxying

ORIGIN = "files.example.org"
URL = f"https://{ORIGIN}/model.onnx"
BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
WORDS: dict[Flavour, str] = {
    "other-ca": "issued by CN=.*, O=CA that nobody trusts|issued by O=CA that nobody trusts",
    "expired": "certificate has expired; it was issued by .*O=CA of the tests",
    "wrong-name": "mismatch.*; it was issued by .*O=CA of the tests",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def network(authority: Authority) -> Iterator[FileServer]:
    """Every host, and the proxy in front of it."""
    with FileServer(CONTENT, authority=authority) as running:
        yield running


def behind(
    monkeypatch: pytest.MonkeyPatch, network: FileServer, kind: Proxying, bundle: str
) -> None:
    proxy = f"{kind}://anna:s3cret@127.0.0.1:{network.port}"
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("HTTP_PROXY", proxy)
    if bundle:
        monkeypatch.setenv(bundle, str(network.authority.bundle))


@pytest.mark.parametrize("kind", ["http", "https", "socks5", "socks5h"])
@pytest.mark.parametrize("bundle", BUNDLES)
def test_good_certificates_are_trusted_by_each_variable(
    kind: Proxying,
    bundle: str,
    network: FileServer,
    partial: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    behind(monkeypatch, network, kind, bundle)
    # With socks5, names are resolved here, and nobody knows the names of the tests.
    url = network.at("/f", "https") if kind == "socks5" else URL
    assert_whole(get([url], partial), partial)
    assert {connect.status for connect in network.connects} == {200}


@pytest.mark.parametrize("kind", ["", "http", "https", "socks5h"])
@pytest.mark.parametrize("flavour", WORDS)
def test_an_origin_that_is_not_trusted_reads_nothing(
    kind: Proxying,
    flavour: Flavour,
    network: FileServer,
    partial: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secrets = tmp_path / "netrc"
    secrets.write_text(f"machine {ORIGIN} login me password s3cret\n")
    secrets.chmod(0o600)
    monkeypatch.setenv("NETRC", str(secrets))
    monkeypatch.setenv("SSL_CERT_FILE", str(network.authority.bundle))
    host, url = "127.0.0.1", network.at("/f", "https")
    if kind:
        behind(monkeypatch, network, kind, "SSL_CERT_FILE")
        host, url = ORIGIN, URL
    network.certificate(host, flavour)
    with pytest.raises(FetchError, match=WORDS[flavour]) as caught:
        get([url], partial)
    attempt = caught.value.attempts[0]
    assert f"the certificate of {host}" in attempt.reason
    assert attempt.tls_issuer is not None
    assert attempt.retries == 0
    assert not network.requests
    assert len(network.connects) == (1 if kind else 0)
    assert ("bundle that SSL_CERT_FILE names" in attempt.reason) == (flavour == "other-ca")


UNTRUSTED = [(flavour, bundle) for flavour in WORDS for bundle in BUNDLES]
"""Which certificate a proxy shows, and what names the bundle."""


@pytest.mark.parametrize(("flavour", "bundle"), [*UNTRUSTED, ("other-ca", "")])
@pytest.mark.parametrize("url", [URL, f"http://{ORIGIN}/model.onnx"])
def test_a_proxy_that_is_not_trusted_reads_nothing(
    flavour: Flavour,
    bundle: str,
    url: str,
    network: FileServer,
    partial: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    behind(monkeypatch, network, "https", bundle)
    network.certificate("127.0.0.1", flavour)
    with pytest.raises(FetchError, match=WORDS[flavour]) as caught:
        get([Source(url, named_by_user=True)], partial)
    reason = caught.value.attempts[0].reason
    variable = f"{url.partition(':')[0].upper()}_PROXY"
    assert f"the certificate of the proxy 127.0.0.1:{network.port} ({variable})" in reason
    assert "s3cret" not in str(caught.value)
    assert not network.requests
    assert not network.connects


def old_authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A company's CA as they were made long ago, and a server's certificate of it.

    It has no key usage, its basic constraints are not critical, and neither names a key: strict
    checks of RFC 5280 refuse it, and nobody else does.
    """
    now = datetime.datetime.now(datetime.timezone.utc)
    root_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Old Company")])
    leaf_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])

    def builder(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(root_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    root = builder(root_name, root_key).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=False
    )
    address = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    leaf = builder(leaf_name, leaf_key).add_extension(address, critical=False)
    pem = serialization.Encoding.PEM
    bundle = folder / "old.pem"
    bundle.write_bytes(root.sign(root_key, hashes.SHA256()).public_bytes(pem))
    chain = folder / "chain.pem"
    chain.write_bytes(
        leaf_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + leaf.sign(root_key, hashes.SHA256()).public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return bundle, context


@pytest.mark.parametrize("name", [*BUNDLES, "SSL_CERT_DIR"])
def test_an_old_authority_is_trusted_wherever_it_is_named(
    name: str, partial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, context = old_authority(tmp_path)
    if name == "SSL_CERT_DIR":
        # The system's store, as far as a test can alter it.
        folder = tmp_path / "certs"
        folder.mkdir()
        (folder / "0.pem").write_bytes(bundle.read_bytes())
        subprocess.run(["openssl", "rehash", str(folder)], check=True)
        bundle = folder
    monkeypatch.setenv(name, str(bundle))

    class Old(Authority):
        def __init__(self) -> None:
            self.bundle = bundle

        def context(self, host: str, flavour: Flavour = "good") -> ssl.SSLContext:
            return context

    with FileServer(CONTENT, authority=Old()) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        assert_whole(get([url], partial), partial)


UNREADABLE = {
    "blanks": " http://anna:s3cret@127.0.0.1:9 ",
    "# in the password": "http://anna:s3#cret@127.0.0.1:9",
    "/ in the password": "http://anna:s3/cret@127.0.0.1:9",
    "digits and /": "http://anna:12/s3cret@127.0.0.1:9",
    "? in the password": "http://anna:12?s3cret@127.0.0.1:9",
    "no number": "http://proxy.s3cret.example:port",
    "brackets": "http://[::1:9/s3cret",
    "no host": "http://",
    "another kind": "ftp://anna:s3cret@127.0.0.1:9",
    "another kind of socks": "socks://anna:s3cret@127.0.0.1:9",
}


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE)
def test_a_variable_that_cannot_be_read_is_named_without_its_value(
    variable: str, value: str, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(FetchError) as caught:
        get([URL], partial)
    (attempt,) = caught.value.attempts
    assert attempt.reason.startswith(variable)
    assert attempt.retries == 0
    assert "s3" not in attempt.reason
    assert "anna" not in str(caught.value)


MISSING = """
import sys
sys.modules["socks"] = None
from pathlib import Path
from cmx_resnet50.fetch import FetchError
from tests.fetch.conftest import get
try:
    get(["https://files.example.org/f"], Path(sys.argv[1]))
except FetchError as error:
    (attempt,) = error.attempts
    print(attempt.retries, attempt.reason)
"""


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_socks_without_its_package_is_said_at_once(variable: str, partial: Path) -> None:
    root = Path(__file__).parents[2]
    said = subprocess.check_output(
        [sys.executable, "-c", MISSING, str(partial)],
        cwd=root,
        env={variable: "socks5h://127.0.0.1:1080", "PYTHONPATH": str(root)},
        text=True,
    )
    assert said.startswith(f"0 {variable} names a SOCKS proxy")
    assert said.endswith("pip install PySocks\n")


def test_a_socks_proxy_that_is_not_there_is_named(
    partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FileServer(CONTENT) as gone:
        port = gone.port
    monkeypatch.setenv("ALL_PROXY", f"socks5h://anna:s3cret@127.0.0.1:{port}")
    words = f"the proxy 127.0.0.1:{port} .ALL_PROXY. cannot be reached"
    with pytest.raises(FetchError, match=words) as caught:
        get([URL], partial)
    assert "s3cret" not in str(caught.value)


def test_a_socks_proxy_refuses_a_password(
    network: FileServer, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind(monkeypatch, network, "socks5h", "SSL_CERT_FILE")
    network.require_password("anna", "another")
    with pytest.raises(FetchError, match=r"HTTPS_PROXY. asks for a user name") as caught:
        get([URL], partial)
    assert "s3cret" not in str(caught.value)
    assert caught.value.attempts[0].retries == 0


def test_an_error_behind_a_proxy_says_how_to_go_without(
    network: FileServer, partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind(monkeypatch, network, "http", "SSL_CERT_FILE")
    network.always = Status(404)
    with pytest.raises(FetchError) as caught:
        get([URL], partial)
    assert f"Asked through the proxy 127.0.0.1:{network.port} (HTTPS_PROXY)." in str(caught.value)
    assert "NO_PROXY" in str(caught.value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8, .example.com")
    with pytest.raises(FetchError) as caught:
        get([network.at("/f")], partial)
    assert "NO_PROXY" not in str(caught.value)
