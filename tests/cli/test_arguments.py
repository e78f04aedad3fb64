"""The order of arguments: options may be anywhere, also between positionals."""

from __future__ import annotations

from typing import Any

import pytest

from cmx_resnet50.cli.failure import UsageError
from cmx_resnet50.cli.parser import parser


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "get _onnx --offline _dummy-weights",
            {"variations": ["_onnx", "_dummy-weights"], "offline": True},
        ),
        ("prefetch A --jobs 2 B", {"requests": ["A", "B"], "jobs": 2}),
        ("list _onnx --json _ncnn", {"request": ["_onnx", "_ncnn"], "json": True}),
        ("bundle export DIR -s _tf", {"requests": ["_tf"], "silent": True}),
        ("publish A --to s3://b B", {"requests": ["A", "B"], "to": "s3://b"}),
        ("reshape IN --batch 2 OUT", {"batch": 2}),
        ("docs --output FILE python", {"page": "python"}),
        ("get --offline -- -x", {"variations": ["-x"], "offline": True}),
        ("prefetch --all", {"requests": [], "all": True}),
    ],
)
def test_an_option_may_be_between_positionals(line: str, expected: dict[str, Any]) -> None:
    parsed = vars(parser().parse_args(line.split()))
    assert {name: parsed[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("bundle export", "the following arguments are required: TARGET"),
        ("get _onnx --nothing _tf", "unrecognized arguments: --nothing"),
        ("inspect --json", "the following arguments are required: FILE"),
    ],
)
def test_an_error_names_only_what_is_wrong(line: str, text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parser().parse_args(line.split())
    assert raised.value.text == text


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("gte _onnx", "get"),
        ("verifx", "verify"),
        ("bundle exportx x", "export"),
        ("docs newtorks", "networks"),
        ("get --too x", "--to"),
        ("get --too=x --ofline", "--to and --offline"),
        ("--print-completion bsh", "bash"),
    ],
)
def test_a_name_that_is_near_is_suggested(line: str, meant: str) -> None:
    with pytest.raises(UsageError) as raised:
        parser().parse_args(line.split())
    assert raised.value.text.endswith(f". Did you mean {meant}?")


@pytest.mark.parametrize("line", ["nothing", "get --zzzzz", "docs qqq"])
def test_nothing_is_suggested_that_is_not_near(line: str) -> None:
    with pytest.raises(UsageError) as raised:
        parser().parse_args(line.split())
    assert "Did you mean" not in raised.value.text
