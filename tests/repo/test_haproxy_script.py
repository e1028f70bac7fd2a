"""`scripts/haproxy`: an HAProxy that is too old is none."""

from pathlib import Path

import pytest
from haproxy_here import why_not


@pytest.mark.parametrize(
    ("says", "complaint"),
    [
        ("HA-Proxy version 1.8.4-1deb3d 2018/02/08", " is HAProxy 1.8, which is too old: "),
        ("HAProxy version 2.4.9-1ubuntu1 2021/11/23 - https://haproxy.org/", " is HAProxy 2.4, which is too old: "),
        ("HAProxy version 2.5.0-f2e0833 2021/11/23 - https://haproxy.org/", ""),
        ("HAProxy version 3.0.1-deadbee 2024/06/10 - https://haproxy.org/", ""),
        ("nginx version: nginx/1.22.1", " is no HAProxy: "),
    ],
)
def test_its_version_is_looked_at(says: str, complaint: str, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    said = why_not(str(program))
    assert (complaint in said, said.count("\n")) == (True, 0)
    assert bool(said) == bool(complaint)


def test_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert why_not(str(tmp_path / "none")).startswith(f"There is no {tmp_path}/none: ")
