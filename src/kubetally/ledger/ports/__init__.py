"""What the ledger needs from outside: sources, stores, accounts. Imports `domain` only."""
