"""What Kubetally stores: metadata in SQL, booked days in a lake. Imports `domain`, `ledger.ports`."""
