"""The images of the two programs have the libraries that the programs import."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = {"agent", "controlplane", "wire", "berth"}
COMES_WITH = {"multidict": "aiohttp", "requests": "docker", "urllib3": "docker", "yarl": "aiohttp"}
"""Imported by name, and a dependency of what stands in the file."""


def imported(folder: Path) -> set[str]:
    names = set()
    for module in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return names - OURS - sys.stdlib_module_names


@pytest.mark.parametrize("program", ["agent", "controlplane"])
def test_an_image_has_what_its_program_imports(program: str) -> None:
    dockerfile = (ROOT / f"compose/images/{program}/Dockerfile").read_text()
    [line] = re.findall(r"--find-links /wheelhouse((?:[ \\\n]|[a-z0-9-])+)", dockerfile)
    installed = {name.replace("-", "_") for name in line.split() if name != "\\"}
    wanted = {COMES_WITH.get(name, name) for name in imported(ROOT / program) | imported(ROOT / "wire")}
    assert wanted - {"botocore"} <= installed
    assert program == "agent" or "botocore" in installed
