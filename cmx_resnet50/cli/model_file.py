"""``inspect``, ``reshape``, ``convert``: model files by themselves, without store or network."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmx_resnet50.cli.arguments import batch, command, json_switch, path
from cmx_resnet50.cli.output import print_error, print_json, print_line, print_table, tensor_text

if TYPE_CHECKING:
    from cmx_resnet50.formats.facts import ModelFacts

OUT = "file to write; an existing file is kept, and is an error if it differs"


def add(commands: Any) -> None:
    """Add the subcommands."""
    inspect = command(
        commands,
        "inspect",
        _inspect,
        "print the facts of model files: format, opset, inputs, outputs, precision",
        "Reads ONNX, TensorFlow frozen graphs, TFLite, PyTorch and ncnn, whatever the\n"
        "name of the file. Nothing in a file is executed, and weights are not loaded.\n"
        "Exits with 1 if a file is not a model, is damaged, or is too large or too deep\n"
        "to be read here; the message says which.",
        examples="cmx-resnet50 inspect resnet50_v1.onnx\n"
        "cmx-resnet50 inspect --json --check *.onnx",
        page="choose",
    )
    inspect.add_argument("files", nargs="+", type=path, metavar="FILE", help="a model file")
    inspect.add_argument(
        "--check", action="store_true", help="run the full checker too (ONNX files; slower)"
    )
    _key_option(inspect)
    json_switch(inspect)

    reshape = command(
        commands,
        "reshape",
        _reshape,
        "write a copy of a model with its batch size fixed",
        "For ONNX and TensorFlow frozen graphs. Weights and opset stay as they are.",
        examples="cmx-resnet50 reshape resnet50_v1.onnx batch8.onnx --batch 8",
        page="choose",
    )
    reshape.add_argument("source", type=path, metavar="IN", help="model file to read")
    reshape.add_argument("target", type=path, metavar="OUT", help=OUT)
    reshape.add_argument("--batch", type=batch, required=True, metavar="N", help="images per run")
    _force_switch(reshape)
    _result_switches(reshape)

    convert = command(
        commands,
        "convert",
        _convert,
        "write PyTorch weights in the container that current torch.load reads",
        "For state_dicts in the tar or legacy pickle container, such as the published\n"
        "resnet50-19c8e357.pth. The tensors stay the same. PyTorch is not needed.",
        examples="cmx-resnet50 convert resnet50-19c8e357.pth resnet50.pth",
        page="callers",
    )
    convert.add_argument("source", type=path, metavar="IN", help="model file to read")
    convert.add_argument("target", type=path, metavar="OUT", help=OUT)
    _key_option(convert)
    _force_switch(convert)
    _result_switches(convert)


def _key_option(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--key", metavar="NAME", help="select one state_dict of a PyTorch checkpoint with several"
    )


def _force_switch(to: argparse.ArgumentParser) -> None:
    to.add_argument("--force", action="store_true", help="replace a file that is at OUT")


def _result_switches(to: argparse.ArgumentParser) -> None:
    to.add_argument("-q", "--quiet", action="store_true", help="print the path of OUT only")
    json_switch(to)


def _inspect(parsed: argparse.Namespace) -> int:
    from cmx_resnet50.api import inspect
    from cmx_resnet50.errors import Resnet50Error

    found, failed = [], 0
    for file in parsed.files:
        row: dict[str, Any] = {"path": str(file)}
        found.append(row)
        facts: ModelFacts | None = None
        try:
            facts = inspect(file, key=parsed.key)
            row["size"] = file.stat().st_size
            row.update(asdict(facts), opset=facts.opset)
            if parsed.check:
                row["check"] = _checked(file, facts)
        except (Resnet50Error, OSError) as error:
            # The text of an OSError names the file after its number.
            text = str(error) if isinstance(error, Resnet50Error) else _os_text(file, error)
            row["error"] = text
            print_error(text)
            failed += 1
        if facts is not None and not parsed.json:
            _show(row, facts)
    if parsed.json:
        print_json(found)
    return 1 if failed else 0


def _os_text(file: Path, error: OSError) -> str:
    from cmx_resnet50.limits import because

    return f"{file} cannot be read {because(error, '')}"


def _checked(file: Path, facts: ModelFacts) -> str:
    if facts.format != "onnx":
        return f"no further check for {facts.format}"
    from cmx_resnet50.formats.facts import Damaged
    from cmx_resnet50.formats.onnx.check import check_onnx
    from cmx_resnet50.formats.read import of_file

    try:
        check_onnx(file)
    except Damaged as error:
        raise of_file(error, file, facts.format) from None
    return "passed"


def _show(row: dict[str, Any], facts: ModelFacts) -> None:
    print_line(row["path"])
    rows = [("format", facts.format)]
    rows += [(name, str(value)) for name, value in facts.version.items()]
    rows += [("producer", facts.producer)] if facts.producer else []
    for kind, tensors in (("input", facts.inputs), ("output", facts.outputs)):
        rows += [(kind, tensor_text(one.name, one.shape, one.dtype)) for one in tensors]
    rows += [("layout", facts.layout)] if facts.layout else []
    rows += [("classes", str(facts.classes))] if facts.classes is not None else []
    rows += [("precision", facts.precision)] if facts.precision else []
    if facts.parameter_count is not None:
        size = "" if facts.parameter_bytes is None else f", {facts.parameter_bytes:,} bytes"
        rows.append(("parameters", f"{facts.parameter_count:,}{size}"))
    rows.append(("bytes", f"{row['size']:,}"))
    rows += [("metadata", f"{key}: {value}") for key, value in facts.metadata.items()]
    rows += [("requires", need) for need in facts.requires]
    rows += [("warning", warning) for warning in facts.warnings]
    rows += [("check", row["check"])] if "check" in row else []
    print_table(rows, indent="  ")


def _reshape(parsed: argparse.Namespace) -> None:
    from cmx_resnet50.api import reshape

    reshape(parsed.source, parsed.target, batch=parsed.batch, force=parsed.force)
    _print_result(parsed, {"batch": parsed.batch})


def _convert(parsed: argparse.Namespace) -> None:
    from cmx_resnet50.api import convert

    convert(parsed.source, parsed.target, key=parsed.key, force=parsed.force)
    _print_result(parsed, {})


def _print_result(parsed: argparse.Namespace, facts: Mapping[str, Any]) -> None:
    """Print the file that was written."""
    size = parsed.target.stat().st_size
    if parsed.json:
        print_json({"path": str(parsed.target), "bytes": size, **facts})
    elif parsed.quiet:
        print_line(str(parsed.target))
    else:
        more = "".join(f", {name} {value}" for name, value in facts.items())
        print_line(f"{parsed.target}: {size:,} bytes{more}")
