"""Which file a request stands for: reads the table and the variations of ``_cm.json``."""
