"""What hypothesis tries is the same everywhere: on a laptop and in CI, in one test alone and in the run of all."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
DRAWN = """
import sys
sys.path[:0] = sys.argv[1:]
import search
if len(sys.argv) > 2:
    import numbers_of_ours
search.set_up()
from hypothesis import given, strategies as st

@given(st.tuples(st.lists(st.integers()), st.text(), st.sampled_from(range(1000))))
def draw(example):
    print(ascii(example))

draw()
"""


def drawn(*paths: Path, **environment: str) -> str:
    """The examples of a test in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    command = [sys.executable, "-c", DRAWN, *map(str, paths)]
    ran = subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=True, timeout=60)
    return ran.stdout


def test_what_is_tried_is_the_same_in_ci_and_whatever_else_is_imported(tmp_path: Path) -> None:
    (tmp_path / "numbers_of_ours.py").write_text(f"NUMBERS = {[n * n + 77_777 for n in range(300)]}")
    alone = drawn(TESTS)
    assert alone.count("\n") == 100
    assert drawn(TESTS, tmp_path, CI="true") == alone
