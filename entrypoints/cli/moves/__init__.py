"""Commands that move bytes and rows: between storages, databases and files."""
