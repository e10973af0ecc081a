"""Clients and suites that others wrote, against a server.

`make test` runs the daily part, `make conformance` all clients, `make s3-tests SUITE=<folder>` the suite ceph/s3-tests,
which is not part of this project.
"""
