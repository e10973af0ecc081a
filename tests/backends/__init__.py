"""The backends in containers: built from docker/backends, each on ports of 127.0.0.1.

A backend is a module here with `start`, which returns its address when it answers, and `settings`, which says it as the
lines of a .env; its fixture is in `fixtures.py`. A test run starts what its tests need once, all at the same time, and
removes it at its end (`run.py`); `python -m tests.backends up` starts them for a developer.
"""
