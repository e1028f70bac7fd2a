"""docs/api.md says what the tables say."""

import subprocess
import sys
from pathlib import Path

from controlplane.api.operations import READERS, REPORTS, WRITERS
from controlplane.api.refusals import REFUSED
from wire import ecs_shapes

ROOT = Path(__file__).parents[2]


def test_the_page_is_current():
    checked = subprocess.run(
        [sys.executable, "-P", ROOT / "scripts/api-doc", "--check"], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_every_operation_stands_on_it():
    page = (ROOT / "docs/api.md").read_text()
    assert [operation for operation in ecs_shapes.operations() if operation not in page] == []
    assert not REFUSED.keys() & {*READERS, *WRITERS, *REPORTS}
