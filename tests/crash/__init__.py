"""Kill -9 at any moment: at each point of the protocol by name, and at random under load.

`python -m tests.crash` runs all of it. A server under test is `drivebay serve` with points put around its parts
(`server.py`); nothing in the production code knows of them.
"""
