"""Ports: the interfaces that the use cases require, with the promises of both sides."""
