"""The real `berth` as a subprocess with a temporary folder of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import psutil
import witness

CHECKOUT = Path(__file__).parent.parent.parent


class Berth:
    """A `berth` that runs. Its output is read line by line; its temporary files are its own."""

    def __init__(self, *arguments: str, tmp: Path, **environment: str) -> None:
        tmp.mkdir(exist_ok=True)
        self.tmp = tmp
        self.lines: list[str] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "berth", *arguments],
            cwd=CHECKOUT,
            env={**os.environ, "TMPDIR": str(tmp), "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        witness.call(" ".join(("berth", *arguments)), lambda: self.output)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, words: str, seconds: float = 60) -> str:
        """The first line with these words in it; fails where none comes."""

        def found() -> str | None:
            return next((line for line in self.lines if words in line), None)

        with self._news:
            assert self._news.wait_for(found, seconds), f"no {words!r} within {seconds} s in:\n{self.output}"
            line = found()
        assert line is not None
        return line

    def end(self, seconds: float) -> int:
        """Wait for its end and for all it had to say. Returns the exit code."""
        code = self.process.wait(seconds)
        self._reader.join(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def family(self) -> list[psutil.Process]:
        """All processes under it."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]

    def agents(self) -> list[psutil.Process]:
        return [process for process in self.family() if process.cmdline()[-1:] == ["agent"]]

    def run(self) -> str:
        """The label `berth.run` of the containers that its agents start."""
        runs = {process.environ().get("BERTH_RUN") for process in self.agents()}
        (run,) = runs
        assert run is not None
        return run

    def left_behind(self) -> list[str]:
        """What is still in its temporary folder."""
        return [path.name for path in self.tmp.iterdir()]

    def clear(self) -> None:
        """For the end of a test, however it went."""
        if self.process.poll() is None:
            self.interrupt()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
        if self.process.poll() is None:
            self.process.kill()
        self.end(30)


def containers(run: str) -> list[str]:
    """Ids of the containers of a run that Docker still has."""
    with contextlib.closing(docker.APIClient(version="auto", timeout=30)) as client:
        return [row["Id"] for row in client.containers(all=True, filters={"label": f"berth.run={run}"})]


def wait_ready(run: str, seconds: float = 60) -> None:
    """Wait until every container of a run has set its traps: it says so."""
    end = time.monotonic() + seconds
    with contextlib.closing(docker.APIClient(version="auto", timeout=30)) as client:
        for docker_id in containers(run):
            while b"ready" not in client.logs(docker_id):
                assert time.monotonic() < end, f"{docker_id} is not ready"
                time.sleep(0.05)


def gone(processes: list[psutil.Process], seconds: float = 30) -> bool:
    """Whether all of them end within that time."""
    return not psutil.wait_procs(processes, timeout=seconds)[1]


@contextlib.contextmanager
def berth(*arguments: str, tmp: Path, **environment: str) -> Iterator[Berth]:
    """A `berth` that is cleared away at the end."""
    program = Berth(*arguments, tmp=tmp, **environment)
    try:
        yield program
    finally:
        program.clear()
