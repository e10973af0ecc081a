"""SQL databases: connections, tables, migrations."""
