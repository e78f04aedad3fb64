"""Certificates, redirects, proxies and secrets: what is refused, and what is never shown."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

from tests.faults.support import (
    IMPATIENT,
    assert_failed,
    assert_good,
    assert_next_run_is_good,
    store_of,
)
from tests.harness.artifacts import ARTIFACTS
from tests.harness.authority import Flavour
from tests.harness.cm import CM, Result
from tests.harness.faults import Redirect, Status
from tests.harness.origin import Origin

# The library alone, whatever engine calls it: the full run has these cases under MLC, too.
pytestmark = pytest.mark.under_mlc()

LONE = "tflite-edgetpu"
URL = ARTIFACTS[LONE].url
REQUEST = ("tflite", "int8", "no-argmax")
SECRET = "hunter2-secret"
TOKEN = "tok-8c1f33e0a9"


@pytest.mark.parametrize("flavour", ["other-ca", "expired", "wrong-name"])
def test_certificate_that_is_not_to_be_trusted(
    engine: CM, origin: Origin, served: dict[str, Path], flavour: Flavour
) -> None:
    origin.certificate("zenodo.org", flavour)
    result = engine.get(*REQUEST, env=IMPATIENT)
    issuer = "CA that nobody trusts" if flavour == "other-ca" else "CA of the tests"
    assert_failed(engine, result, served, "certificate of zenodo.org", issuer)
    assert ("REQUESTS_CA_BUNDLE" in result.err) == (flavour == "other-ca")
    assert not origin.requests
    # Not retried: the issuer is read from the handshake that failed.
    assert len(origin.connects) == 1
    origin.certificate("zenodo.org", "good")
    assert_next_run_is_good(engine, origin, served, LONE)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"])
def test_company_ca_by_one_variable(
    engine: CM, origin: Origin, served: dict[str, Path], name: str
) -> None:
    names = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE")
    bundle = {**dict.fromkeys(names, ""), name: str(origin.authority.bundle)}
    assert_good(engine, engine.get(*REQUEST, env={**IMPATIENT, **bundle}), served, LONE)


def test_bad_certificate_of_the_first_source_only(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    origin.certificate("zenodo.org", "expired")
    assert_good(engine, engine.get("pytorch", env=IMPATIENT), served, "pytorch-fp32")
    assert not origin.asked(ARTIFACTS["pytorch-fp32"].url)


@pytest.mark.parametrize("count", [9, 11])
def test_redirects_are_counted(
    engine: CM, origin: Origin, served: dict[str, Path], count: int
) -> None:
    hops = [URL, *(f"https://zenodo.org/hop/{number}" for number in range(count))]
    for here, there in itertools.pairwise(hops):
        origin.fail(here, Redirect(there))
    origin.serve(hops[-1], served[LONE])
    result = engine.get(*REQUEST, env=IMPATIENT)
    if count <= 10:
        assert_good(engine, result, served, LONE)
    else:
        assert_failed(engine, result, served, "more than 10 redirects")


def test_redirect_does_not_carry_credentials_to_another_host(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    (engine.home / ".netrc").write_text(f"machine zenodo.org login me password {SECRET}\n")
    (engine.home / ".netrc").chmod(0o600)
    there = "https://cdn.example.org/model.tflite"
    origin.serve(there, served[LONE])
    origin.fail(URL, Redirect(there))
    result = engine.get(*REQUEST, env=IMPATIENT)
    assert_good(engine, result, served, LONE)
    assert all("authorization" in record.headers for record in origin.asked(URL))
    assert not any("authorization" in record.headers for record in origin.asked(there))
    assert_secret_nowhere(engine, result)


def assert_secret_nowhere(engine: CM, *results: Result) -> None:
    """Neither printed nor written, but for the proxy that the engine itself puts in its scripts."""
    for result in results:
        assert SECRET not in result.text and TOKEN not in result.text
    for path in [*engine.repos.rglob("*"), *engine.home.rglob("*")]:
        if path.is_file() and path.name != ".netrc" and not path.name.startswith("tmp-"):
            content = path.read_bytes()
            assert SECRET.encode() not in content, path
            assert TOKEN.encode() not in content, path


def _behind_proxy(origin: Origin, user: str, password: str) -> dict[str, str]:
    return {**origin.environment(user, password), **IMPATIENT}


def test_proxy_that_needs_a_password(engine: CM, origin: Origin, served: dict[str, Path]) -> None:
    origin.require_password("anna", SECRET)
    result = engine.get(*REQUEST, env=IMPATIENT)
    assert_failed(engine, result, served, " (https_proxy) asks for a password")
    wrong = engine.get(*REQUEST, env=_behind_proxy(origin, "anna", f"{SECRET}-not"))
    assert_failed(engine, wrong, served, " (https_proxy) rejects the user name or the password")
    assert_secret_nowhere(engine, wrong)
    assert len(origin.connects) <= 4
    right = engine.get(*REQUEST, env=_behind_proxy(origin, "anna", SECRET))
    assert_good(engine, right, served, LONE)
    assert_secret_nowhere(engine, right)


def test_password_of_a_proxy_that_does_not_help(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    origin.unreachable("zenodo.org")
    result = engine.get(*REQUEST, env=_behind_proxy(origin, "anna", SECRET))
    assert_failed(engine, result, served, "the proxy ", " does not reach ")
    assert_secret_nowhere(engine, result)


@pytest.mark.parametrize("bad", [False, True], ids=["good", "404"])
def test_secrets_of_a_site_mirror(
    engine: CM, origin: Origin, served: dict[str, Path], bad: bool
) -> None:
    """CM_RESNET50_MIRROR with a name and a password, on loopback: used, never shown."""
    site = origin.at("/site").replace("http://", f"http://anna:{SECRET}@")
    plain = origin.at(f"/site/{served[LONE].name}")
    origin.serve(plain, served[LONE])
    if bad:
        origin.fail(plain, Status(404))
        origin.fail(URL, Status(404))
    result = engine.get(*REQUEST, env={**IMPATIENT, "CM_RESNET50_MIRROR": site})
    assert any("authorization" in record.headers for record in origin.asked(plain))
    if bad:
        assert_failed(engine, result, served, "HTTP 404")
    else:
        assert_good(engine, result, served, LONE)
        assert not origin.asked(URL)
    assert_secret_nowhere(engine, result)


def test_secrets_in_a_further_url(engine: CM, origin: Origin, served: dict[str, Path]) -> None:
    further = f"https://files.example.org/x.tflite?token={TOKEN}"
    origin.serve(further, served[LONE])
    origin.fail(URL, Status(404))
    options = {"env.CM_DOWNLOAD_URL1": further}
    assert_good(engine, engine.get(*REQUEST, env=IMPATIENT, **options), served, LONE)
    for path in store_of(engine).rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()
    shutil.rmtree(store_of(engine))
    shutil.rmtree(engine.cache)
    origin.forget(further)
    given = engine.get(*REQUEST, env=IMPATIENT, **options)
    assert_failed(engine, given, served, "files.example.org", "token=***")
    # The first line of the text is the command, as it was typed.
    assert TOKEN not in given.out + given.err


@pytest.mark.under_mlc("mlc")
def test_secrets_in_a_url_of_the_users_own(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    """The engine writes the URL among the tags of its cache entry; nobody prints it."""
    plain = f"https://files.example.org/x.tflite?token={TOKEN}"
    given = plain.replace("//", f"//anna:{SECRET}@")
    origin.serve(plain, served[LONE])
    options = {"const.CM_PACKAGE_URL": given}
    results = [engine.get(*REQUEST, env=IMPATIENT, **options) for _ in range(3)]
    for result in results:
        assert result.ok, result.text
        assert result.path.read_bytes() == served[LONE].read_bytes()
        assert "https://***@files.example.org/x.tflite?token=***" in result.err
        weights = result.env["CM_ML_MODEL_STARTING_WEIGHTS_FILENAME"]
        assert weights == "https://***@files.example.org/x.tflite?token=***"
    assert len(origin.requests) == 1
    assert "authorization" in origin.requests[0].headers
    shutil.rmtree(store_of(engine))
    shutil.rmtree(engine.cache)
    origin.forget(plain)
    failed = engine.get(*REQUEST, env=IMPATIENT, **options)
    assert_failed(engine, failed, served, "files.example.org", "token=***")
    refused = engine.get(env=IMPATIENT, **{"const.CM_PACKAGE_URL": f"{given},1"})
    assert_failed(engine, refused, served, "a comma, which the engine cannot carry")
    for result in [*results, failed, refused]:
        assert SECRET not in result.out + result.err
        assert TOKEN not in result.out + result.err
    written = [*store_of(engine).rglob("*"), *engine.repos.rglob("cmx-resnet50-receipt.json")]
    for path in written:
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def test_plain_http_is_for_loopback_and_for_what_the_user_names(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    far = "http://files.example.org/site"
    origin.serve(f"{far}/{served[LONE].name}", served[LONE])
    result = engine.get(*REQUEST, env={**IMPATIENT, "CM_RESNET50_MIRROR": far})
    assert_good(engine, result, served, LONE)
    assert not origin.asked(URL)
