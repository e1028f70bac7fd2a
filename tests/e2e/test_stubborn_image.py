"""The container that would not stop does what its environment says, by Docker's own record."""

import io
import tarfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime

import docker
import pytest
from docker.models.containers import Container

pytestmark = pytest.mark.docker

LABEL = "berth.test.stubborn"
Run = Callable[..., Container]


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def run(engine: docker.DockerClient) -> Iterator[Run]:
    """Start berth/stubborn with this environment and wait until it is ready."""
    started: list[Container] = []

    def start(tag: str = "latest", **environment: str) -> Container:
        container = engine.containers.run(f"berth/stubborn:{tag}", detach=True, environment=environment, labels=[LABEL])
        started.append(container)
        wait_for(container, "ready")
        return container

    yield start
    for container in started:
        container.remove(force=True)


def wait_for(container: Container, line: str) -> None:
    deadline = time.monotonic() + 60
    while line not in lines(container):
        assert time.monotonic() < deadline, f"no {line!r} in {lines(container)}"
        time.sleep(0.05)


def lines(container: Container) -> list[str]:
    text: str = container.logs().decode()
    return text.splitlines()


def finished(container: Container, asked: float) -> tuple[int, float]:
    """Wait for the end: its exit code, and the seconds from `asked` (before the first stop signal) to Docker's time."""
    container.wait(timeout=120)
    container.reload()
    state = container.attrs["State"]
    return state["ExitCode"], datetime.fromisoformat(state["FinishedAt"]).timestamp() - asked


def test_it_quits_in_its_own_time_with_its_own_code(run: Run) -> None:
    container = run(QUIT_SECONDS="1", EXIT_CODE="3")
    asked = time.time()
    container.stop(timeout=60)
    code, seconds = finished(container, asked)
    assert code == 3
    assert 1 <= seconds < 30
    assert lines(container) == ["ready", "TERM: quits in 1 s", "quit, exits 3"]


def test_it_ignores_the_signal_until_it_is_killed(run: Run) -> None:
    container = run(ON_TERM="ignore")
    container.kill("SIGINT")
    wait_for(container, "INT: ignored")
    asked = time.time()
    container.stop(timeout=2)
    code, seconds = finished(container, asked)
    assert code == 137
    assert seconds >= 2
    assert lines(container) == ["ready", "INT: ignored", "TERM: ignored"]


def test_an_ignored_signal_leaves_no_stray_process(run: Run) -> None:
    container = run(ON_TERM="ignore")
    for signal in ("TERM", "QUIT", "INT"):
        container.kill(f"SIG{signal}")
        wait_for(container, f"{signal}: ignored")
    assert len(container.top()["Processes"]) == 2  # itself and the sleep that it waits for


def test_a_job_that_arrives_is_finished_first(run: Run) -> None:
    container = run(JOB_SECONDS="5", QUIT_SECONDS="0")
    container.kill("SIGUSR1")
    wait_for(container, "USR1: a job arrives")
    asked = time.time()
    container.kill("SIGTERM")
    wait_for(container, "TERM: has a job, works on for 5 s")
    for signal in ("TERM", "USR1"):  # neither shortens nor prolongs it
        container.kill(f"SIG{signal}")
        wait_for(container, f"{signal}: is stopping already")
    code, seconds = finished(container, asked)
    assert code == 0
    assert 5 <= seconds < 30
    assert lines(container)[-3:] == [
        "TERM: is stopping already",
        "USR1: is stopping already",
        "job done, exits 0",
    ]


def test_it_may_have_a_job_from_the_start(run: Run) -> None:
    container = run(ON_TERM="work", JOB_SECONDS="1")
    asked = time.time()
    container.stop(timeout=60)
    code, seconds = finished(container, asked)
    assert code == 0
    assert 1 <= seconds < 30


def test_the_other_tag_has_a_stop_signal_of_its_own(run: Run) -> None:
    container = run(tag="quit")
    container.stop(timeout=60)
    assert finished(container, 0)[0] == 0
    assert lines(container) == ["ready", "QUIT: quits in 0 s", "quit, exits 0"]


def test_it_exits_by_itself_when_told_so(run: Run) -> None:
    container = run(RUN_SECONDS="1", EXIT_CODE="5")
    assert container.wait(timeout=60)["StatusCode"] == 5


def test_the_log_file_has_every_event_with_its_time(run: Run) -> None:
    before = time.time()
    container = run(LOG_FILE="/tmp/log")
    container.stop(timeout=60)
    finished(container, before)
    chunks, _ = container.get_archive("/tmp/log")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        file = archive.extractfile("log")
        assert file is not None
        logged = [line.split(maxsplit=1) for line in file.read().decode().splitlines()]
    assert [event for _, event in logged] == lines(container)
    assert all(before <= float(at) <= time.time() for at, _ in logged)


def test_a_task_definition_may_run_a_shell_in_it(engine: docker.DockerClient) -> None:
    said = engine.containers.run("berth/stubborn", ["sh", "-c", "echo $((6 * 7))"], remove=True, labels=[LABEL])
    assert said == b"42\n"


def test_a_word_that_it_does_not_know_is_refused(engine: docker.DockerClient) -> None:
    with pytest.raises(docker.errors.ContainerError, match="must be quit, work or ignore") as error:
        engine.containers.run("berth/stubborn", environment={"ON_TERM": "dance"}, remove=True, labels=[LABEL])
    assert error.value.exit_status == 2
