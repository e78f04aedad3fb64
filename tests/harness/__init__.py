"""The stage for engine-level tests: a local internet, a real ``cm``, and files to serve.

The tests stand where a user behind a company proxy stands. `Origin` is that proxy and, at
once, every host behind it; `CM` runs the real ``cm`` in a clean process; `Installation` is
a virtual environment made from the built wheel; `models` writes small files of the true
formats. ``tests/conftest.py`` joins them into fixtures.
"""
