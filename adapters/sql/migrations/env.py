"""What Alembic runs. The connection, and the transaction around all of it, are the caller's."""

from alembic import context

from adapters.sql.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
