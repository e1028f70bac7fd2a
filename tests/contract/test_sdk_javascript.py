"""The AWS SDK for JavaScript, unmodified, knowing only an endpoint: waiters, paginators, dates and error classes."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from dev_program import ROOT, scripted

HERE = Path(__file__).parent / "javascript"
PLACE = ROOT / ".build/javascript"
INSTALL_SECONDS, STORY_SECONDS = 120, 180
NODE_MIN = 20


@pytest.fixture(scope="module")
def story() -> Path:
    """The story beside the locked SDK."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no Node.js with npm on this machine")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < NODE_MIN:
        pytest.skip(f"the SDK needs Node.js {NODE_MIN}, and this is {version.strip()}")
    shutil.copytree(HERE, PLACE, dirs_exist_ok=True)
    installed, lock = PLACE / "node_modules/.package-lock.json", PLACE / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=20000")
        try:
            done = subprocess.run(
                ["npm", "ci", *options],
                cwd=PLACE,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"the SDK does not come within {INSTALL_SECONDS} s")
        if done.returncode:
            pytest.skip(f"the SDK cannot be installed here: {done.stderr.strip().splitlines()[-1:]}")
    return PLACE / "story.mjs"


def test_a_story(story: Path, tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    keys = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1"}
    with scripted(tmp_path, "--healthy-after", "0s", "--start-delay", "20ms") as dev:
        environment = clean | keys | {"AWS_ENDPOINT_URL_ECS": dev.endpoint}
        told = subprocess.run(
            ["node", story], env=environment, capture_output=True, text=True, timeout=STORY_SECONDS, check=False
        )
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == {
        "pages": [2, 1],
        "tags": [{"key": "team", "value": "a"}],
        "exitCode": 7,
        "stopCode": "UserInitiated",
        "stoppedAtIsDate": True,
        "refused": [True, "Cluster not found."],
        "refusedByModel": [True, "count should be between 1 and 10."],
    }
