"""Settings for all tests: the same examples every time, and no clock that a busy machine could run against."""

from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")
