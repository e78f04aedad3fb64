"""What the real ``cm`` delivers, loaded and run in the runtime that it is meant for."""
