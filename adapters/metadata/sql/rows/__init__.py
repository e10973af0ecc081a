"""Rows as values, and queries that several repositories share."""
