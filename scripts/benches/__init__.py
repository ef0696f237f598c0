"""One bench a module: `TITLE`, and `run()` that returns its figures."""
