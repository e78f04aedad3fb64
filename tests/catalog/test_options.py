"""The options ``CM_RESNET50_*``: CM's env first, then the process, then the default."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmx_resnet50.catalog.table import SCRIPT
from cmx_resnet50.options import BOUNDS, PREFIX, OptionError, Options, default_store

NUMERIC = {"CONNECTIONS", "CONNECT_TIMEOUT", "READ_TIMEOUT", "RETRY_BUDGET", "STALL_SECONDS"}
FLAGS = [("STRICT", "strict"), ("OFFLINE", "offline"), ("ACCEPT_ANY", "accept_any")]
NUMBERS = [
    ("CONNECT_TIMEOUT", "connect_timeout", 10.0),
    ("READ_TIMEOUT", "read_timeout", 30.0),
    ("RETRY_BUDGET", "retry_budget", 300.0),
    ("CONNECTIONS", "connections", 8),
]


def test_the_defaults_need_nothing(tmp_path: Path) -> None:
    options = Options.read({}, {"CM_REPOS": str(tmp_path)})
    assert options == Options(store=tmp_path / "resnet50-store")
    assert (options.strict, options.offline, options.accept_any, options.mirror) == (
        False,
        False,
        False,
        (),
    )


@pytest.mark.parametrize(("name", "field", "default"), NUMBERS)
def test_default_numbers(name: str, field: str, default: float) -> None:
    assert getattr(Options.read({}, {}), field) == default
    assert getattr(Options.read({PREFIX + name: "  "}, {}), field) == default


@pytest.mark.parametrize(("name", "field"), FLAGS)
@pytest.mark.parametrize("value", ["yes", "YES", " true ", "on", "1", True])
def test_what_means_yes(name: str, field: str, value: object) -> None:
    assert getattr(Options.read({PREFIX + name: value}, {}), field) is True


@pytest.mark.parametrize(("name", "field"), FLAGS)
@pytest.mark.parametrize("value", ["no", "No", "false", "off", "0", "", False])
def test_what_means_no(name: str, field: str, value: object) -> None:
    assert getattr(Options.read({PREFIX + name: value}, {}), field) is False


@pytest.mark.parametrize(("name", "field"), FLAGS)
def test_env_comes_before_the_process(name: str, field: str) -> None:
    key = PREFIX + name
    assert getattr(Options.read({key: "no"}, {key: "yes"}), field) is False
    assert getattr(Options.read({key: "yes"}, {key: "no"}), field) is True
    assert getattr(Options.read({}, {key: "yes"}), field) is True
    assert getattr(Options.read({key: ""}, {key: "yes"}), field) is True


@pytest.mark.parametrize(("name", "_field"), FLAGS)
@pytest.mark.parametrize("value", ["maybe", "2", "ja", "yes please", "none"])
def test_a_flag_that_means_nothing_is_refused(name: str, _field: str, value: str) -> None:
    for env, process in (({PREFIX + name: value}, {}), ({}, {PREFIX + name: value})):
        with pytest.raises(OptionError) as caught:
            Options.read(env, process)
        assert f"{PREFIX}{name}={value}" in str(caught.value)
        assert "yes or no" in str(caught.value)


@pytest.mark.parametrize(("name", "field", "default"), NUMBERS)
def test_a_number_is_read(name: str, field: str, default: float) -> None:
    assert getattr(Options.read({PREFIX + name: "3"}, {PREFIX + name: "5"}), field) == 3
    assert getattr(Options.read({}, {PREFIX + name: "5"}), field) == 5
    assert default not in (3, 5)


@pytest.mark.parametrize(("name", "field", "_default"), NUMBERS)
@pytest.mark.parametrize(
    "value", ["0", "-1", "nan", "inf", "1e999", "ten", "1,5", "0x10", "1 2", "100000000"]
)
def test_a_number_that_means_nothing_is_refused(
    name: str, field: str, _default: float, value: str
) -> None:
    with pytest.raises(OptionError) as caught:
        Options.read({PREFIX + name: value}, {})
    assert f"{PREFIX}{name}={value}" in str(caught.value)
    bounds = BOUNDS[field]
    assert f"from {bounds.least:g} to {bounds.most:,g}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("OFLINE", "CM_RESNET50_OFFLINE"),
        ("MIRRORS", "CM_RESNET50_MIRROR"),
        ("STRICT_MODE", "CM_RESNET50_STRICT"),
        ("ACCEPTANY", "CM_RESNET50_ACCEPT_ANY"),
    ],
)
def test_an_unknown_name_is_an_error_with_what_was_meant(name: str, meant: str) -> None:
    """It would do nothing, and nobody would notice."""
    for env, process in (({PREFIX + name: "yes"}, {}), ({}, {PREFIX + name: ""})):
        with pytest.raises(OptionError) as caught:
            Options.read(env, process)
        text = str(caught.value)
        assert f"Unknown option {PREFIX}{name}; valid ones: CM_RESNET50_ACCEPT_ANY, " in text
        assert text.endswith(f"Did you mean {meant}?")


def test_a_suggestion_is_made_only_where_one_is_near() -> None:
    with pytest.raises(OptionError) as caught:
        Options.read({}, {PREFIX + "XYZ": "1"})
    assert "Did you mean" not in str(caught.value)


def test_names_of_the_script_itself_are_known() -> None:
    text = (SCRIPT / "_cm.json").read_text(encoding="utf-8")
    names = set(re.findall(PREFIX + "[A-Z_]*[A-Z]", text))
    assert {PREFIX + "TO", PREFIX + "ASKED_BATCH", PREFIX + "RUN_SILENT"} < names
    for name in sorted(names):
        value = "3" if name.removeprefix(PREFIX) in NUMERIC else "yes"
        value = "https://mirror.example.org" if name == PREFIX + "MIRROR" else value
        Options.read({name: value}, {})
        Options.read({}, {name: value})


def test_names_of_others_are_not_read() -> None:
    Options.read({"CM_RESNET": "x", "RESNET50_OFLINE": "x"}, {"CM_RESNET50": "x", "PATH": "/bin"})


@pytest.mark.parametrize("given_", ["1", "16", "64"])
def test_connections_are_counted(given_: str) -> None:
    connections = Options.read({PREFIX + "CONNECTIONS": given_}, {}).connections
    assert isinstance(connections, int)
    assert connections == int(given_)


@pytest.mark.parametrize("given_", ["0.4", "1.5", "65", "1e1"])
def test_no_part_of_a_connection(given_: str) -> None:
    with pytest.raises(OptionError, match="must be a whole number from 1 to 64"):
        Options.read({PREFIX + "CONNECTIONS": given_}, {})


def test_every_number_has_bounds_and_a_default_within() -> None:
    numbers = {one.name for one in fields(Options) if one.type in ("int", "float")}
    assert numbers == set(BOUNDS)
    assert all(getattr(Options, name) in bounds for name, bounds in BOUNDS.items())


def test_a_half_second_is_a_time() -> None:
    assert Options.read({PREFIX + "READ_TIMEOUT": "0.5"}, {}).read_timeout == 0.5


def test_site_mirrors_are_kept_in_order() -> None:
    mirrors = "https://a.example.org/x  https://b.example.org/y?z=1,2\nfile:///mnt/copies"
    assert Options.read({PREFIX + "MIRROR": mirrors}, {}).mirror == (
        "https://a.example.org/x",
        "https://b.example.org/y?z=1,2",
        "file:///mnt/copies",
    )


def test_the_store_is_the_named_folder_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    key = PREFIX + "STORE"
    assert Options.read({key: str(tmp_path / "é a,b")}, {}).store == tmp_path / "é a,b"
    assert Options.read({key: "relative"}, {}).store == tmp_path / "relative"
    assert Options.read({key: "~/store"}, {}).store == tmp_path / "home" / "store"
    assert Options.read({}, {key: str(tmp_path), "CM_REPOS": "x"}).store == tmp_path


def test_the_home_of_nobody_is_refused_by_name() -> None:
    with pytest.raises(OptionError, match="CM_RESNET50_STORE"):
        Options.read({PREFIX + "STORE": "~no-such-user-here/store"}, {})


def test_the_usual_store_lies_beside_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_store({"CM_REPOS": str(tmp_path / "CM")}) == tmp_path / "CM/resnet50-store"
    assert default_store({"CM_REPOS": "CM"}) == tmp_path / "CM" / "resnet50-store"
    assert default_store({"CM_REPOS": " "}) == tmp_path / "home" / "CM" / "resnet50-store"
    assert default_store({}) == tmp_path / "home" / "CM" / "resnet50-store"


def test_one_store_serves_both_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that exists, then the one of an engine that is named or used."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    cm, mlc = tmp_path / "home/CM", tmp_path / "MLC"
    process = {"MLC_REPOS": str(mlc)}
    assert default_store(process) == mlc / "resnet50-store"
    cm.mkdir(parents=True)
    assert default_store(process) == cm / "resnet50-store"
    assert default_store(process, "MLC_REPOS") == mlc / "resnet50-store"
    (mlc / "resnet50-store").mkdir(parents=True)
    assert default_store(process) == mlc / "resnet50-store"
    (cm / "resnet50-store").mkdir()
    assert default_store(process) == cm / "resnet50-store"
    assert default_store(process, "MLC_REPOS") == mlc / "resnet50-store"


def test_the_process_is_read_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "STRICT", "yes")
    assert Options.read({}).strict is True
    monkeypatch.setenv(PREFIX + "STRICT", "no")
    assert Options.read({}).strict is False


def test_no_option_is_in_the_exported_filter() -> None:
    assert not PREFIX.startswith("CM_ML_MODEL_")


@given(
    st.dictionaries(
        st.sampled_from([PREFIX + name for name, *_ in [*FLAGS, *NUMBERS]]),
        st.text(max_size=8) | st.booleans() | st.integers() | st.floats() | st.none(),
    )
)
def test_any_value_is_read_or_refused_by_name(env: dict[str, object]) -> None:
    try:
        options = Options.read(env, {})
    except OptionError as error:
        assert any(key in str(error) for key in env)
        return
    assert options.connections >= 1
    assert options.read_timeout > 0
