"""A setting means the same in each way in: the command, Python, CM and MLC."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.cm import CM
from tests.harness.origin import Origin

TOOL = "cmx-resnet50"
MIRROR, STORE = "CM_RESNET50_MIRROR", "CM_RESNET50_STORE"
PYTHON = "import cmx_resnet50 as c\ntry: c.get('tf')\nexcept c.OptionError as e: print(e)"
SITE = "https://mirror.example.org/x"
WRONG = {
    "kind": ("ftp://h/x", "ftp:// is not supported. Supported are https://, http://, s3://"),
    "typo": ("htps://me:s3cret@h/x", "htps:// is not supported. Did you mean https://?"),
    "no scheme": ("me:s3cret@h/x", "it has no scheme. Supported are https://"),
    "slashes": ("//me:s3cret@h/x", "it has no scheme. Write https: before it."),
    "folder": ("/srv/a b", "it has no scheme. For this folder write file:///srv/a"),
    "quotes": ("'https://me:s3cret@h/x'", "it begins with a quote. Leave the quotes out."),
    "no host": ("https:///x", "it names no host."),
    "no bucket": ("s3://", "it names no bucket."),
    "port": ("https://me:s3cret@h:x/y", "its port is not a number from 1 to 65535."),
    "slash in a password": ("https://me:s3cret/1@h/x", "In a password / is written %2F"),
    "hash in a password": ("https://me:s3cret#1@h/x", "In a password / is written %2F"),
    "more in a password": ("'https://me:p@w?s3cret@h/x'", "it begins with a quote."),
    "two slashes": ("file://srv/x", "write file:///THE/FOLDER, with three slashes."),
    "fragment": (f"{SITE}?key=s3cret#x", "it has a fragment"),
    "fragment of a folder": ("file:///srv/a#1", "it has a fragment"),
}


@pytest.mark.parametrize(("value", "said"), WRONG.values(), ids=list(WRONG))
def test_a_mirror_that_cannot_be_used_is_a_wrong_setting(value: str, said: str) -> None:
    from cmx_resnet50 import OptionError, Resnet50Error, get
    from cmx_resnet50.options import Options

    for text, name in ((value, MIRROR), (f"{SITE}\t{value} ", MIRROR)):
        with pytest.raises(OptionError) as caught:
            Options.read({}, {MIRROR: text})
        assert str(caught.value).startswith(f"{name}=") and said in str(caught.value)
        assert "s3cret" not in str(caught.value)
    for given in (value, [value.replace(" ", "%20")], (SITE, value)):
        with pytest.raises(Resnet50Error) as caught_in_python:
            get("tf", mirror=given)
        assert type(caught_in_python.value) is OptionError
        assert str(caught_in_python.value).startswith("mirror=")


@pytest.mark.parametrize("name", ["kind", "slashes"])
def test_it_is_said_at_once_with_one_exit_code(cm: CM, origin: Origin, name: str) -> None:
    value, said = WRONG[name]
    cm = cm.also(variables={MIRROR: value})
    for command in (["get", "_tf"], ["prefetch", "_tf"], ["bundle", "export", "b", "_tf"]):
        result = cm.command(TOOL, *command)
        assert (result.code, said in result.err) == (1, True), result.text
    assert said in cm.command("python", "-c", PYTHON).out
    doctor = cm.command(TOOL, "doctor")
    assert doctor.code == 1 and said in doctor.out, doctor.text
    assert not origin.requests and not (cm.cwd / "b").exists()


def test_an_engine_says_it_too(engine: CM, origin: Origin) -> None:
    """In its env or in the process, before the network is used."""
    value, said = WRONG["slashes"]
    for result in (
        engine.get("tf", env={MIRROR: value}),
        engine.get("tf", **{f"env.{MIRROR}": value}),
    ):
        assert result.code == 1 and said in result.err + result.out, result.text
        assert "s3cret" not in result.err
    assert not origin.requests


def test_a_scheme_may_be_in_upper_case(
    engine: CM, origin: Origin, served: dict[str, Path], tmp_path: Path
) -> None:
    """RFC 3986. A fragment of a URL is not sent, and not a secret."""
    origin.serve(f"{SITE}/resnet50_v1.pb", served["tensorflow"])
    command = engine.command(TOOL, "get", "_tf", env={MIRROR: f" HTTPS{SITE[5:]}/ "})
    assert command.ok and f"from {SITE}/resnet50_v1.pb" in command.err, command.text
    own = "https://models.example.org/mine.onnx"
    origin.serve(own, served["onnx-opset-8"])
    url = f"Https{own[5:]}#v1"
    result = engine.get("onnx", **{"const.CM_PACKAGE_URL": url})
    assert result.ok, result.text
    assert "secret" not in result.err and "the part from # on is not sent" in result.err
    assert result.path.read_bytes() == served["onnx-opset-8"].read_bytes()
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "mine.onnx").write_bytes(served["onnx-opset-8"].read_bytes())
    here = engine.get("onnx", **{"const.CM_PACKAGE_URL": f"FILE://{folder}/mine.onnx"})
    assert here.ok, here.text


def test_a_url_that_cannot_be_fetched_is_refused_before_anything_is(
    engine: CM, origin: Origin
) -> None:
    result = engine.get("onnx", **{"const.CM_PACKAGE_URL": "htps://h/mine.onnx"})
    assert result.code == 1 and "Did you mean https://?" in result.err, result.text
    assert not origin.requests


def test_a_relative_store_starts_where_the_user_is(engine: CM) -> None:
    """Not in the cache entry, into which the engine has gone."""
    named = engine.also(variables={STORE: " stores/one/ "})
    assert named.get("dummy-weights").ok
    got = named.command(TOOL, "get", "_dummy-weights", "--offline", "-q")
    assert got.out.startswith(f"{named.cwd}/stores/one/models/"), got.text
    find = "import cmx_resnet50 as c; c.find(dummy=True).path"
    assert named.command("python", "-c", find).ok
    assert not list(engine.cache.glob("*/stores"))


@pytest.mark.parametrize("value", ['"/srv/store"', "'/srv/store'", "$HOME/store"])
def test_what_only_a_shell_reads_is_refused(cm: CM, value: str) -> None:
    """As an env-file of docker or systemd brings it: it would be a folder of that name here."""
    for result in (
        cm.command(TOOL, "get", "_dummy-weights", env={STORE: value}),
        cm.get("dummy-weights", env={STORE: value}),
        cm.command("python", "-c", PYTHON, env={STORE: value}),
    ):
        assert f"{STORE}={value}: the path " in result.err + result.out, result.text
    for result, name in (
        (cm.command(TOOL, "get", "_dummy-weights", "--to", value), "argument --to"),
        (cm.command(TOOL, "bundle", "export", value, "_dummy-weights"), "argument TARGET"),
        (cm.command("python", "-c", f"import cmx_resnet50 as c; c.get('tf', to={value!r})"), "to="),
    ):
        assert name in result.err and ": the path " in result.err, result.text
    assert not list(cm.cwd.iterdir())
