"""The accounting: pure and exact. Imports the standard library without clock, environment, logging or async."""
