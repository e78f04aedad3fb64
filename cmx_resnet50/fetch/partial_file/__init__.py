"""A file that is not complete yet: its bytes, its journal, and its digests while it grows."""
