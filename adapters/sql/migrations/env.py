"""The environment that Alembic runs. The connection, and the transaction around all of it, are the caller's.

Or, offline, the statements are written."""

from alembic import context

from adapters.sql.tables import METADATA

given = context.config.attributes
if context.is_offline_mode():
    context.configure(dialect_name=given["dialect"], output_buffer=given["written"], literal_binds=True)
else:
    context.configure(connection=given["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
