"""Metadata in a SQL database, over SQLAlchemy Core."""
