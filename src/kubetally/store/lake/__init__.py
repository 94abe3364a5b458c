"""The rows and assets of collected days in Delta tables, on a disk or in an object store."""
