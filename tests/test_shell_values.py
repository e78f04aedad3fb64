"""What is let through stays text, in a real shell, wherever it may be written."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmx_resnet50.shell_values import NAME_LENGTH, Place, UnsafeValue, check

SHELL = shutil.which("bash") or shutil.which("sh")
ACTS = ["$(x)", "${x}", "`x`", "a\nx", "a\0", "a\x1b[2J", "a\x7f", "a\\"]
QUOTE = '"; x; "'
"""Acts wherever the engine does not put a backslash before each quote."""
EVALUATED = ["a;x", "a&x", "a|x", "a>x", "a<x", "(x)", '\\"a', "a\\b"]


def refused(value: str, place: Place) -> bool:
    try:
        check("--name", value, place)
    except UnsafeValue as error:
        assert "--name" in str(error)
        return True
    return False


@pytest.mark.parametrize("place", Place)
@pytest.mark.parametrize("value", ACTS)
def test_what_acts_anywhere_is_refused_everywhere(value: str, place: Place) -> None:
    assert refused(value, place)
    assert refused(QUOTE, place) or place is Place.SHAPES


@pytest.mark.parametrize("value", EVALUATED)
def test_what_eval_acts_on_is_text_between_quotes_only(value: str) -> None:
    assert not refused(value, Place.QUOTED)
    assert refused(value, Place.EVAL)
    assert refused(value, Place.TAG)


@pytest.mark.parametrize("value", ["a,b", "a b", "a\u00a0b", "a\u3000b"])
def test_what_separates_tags_is_refused_in_a_tag_only(value: str) -> None:
    assert not refused(value, Place.EVAL)
    with pytest.raises(UnsafeValue, match="a comma or a blank"):
        check("--name", value, Place.TAG)


def test_the_value_is_not_printed() -> None:
    for place in Place:
        with pytest.raises(UnsafeValue) as caught:
            check("--name", "https://user:secret@host/$x", place)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["input_tensor:0", "serving_default_x:0;Partitioned:0", "a/b.c-1"])
def test_names_that_real_files_have_are_exported(name: str) -> None:
    check("name", name, Place.NAME)


@pytest.mark.parametrize("name", ["", "a'b", "{a}", "größe", "a" * (NAME_LENGTH + 1)])
def test_other_names_are_not(name: str) -> None:
    assert refused(name, Place.NAME)


@given(st.text("ab'\"\\{}()[]:;, \n", max_size=12))
def test_a_name_is_one_key_of_a_python_literal(name: str) -> None:
    if not refused(name, Place.NAME):
        assert ast.literal_eval(f'{{"{name}": (1, 2)}}') == {name: (1, 2)}


@pytest.mark.skipif(SHELL is None, reason="no shell here")
@settings(max_examples=60)
@given(st.text("x \\\"$`;\n&|<>()'#!~*{}", max_size=8))
def test_eval_starts_nothing_of_what_is_let_through(tmp_path: Path, value: str) -> None:
    if refused(value, Place.EVAL):
        return
    program = tmp_path / "x"
    program.write_text(f"#!/bin/sh\n: > '{tmp_path}/ran'\n")
    program.chmod(0o755)
    script = f'export CMD=": {value}"\neval "$CMD"'
    run(tmp_path, script)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]


@pytest.mark.skipif(SHELL is None, reason="no shell here")
@settings(max_examples=60)
@given(
    st.text("x \\\"$`;\n&|<>()'#!~*{}", max_size=8), st.sampled_from([Place.ESCAPED, Place.SHAPES])
)
def test_nothing_acts_where_the_engine_escapes_quotes(
    tmp_path: Path, value: str, place: Place
) -> None:
    if refused(value, place):
        return
    program = tmp_path / "x"
    program.write_text(f"#!/bin/sh\n: > '{tmp_path}/ran'\n")
    program.chmod(0o755)
    escaped = value.replace('"', '\\"')  # As MLC does.
    run(tmp_path, f'export KEY="{escaped}"\nprintf %s "$KEY" > kept')
    assert (tmp_path / "kept").read_text() == value.replace("\\\\", "\\")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "x"]
    (tmp_path / "kept").unlink()


@pytest.mark.parametrize("place", [Place.URL, Place.FILE])
@pytest.mark.parametrize("character", " '\"`$\\;|<>()\t\n")
def test_no_shell_character_is_part_of_a_url_or_a_file_name(place: Place, character: str) -> None:
    assert refused(f"https://h/a{character}b", place)


def test_a_url_is_spelled_as_rfc_3986_has_it() -> None:
    check("URL", "https://u:p%40w@[::1]:8/a-b_c.d~e/f%20g?x=1&y=a/b?c#d!*+,@", Place.URL)
    for character, spelled in ((" ", "%20"), ("é", "%C3%A9"), ("^", "%5E"), (";", "%3B")):
        with pytest.raises(UnsafeValue, match=f"spell as {spelled}"):
            check("URL", f"https://h/a{character}b", Place.URL)


@pytest.mark.skipif(SHELL is None, reason="no shell here")
@settings(max_examples=60)
@given(st.text("x \\\"$`;\n|<>()'#!~*{}[]?", max_size=8), st.sampled_from([Place.URL, Place.FILE]))
def test_eval_starts_nothing_of_an_unquoted_word(tmp_path: Path, value: str, place: Place) -> None:
    if refused(f"h/{value}", place):
        return
    program = tmp_path / "x"
    program.write_text(f"#!/bin/sh\n: > '{tmp_path}/ran'\n")
    program.chmod(0o755)
    run(tmp_path, f'export CMD=": h/{value}"\neval "$CMD"')
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]


def run(tmp_path: Path, script: str) -> None:
    """Run `script` in a real shell that finds programs in `tmp_path` alone."""
    subprocess.run(
        [str(SHELL), "-c", script],
        env={"PATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
