"""How hypothesis looks for examples: the same ones everywhere in `make test`, fresh and many more in `make soak`.

What is drawn follows from the test alone: neither from the machine (hypothesis has a profile of its own for CI), nor
from an earlier run, nor from what else has been imported. A failing example is printed well within a test's timeout.
"""

from hypothesis import HealthCheck, Phase, settings
from hypothesis.internal.conjecture import engine, providers

CALM, SEARCH = "calm", "search"
SEARCH_TIMES = 20
"""How many times as many examples are tried in a search."""
SHRINKING_SECONDS = 60
"""Hypothesis takes 300, as long as a test may last: then the example that failed would be lost."""


def set_up() -> None:
    """Have hypothesis look so. `--hypothesis-profile search` has the last word."""
    engine.MAX_SHRINKING_SECONDS = SHRINKING_SECONDS  # documented as a thing to set ("Engine constants")
    nothing = providers.Constants()
    providers._get_local_constants = lambda: nothing  # else numbers in our source, as far as it is imported, are tried
    parent = settings.get_profile("default")
    shared = {
        "deadline": None,
        "print_blob": True,
        "report_multiple_bugs": False,
        "suppress_health_check": [HealthCheck.too_slow],
        "phases": set(Phase) - {Phase.explain},
    }
    settings.register_profile(CALM, parent, derandomize=True, database=None, **shared)
    settings.register_profile(SEARCH, parent, max_examples=SEARCH_TIMES * parent.max_examples, **shared)
    settings.load_profile(CALM)


def tries(count: int) -> int:
    """How many examples to try, of which `count` are enough for `make test`."""
    return count * SEARCH_TIMES if settings.get_current_profile_name() == SEARCH else count
