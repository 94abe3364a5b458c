"""Properties are tried without a deadline for one example: a busy machine is no failure."""

from hypothesis import settings

settings.register_profile("without_deadline", deadline=None)
settings.load_profile("without_deadline")
