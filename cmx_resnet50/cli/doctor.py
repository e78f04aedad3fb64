"""``doctor``: what is wrong with this installation, and the command that fixes it."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from cmx_resnet50.cli.arguments import command, json_switch
from cmx_resnet50.cli.output import print_json, print_line


def add(commands: Any) -> None:
    """Add the subcommand."""
    doctor = command(
        commands,
        "doctor",
        _doctor,
        "check the installation: which script answers, store, network",
        "Checks CM and MLC, if installed: versions, which script answers by tags and by\n"
        "uid, the index, damaged cache entries; then the store, proxies, certificates\n"
        "and mirrors. Nothing is changed without --fix. Exits with 1 if something is\n"
        "wrong, and prints the command that fixes it.",
        examples="cmx-resnet50 doctor\ncmx-resnet50 doctor --online\ncmx-resnet50 doctor --fix",
        page="notes",
    )
    doctor.add_argument(
        "--online", action="store_true", help="also request the first bytes of each source"
    )
    doctor.add_argument(
        "--fix",
        action="store_true",
        help="let CM run this script: list it first in repos.json, and rebuild the index",
    )
    json_switch(doctor)


def _doctor(parsed: argparse.Namespace) -> int:
    from cmx_resnet50.diagnosis import cm
    from cmx_resnet50.diagnosis.diagnose import diagnose

    done = cm.fix() if parsed.fix and cm.installed() else []
    if not parsed.json:
        for line in done:
            print_line(line)
    findings = diagnose(online=parsed.online)
    sound = all(finding.ok for finding in findings)
    if parsed.json:
        listed = [dataclasses.asdict(finding) for finding in findings]
        print_json({"sound": sound, "done": done, "findings": listed})
        return 0 if sound else 1
    for finding in findings:
        print_line(f"{'ok   ' if finding.ok else 'WRONG'} {finding.area}: {finding.what}")
        if finding.why:
            print_line(f"      why: {finding.why}")
        if finding.fix:
            print_line(f"      fix: {finding.fix}")
    wrong = sum(not finding.ok for finding in findings)
    print_line("sound" if sound else f"{wrong} of {len(findings)} findings are wrong")
    return 0 if sound else 1
