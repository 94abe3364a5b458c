"""Collecting: which days are due, asking for them, and putting them into the lake."""
