"""argparse's parser, with errors that name the subcommand and show its usage."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from cmx_resnet50.cli.failure import UsageError


class ArgumentParser(argparse.ArgumentParser):
    """Raises `UsageError` in place of ending the process."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Refuse what this subcommand does not know; argparse leaves that to the top parser."""
        parsed, extras = super().parse_known_args(args, namespace)
        if extras:
            self.error(f"unrecognized arguments: {' '.join(extras)}")
        return parsed, extras

    def error(self, message: str) -> NoReturn:
        """Raise the error for a wrong command line.

        Raises
        ------
        UsageError
            Always.
        """
        raise UsageError(self.prog, self.format_usage(), message)
