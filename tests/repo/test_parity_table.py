"""docs/parity.md says what Amazon's agent does and what ours does; each row names a test that is there."""

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "parity.md"

SCENARIOS = """
TestDockerStopTimeout TestPerContainerStopTimeout TestGranularStopTimeout TestSignalEvent TestInitOOMEvent
TestMemoryOverCommit TestSwapConfigurationTask TestTaskLevelVolume TestStartStopWithSecurityOptionNoNewPrivileges
TestShutdownOrder TestDependencyHealthCheck TestDependencyComplete TestDependencyStart TestDependencySuccess
TestDependencySuccessErrored TestDependencySuccessTimeout TestDependencyHealthyTimeout TestMultipleContainerDependency
TestHostResourceManagerTrickleQueue TestHostResourceManagerResourceUtilization
TestHostResourceManagerStopTaskNotBlockWaitingTasks TestHostResourceManagerLaunchTypeBehavior
TestTaskStopVerificationACKResponder_StopsSpecificTasks
TestTaskStopVerificationACKResponder_StopsTaskContainersAndResources
TestTaskResourceDependencyOnRestart TestEngineSynchronize TestTaskCleanup TestSweepContainer
TestTaskStopWhenPullImageFail TestInvalidImageInteg TestImageWithDigestInteg TestPullContainerManifestInteg
TestPullContainerWithAndWithoutDigestInteg TestStartStopUnpulledImage TestStartStopUnpulledImageDigest
TestManifestPulledDoesNotDependOnContainerOrdering TestContainerHealthCheck TestStartStopWithCredentials
TestStartStopWithRuntimeID TestHostVolumeMount TestLabels TestLogDriverOptions TestNetworkModeNone TestNetworkModeHost
TestNetworkModeBridge TestPortForward TestMultiplePortForwards TestDynamicPortForward TestMultipleDynamicPortForward
TestLinking TestVolumesFromRO TestSharedAutoprovisionVolume TestSharedDoNotAutoprovisionVolume
TestIntegImageCleanupHappyCase TestIntegImageCleanupThreshold TestImageWithSameNameAndDifferentID
TestImageWithSameIDAndDifferentNames TestRateLimiterIntegration TestMetadataHandler TestListMultipleTasks
TestGetTaskByTaskArn TestGetTaskByDockerID TestBackendMismatchMapping TestPProfFlag TestStatsEngineWithNewContainers
TestStatsEngineWithDockerTaskEngine TestStorageStats
""".split()  # noqa: SIM905 - a list to read
"""Integration tests of amazon-ecs-agent that can be asked of another agent from outside."""

SAME = re.compile(r"the same\b")


def rows() -> list[list[str]]:
    """Scenario, Amazon's, ours, why, tests."""
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| Test")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@functools.cache
def functions_of(path: Path) -> frozenset[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.parse(path.read_text()).body if isinstance(node, functions))


def named(cell: str) -> list[tuple[Path, str]]:
    """(file, function) of every test in a cell."""
    found = re.findall(r"`([\w/]+\.py)::(test_\w+)`", cell)
    return [(ROOT / "tests" / path, function) for path, function in found]


def test_every_scenario_has_one_row() -> None:
    scenarios = [row[0] for row in rows()]
    assert len(set(scenarios)) == len(scenarios)
    assert set(SCENARIOS) <= set(scenarios)


def test_every_row_says_what_both_do_and_which_test_shows_it() -> None:
    for scenario, amazons, ours, _, tests in rows():
        assert amazons, scenario
        assert ours, scenario
        assert named(tests), scenario
        for path, function in named(tests):
            assert path.is_file(), f"{scenario}: there is no {path}"
            assert function in functions_of(path), f"{scenario}: {path.name} has no {function}"


def test_a_difference_has_its_reason() -> None:
    bare = [scenario for scenario, _, ours, why, _ in rows() if not SAME.search(ours) and not why]
    assert bare == []


def test_a_test_that_names_a_scenario_is_in_its_row() -> None:
    """A docstring that begins with Amazon's name of a test belongs to the table."""
    shown = {(path, function) for *_, tests in rows() for path, function in named(tests)}
    missing = []
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = re.match(r"Test[A-Z]\w+", ast.get_docstring(node) or "")
                if names and (path, node.name) not in shown:
                    missing.append(f"{path.name}::{node.name}: {names[0]}")
    assert missing == []
