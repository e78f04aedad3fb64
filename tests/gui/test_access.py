"""Who may use the page: the token of its URL, and names that are this machine's."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from cmx_resnet50.gui import access

TOKEN = "abc-DEF_123"


def allowed(
    token: str = TOKEN,
    host: str = "127.0.0.1:8501",
    address: str = "127.0.0.1",
    expected: str = TOKEN,
) -> bool:
    return not access.problem(token, host, address, expected=expected)


def test_tokens_are_long_and_differ() -> None:
    tokens = {access.new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) >= 40 for token in tokens)


def test_the_token_admits() -> None:
    assert allowed()


@pytest.mark.parametrize("token", ["", "abc", TOKEN + "x", TOKEN.lower(), "größe", "\ud800"])
def test_any_other_does_not(token: str) -> None:
    assert not allowed(token)


def test_a_page_without_a_token_admits_nobody() -> None:
    assert not allowed("", expected="")


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8501", "localhost.", "192.168.0.7:80", "[::1]:8501", "[fe80::1]"],
)
def test_addresses_and_this_machine_are_answered(host: str) -> None:
    assert allowed(host=host)
    assert allowed(host=f"{socket.gethostname()}:8501")


def test_a_name_that_was_given_is_answered() -> None:
    assert allowed(host="node-1.example:8501", address="Node-1.example")


@pytest.mark.parametrize(
    "host",
    [
        "",
        ":8501",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::1",
        "a b",
    ],
)
def test_other_names_are_not(host: str) -> None:
    assert not allowed(host=host)
    assert not allowed(host=host, address="0.0.0.0")


def test_what_the_page_starts_does_not_inherit_the_token() -> None:
    program = (
        "import os, subprocess, sys\n"
        "from cmx_resnet50.gui import access\n"
        "code = f'import os; print(os.environ.get({access.VARIABLE!r}))'\n"
        "subprocess.run([sys.executable, '-c', code], check=True)\n"
        "print(access.TOKEN)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, access.VARIABLE: TOKEN, "PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["None", TOKEN]
