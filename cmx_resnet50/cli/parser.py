"""The command line: every subcommand with its arguments and its help."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

import cmx_resnet50
from cmx_resnet50.cli import (
    bundle,
    docs,
    doctor,
    get,
    listing,
    mlc,
    model_file,
    output,
    prefetch,
    publish,
    store,
)
from cmx_resnet50.cli.argument_parser import ArgumentParser
from cmx_resnet50.cli.failure import DOCUMENTED

_ABOUT = """\
Get the ResNet-50 files of MLPerf: requested by variations, fetched once,
verified. The same library as the CM script get-ml-model-resnet50, without CM."""

_MORE = f"""\
A request is a list of CM's variations, separated by commas, such as
_onnx,_opset-8; what is omitted takes its default. `cmx-resnet50 list --all`
lists all requests that have a file.

Files are kept in a store, by default $CM_REPOS/resnet50-store, or
~/CM/resnet50-store without CM_REPOS. Options are read from the environment:
CM_RESNET50_STORE (another folder), CM_RESNET50_MIRROR (your site's own copies),
CM_RESNET50_OFFLINE=yes (work offline), and others: see Options in
`cmx-resnet50 docs reference`. Proxies come from HTTPS_PROXY and NO_PROXY.

Examples:
  cmx-resnet50 get _dummy-weights --to random
  cmx-resnet50 get _pytorch --to models
  cmx-resnet50 inspect models/resnet50-19c8e357.pth
  cmx-resnet50 bundle export models.tar --all
  cmx-resnet50 get --help

{DOCUMENTED}
Details: cmx-resnet50 docs start"""


SHELLS = ("bash", "zsh", "fish")
"""Those for which there is completion."""


def parser() -> argparse.ArgumentParser:
    """Return the parser.

    Of what it parses, `run` is the function to call, and `error` raises the error for a wrong
    command line.
    """
    top = ArgumentParser(
        prog="cmx-resnet50",
        description=_ABOUT,
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    top.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=SHELLS,
        metavar="SHELL",
        help=f"print a completion script for {', '.join(SHELLS)} and exit",
    )
    commands: Any = top.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for group in (listing, get, prefetch, bundle, publish, store, model_file, mlc, doctor, docs):
        group.add(commands)
    return top


class _PrintCompletion(argparse.Action):
    """Prints a script for the user's shell; what makes it is imported only here."""

    def __call__(
        self, parser: argparse.ArgumentParser, _: object, shell: Any, __: object = None
    ) -> NoReturn:
        from cmx_resnet50.cli import completion

        output.print_line(completion.script(parser, shell).rstrip())
        parser.exit()


class _Version(argparse.Action):
    """Prints the version, which takes 10 ms to look up: too much for every other command."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        output.print_line(f"{parser.prog} {cmx_resnet50.__version__}")
        parser.exit()
