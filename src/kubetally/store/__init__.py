"""What Kubetally stores: metadata in SQL, booked days in a lake, and backups. Imports `domain`, `ledger.ports`."""
