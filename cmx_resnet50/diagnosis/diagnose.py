"""All checks in the order in which a reader looks: package, engines, options, store, network."""

from __future__ import annotations

from cmx_resnet50.diagnosis import cm, mlc, network, options, store, versions
from cmx_resnet50.diagnosis.finding import Check, Finding, run


def diagnose(*, online: bool = False) -> list[Finding]:
    """Return what all checks find; `online` also asks each source for its first bytes."""
    checks: list[tuple[str, Check]] = [(versions.AREA, versions.own)]
    for engine in (cm, mlc):
        if engine.installed():
            checks += [
                (engine.AREA, check) for check in (engine.versions, engine.answers, engine.cache)
            ]
    checks += [(options.AREA, options.values)]
    valid = options.valid()
    if valid:
        checks.append((store.AREA, store.place))
    checks.append((network.AREA, network.settings))
    if valid:
        checks.append((network.AREA, network.mirrors))
    if valid and online:
        checks.append((network.AREA, network.sources))
    return [finding for area, check in checks for finding in run(area, check)]
