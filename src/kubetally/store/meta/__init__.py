"""Organizations and accounts in SQLite, MariaDB or PostgreSQL."""
