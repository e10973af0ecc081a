"""Alembic's environment. Uses the caller's connection and transaction; offline, it writes the statements."""

from alembic import context

from adapters.sql.tables import METADATA

attributes = context.config.attributes
if context.is_offline_mode():
    context.configure(dialect_name=attributes["dialect"], output_buffer=attributes["written"], literal_binds=True)
else:
    context.configure(connection=attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
