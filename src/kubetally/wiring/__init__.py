"""Builds every object from the settings, opens and closes it. The one place that knows all parts."""
