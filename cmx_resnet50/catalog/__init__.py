"""Which file a request means: the one reader of the table and the variations in ``_cm.json``."""
