"""A site of several machines: real nginx, namespaces that stand for hosts, shared folders."""
