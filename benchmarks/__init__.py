"""How fast, how small, how often: each figure beside a peer's, measured in the same run.

``python -m benchmarks [--quick] [name…]`` writes ``results/<name>.json`` and the tables of
``results/README.md``.
"""
