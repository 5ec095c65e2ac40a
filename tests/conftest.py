"""Settings for all tests: the same examples every time, and no clock that a busy machine could run against."""

import os

from hypothesis import HealthCheck, settings

# the SDK reads them when it is imported; nobody waits in a test
for _name, _value in {"FLYWHEEL_SDK_TOTAL_RETRIES": "2", "FLYWHEEL_SDK_BACKOFF_FACTOR": "0"}.items():
    os.environ.setdefault(_name, _value)

settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
