"""The kinds of URL that a file can come from: one module a kind."""
