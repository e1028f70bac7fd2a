"""Which HAProxy the tests use, and whether there is one that is new enough: `scripts/haproxy` says so."""

import os
import subprocess
from pathlib import Path

import pytest

PROGRAM = os.environ.get("BERTH_HAPROXY", "haproxy")


def why_not(program: str) -> str:
    """What is missing, in one sentence; nothing is installed for a program that is named."""
    script = Path(__file__).parents[1] / "scripts/haproxy"
    named = {**os.environ, "BERTH_HAPROXY": program}
    return subprocess.run([script], env=named, capture_output=True, text=True, check=True).stderr.strip()


WHY_NOT = why_not(PROGRAM)
needs_haproxy = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
