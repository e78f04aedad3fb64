"""Test infrastructure: a local internet, the real engines, and model files.

The network
    `server`: the one HTTP server of all tests, which is also the HTTP, HTTPS and SOCKS 5 proxy in
    front of every host. `origin`: a server with a file for each URL. `file_server`: a server of
    one file with a plan of answers. `reply` and `faults`: what is answered, as data. `authority`
    certifies the hosts; `connection` and `socks` speak the protocols. `seaweed` is a real S3 store.
The engines
    `build`: environments with the built wheel. `cm`, `mlc`: one user of an engine in it.
The files
    `artifacts`: the published files. `models` writes small ones of the same formats, with
    `torchscript` and `edgetpu`; `model_files` finds real ones.
Waiting
    `waiting`: for a condition, with a guard against hangs. Tests never assert wall-clock time.

``tests/conftest.py`` combines them into fixtures.
"""
