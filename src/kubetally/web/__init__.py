"""The HTTP faces: Litestar applications and their server. Imports `domain`, `ledger`, `present`."""
