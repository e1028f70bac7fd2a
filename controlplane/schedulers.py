"""Schedulers of one's own, found by the entry point group `berth.schedulers`. A broken one is said aloud, and left."""

from importlib.metadata import entry_points

import structlog

from controlplane.core.placement import custom

GROUP = "berth.schedulers"

_log = structlog.get_logger(__name__)


def load() -> None:
    """Load what is installed: each entry point is a class (or function) that is called without arguments."""
    for entry in entry_points(group=GROUP):
        try:
            scheduler = entry.load()()
        except Exception:  # noqa: BLE001 - somebody else's code; the control plane starts without it
            _log.exception("a scheduler cannot be loaded", scheduler=entry.name)
            continue
        if entry.name == custom.BUILT_IN or not callable(getattr(scheduler, "place", None)):
            _log.error("a scheduler has no place() or takes the built-in's name", scheduler=entry.name)
            continue
        custom.installed[entry.name] = scheduler
