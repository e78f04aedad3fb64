"""All that a cache hit imports: the run's locks, its receipt, and the look at two inodes.

Standard library only, and nothing that the engine has not imported already.
"""
