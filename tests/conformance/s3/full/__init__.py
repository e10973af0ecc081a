"""Clients that take longer. They are collected where pytest is asked for tests/conformance, or a part of it."""
