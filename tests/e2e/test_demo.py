"""`berth demo stop`, the real one: aws/amazon-ecs-agent#4106 on real containers, by the record that it writes and by
Docker's events as this test has recorded them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from berth_program import Berth, berth, containers, gone
from docker_events import CLOCKS_SECONDS, TASK_LABEL, DockerEvents

pytestmark = pytest.mark.docker

JOB_SECONDS = 12
SOON_SECONDS = 20
"""A container's start, a report, a host's admission: not when something else ends."""
CLEANED_WITHIN_SECONDS = 60


@pytest.fixture(scope="module")
def record() -> Iterator[DockerEvents]:
    record = DockerEvents(TASK_LABEL)
    yield record
    record.close()


EVENT_LAG_SECONDS = 2
"""Docker's `die` comes some 35 ms after the end of the process, more on a busy machine; containerd tells it before."""


def play(tmp: Path, *options: str, seconds: float = 300) -> tuple[Berth, list[dict[str, Any]]]:
    """Play a demo to its end; its output and its runs."""
    written = tmp / "record.json"
    with berth(
        "demo", "stop", "--json", str(written), "--report", str(tmp / "report.html"), *options, tmp=tmp / "t"
    ) as demo:
        assert demo.end(seconds) == 0, demo.output
        assert demo.left_behind() == []
    return demo, json.loads(written.read_text())["runs"]


@pytest.fixture(scope="module")
def demo(record: DockerEvents, tmp_path_factory: pytest.TempPathFactory) -> tuple[Berth, list[dict[str, Any]]]:
    """Both runs, as `make demo` plays them, with a shorter job."""
    del record  # it has to listen before the demo begins
    return play(tmp_path_factory.mktemp("demo"), "--long-job", f"{JOB_SECONDS}s")


@pytest.fixture(scope="module")
def eager(demo: tuple[Berth, list[dict[str, Any]]]) -> dict[str, Any]:
    return demo[1][0]


@pytest.fixture(scope="module")
def on_exit(demo: tuple[Berth, list[dict[str, Any]]]) -> dict[str, Any]:
    return demo[1][1]


class Seen:
    """What this test's own record of Docker's events says about the tasks of one run."""

    def __init__(self, record: DockerEvents, run: dict[str, Any]) -> None:
        self.tasks = {task["task"]: task for task in run["tasks"]}
        self.job = run["old_job"]["task"]
        self.starts = self._of(record.times("start"))
        self.terms = self._of(record.times("kill", signal="15"))
        self.exits = self._of(record.times("die"))
        self.clean_exits = self._of(record.times("die", exitCode="0"))
        self.deploy_at = self.terms[self.job] - run["old_job"]["signalled_seconds"]
        self.quick = [task for task in self.of(1) if task != self.job]

    def _of(self, times: dict[str, float]) -> dict[str, float]:
        return {task: at for task, at in times.items() if task in self.tasks}

    def of(self, revision: int) -> list[str]:
        return [task for task, members in self.tasks.items() if members["revision"] == revision]

    def host(self, task: str) -> str:
        host: str = self.tasks[task]["host"]
        return host

    def new_starts(self) -> list[str]:
        """New tasks in the order in which Docker started them."""
        return sorted(self.of(2), key=lambda task: self.starts[task])


def test_both_runs_are_the_deployment_of_4106(record: DockerEvents, demo: tuple[Berth, list[dict[str, Any]]]) -> None:
    assert [(run["release"], run["remedy"]) for run in demo[1]] == [("eager", None), ("on-exit", None)]
    for run in demo[1]:
        seen = Seen(record, run)
        assert len(seen.of(1)) == len(seen.of(2)) == 4
        assert sorted(seen.host(task) for task in seen.of(1)) == ["host-1", "host-1", "host-2", "host-2"]
        assert set(seen.terms) == set(seen.of(1))
        assert max(seen.terms.values()) < min(seen.exits.values()), "all at once"
        assert all(2 - CLOCKS_SECONDS < seen.exits[task] - seen.terms[task] < JOB_SECONDS for task in seen.quick)
        assert -CLOCKS_SECONDS < seen.exits[seen.job] - seen.terms[seen.job] - JOB_SECONDS < SOON_SECONDS
        assert set(seen.clean_exits) >= set(seen.of(1)), "nobody was killed"
        assert run["instances_peak"] == 3
        third_exit = max(seen.exits[task] for task in seen.quick)
        job_end = seen.exits[seen.job]
        assert third_exit < seen.deploy_at + run["host_joined_seconds"] < job_end


def test_eager_the_fourth_task_waits_for_the_job_beside_an_empty_host(
    record: DockerEvents, eager: dict[str, Any]
) -> None:
    seen = Seen(record, eager)
    *three, fourth = seen.new_starts()
    for exited, task in zip(sorted(seen.exits[task] for task in seen.quick), three, strict=True):
        assert exited - EVENT_LAG_SECONDS < seen.starts[task] < seen.exits[seen.job], "an exit, a start"
    assert -CLOCKS_SECONDS < seen.starts[fourth] - seen.exits[seen.job] < SOON_SECONDS
    assert seen.host(fourth) == seen.host(seen.job)
    assert "host-3" not in {seen.host(task) for task in seen.tasks}
    waited = seen.tasks[fourth]
    assert waited["placed_seconds"] < JOB_SECONDS / 2 < waited["pending_seconds"], "placed long before there was room"
    assert "still holds 1024 CPU and 7372 MiB" in eager["why_the_last_waited"]


def test_eager_the_phantom_is_that_of_4106(record: DockerEvents, eager: dict[str, Any]) -> None:
    seen = Seen(record, eager)
    third_exit = max(seen.exits[task] for task in seen.quick) - seen.deploy_at
    job_end = seen.exits[seen.job] - seen.deploy_at
    assert (eager["phantom_cpu_peak"], eager["phantom_memory_mib_peak"]) == (4096, 29488)
    steps = eager["phantom_steps"]
    ends = [step["seconds"] for step in steps[1:]] + [float("inf")]
    between = [
        (step["cpu"], step["memory_mib"])
        for step, end in zip(steps, ends, strict=True)
        if end > third_exit + EVENT_LAG_SECONDS and step["seconds"] < job_end - EVENT_LAG_SECONDS
    ]
    assert between == [(1024, 7372)], "from the third exit to the end of the job, and nothing else"
    last = steps[-1]
    assert (last["cpu"], last["memory_mib"]) == (0, 0)
    assert job_end - EVENT_LAG_SECONDS <= last["seconds"] < job_end + SOON_SECONDS
    expected = 7372 * sum(seen.exits[task] - seen.terms[task] for task in seen.of(1))
    assert eager["phantom_memory_mib_seconds"] == pytest.approx(expected, rel=0.2)


def test_on_exit_there_is_no_phantom_and_the_fourth_task_takes_the_third_host(
    record: DockerEvents, on_exit: dict[str, Any]
) -> None:
    seen = Seen(record, on_exit)
    phantom = ("phantom_cpu_peak", "phantom_memory_mib_peak", "phantom_cpu_seconds", "phantom_memory_mib_seconds")
    assert [on_exit[name] for name in phantom] == [0, 0, 0, 0]
    assert on_exit["phantom_steps"] == []
    assert [task for task in seen.of(2) if seen.host(task) == "host-3"]
    assert max(seen.starts[task] for task in seen.of(2)) < seen.exits[seen.job]
    joined_at = seen.deploy_at + on_exit["host_joined_seconds"]
    on_third = next(task for task in seen.of(2) if seen.host(task) == "host-3")
    assert seen.starts[on_third] > joined_at


def test_the_record_agrees_with_docker(record: DockerEvents, demo: tuple[Berth, list[dict[str, Any]]]) -> None:
    for run in demo[1]:
        seen = Seen(record, run)
        for task, members in seen.tasks.items():
            for name, times in (("running", seen.starts), ("signalled", seen.terms), ("exited", seen.exits)):
                told = members[f"{name}_seconds"]
                # What happens to new tasks after the end is the clean-up.
                if told is not None:
                    assert told == pytest.approx(times[task] - seen.deploy_at, abs=0.002), (name, task)
        running = [seen.starts[task] - seen.deploy_at for task in seen.new_starts()]
        assert run["new_tasks_running_seconds"] == pytest.approx(running, abs=0.002)
        assert run["last_new_task_running_seconds"] == run["new_tasks_running_seconds"][-1]
        assert run["old_job"]["outcome"] == "done"
        assert run["old_job"]["exit_code"] == 0
        assert -CLOCKS_SECONDS < run["old_job"]["worked_seconds"] - JOB_SECONDS < SOON_SECONDS


def test_it_ends_with_a_table_a_report_and_nothing_left(
    record: DockerEvents, demo: tuple[Berth, list[dict[str, Any]]]
) -> None:
    output = demo[0].output
    assert "release                  eager" in output
    assert "4096 CPU, 29488 MiB" in output
    assert "host-1: 2, host-2: 1, host-3: 1" in output
    assert "try      berth demo stop --long-job 12s --remedy maximum-percent=100" in output
    report = next(line for line in demo[0].lines if line.startswith("report ")).split()[-1]
    assert "<svg" in Path(report).read_text()
    ours = {task["task"] for run in demo[1] for task in run["tasks"]}
    assert set(record.times("destroy")) >= ours


def test_a_shorter_stop_timeout_costs_the_work(record: DockerEvents, tmp_path: Path) -> None:
    _, (run,) = play(tmp_path, "--release", "eager", "--long-job", "30s", "--remedy", "stop-timeout=5s")
    seen = Seen(record, run)
    assert run["remedy"] == "stop-timeout=5s"
    assert (run["old_job"]["exit_code"], run["old_job"]["outcome"]) == (137, "killed 137, work lost")
    for at in (seen.exits[seen.job], record.times("kill", signal="9")[seen.job]):
        assert -CLOCKS_SECONDS < at - seen.terms[seen.job] - 5 < SOON_SECONDS
    assert run["last_new_task_running_seconds"] < 30


def test_maximum_percent_100_makes_the_waiting_task_disappear_not_the_wait(
    record: DockerEvents, tmp_path: Path
) -> None:
    options = ("--release", "eager", "--long-job", "8s", "--remedy", "maximum-percent=100")
    _, (run,) = play(tmp_path, *options)
    seen = Seen(record, run)
    assert run["maximum_percent"] == 100
    *_, fourth = seen.new_starts()
    assert seen.starts[fourth] > seen.exits[seen.job] - CLOCKS_SECONDS
    # Where the others land is luck with eager release (docs/policies.md): beside the job one of them may wait as well.
    placed = sorted(seen.tasks[task]["placed_seconds"] for task in seen.of(2))
    assert placed[-1] > 7, "one is not even placed before the job ends"
    assert placed[-2] < seen.exits[seen.job] - seen.deploy_at
    assert (run["phantom_cpu_peak"], run["phantom_memory_mib_peak"]) == (4096, 29488)


def test_a_reserve_beyond_987_mib_needs_a_host_for_each_task(record: DockerEvents, tmp_path: Path) -> None:
    options = ("--release", "on-exit", "--long-job", "12s", "--remedy", "reserve=1000", "--remedy", "spread")
    _, (run,) = play(tmp_path, *options)
    seen = Seen(record, run)
    assert run["remedy"] == "reserve=1000, spread"
    assert (run["hosts_at_deploy"], run["instances_peak"]) == (4, 5)
    assert sorted(seen.host(task) for task in seen.of(1)) == ["host-1", "host-2", "host-3", "host-4"]
    assert max(seen.host(task) for task in seen.of(2)) == "host-5"


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    with berth("demo", "stop", "--report", str(tmp_path / "r.html"), tmp=tmp_path / "t") as demo:
        demo.wait_for("deploy of revision 2")
        run, family = demo.run(), demo.family()
        assert len(containers(run)) >= 4
        demo.interrupt()
        assert demo.end(CLEANED_WITHIN_SECONDS) == 130
        assert containers(run) == []
        assert gone(family)
        assert demo.left_behind() == []
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--remedy", "hope"), "'hope' is no remedy"),
        (("--remedy", "reserve=15000"), "too little for a task of 7372 MiB"),
        (("--long-job", "0s"), "is no duration"),
        (("--json", "/nowhere/record.json"), "cannot be written"),
    ],
)
def test_wrong_options_are_one_sentence(options: tuple[str, ...], words: str, tmp_path: Path) -> None:
    with berth("demo", "stop", "--report", str(tmp_path / "r.html"), *options, tmp=tmp_path / "t") as demo:
        assert demo.end(60) == 2
        assert len(demo.lines) == 1
        assert words in demo.output
        assert demo.left_behind() == []
