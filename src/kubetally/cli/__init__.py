"""The command line: one module a command. Imports `domain`, `ledger`, `present` and `wiring`, heavy modules where they
are used, so that --help is quick."""
