"""What people and old clients read: text, tables, bodies. Imports `domain`; no client, table or web framework."""
