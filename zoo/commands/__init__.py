"""One file per command of `python -m zoo`. Each is imported only when its command runs."""
