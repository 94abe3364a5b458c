"""Views of the ledger as Ibis expressions over the lake's columns. Imports domain, and the columns of store.lake."""
