"""Docker's own record, while it is open: what a test holds our word against."""

import contextlib
import threading
import time
from datetime import datetime

import docker
import docker.errors

TASK_LABEL = "com.amazonaws.ecs.task-arn"
WAIT_SECONDS = 60
CLOCKS_SECONDS = 0.5
"""How late a time may be. A program looks at its clock when it gets the processor: Docker when a signal has long been
delivered, the shim when it has reaped. A span between two such times may come out shorter by so much."""


class DockerEvents:
    """Rows (action, container id, attributes, at) of the containers with a label, as they are written."""

    def __init__(self, label):
        """`label` is `NAME` or `NAME=VALUE`."""
        self.rows = []
        self._seen = set()
        self._client = docker.APIClient(version="auto", timeout=None)
        self._asking = docker.APIClient(version="auto", timeout=120)
        self._changed = threading.Condition()
        self._filters = {"type": "container", "label": label}
        self._since = int(time.time()) - 1
        self._stream = self._client.events(filters=self._filters, decode=True, since=self._since)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        with contextlib.suppress(Exception):  # the stream is cut off at the end
            for event in self._stream:
                actor = event["Actor"]
                with self._changed:
                    self._seen.add(_key(event))
                    self.rows.append((event["Action"], actor["ID"], actor["Attributes"], event["timeNano"] * 1e-9))
                    self._changed.notify_all()

    def _catch_up(self):
        """Wait for all that Docker has written until now: it reaches us a little later."""
        self._since = max([self._since, *(int(at) for *_, at in self.rows[-1:])])
        until = f"{time.time():.9f}"
        told = self._asking.events(filters=self._filters, decode=True, since=self._since, until=until)
        keys = {_key(event) for event in told}
        with self._changed:
            assert self._changed.wait_for(lambda: keys <= self._seen, WAIT_SECONDS), "Docker's events do not come"

    def of(self, docker_id, *actions):
        """(action, attributes, at) of one container, in order, as Docker has written them by now."""
        self._catch_up()
        return [(a, attrs, at) for a, i, attrs, at in list(self.rows) if i == docker_id and a in actions]

    def signals(self, docker_id, count):
        """The signals that Docker has sent to a container; waits until they are `count`, and until it knows its end."""

        def sent():
            return [its["signal"] for action, its_id, its, _ in self.rows if (action, its_id) == ("kill", docker_id)]

        self.at("die", docker_id)
        with self._changed:  # a signal may be written after the end that it led to
            self._changed.wait_for(lambda: len(sent()) >= count, WAIT_SECONDS)
        self._catch_up()
        return sent()

    def at(self, action, docker_id, **attributes):
        """When something happened to a container; waits for it.

        An end is dated by Docker's own `FinishedAt` of it: the `die` event comes some 35 ms later.
        """

        def found():
            rows = (
                (its, at) for its_action, its_id, its, at in self.rows if (its_action, its_id) == (action, docker_id)
            )
            return next((at for its, at in rows if attributes.items() <= its.items()), None)

        with self._changed:
            came = self._changed.wait_for(lambda: found() is not None, WAIT_SECONDS)
            assert came, f"no {action} of {docker_id} within {WAIT_SECONDS} s"
            at = found()
        return self._finished_at(docker_id, at) if action == "die" else at

    def _finished_at(self, docker_id, died_at):
        try:
            state = self._asking.inspect_container(docker_id)["State"]
        except docker.errors.NotFound:
            return died_at
        finished = datetime.fromisoformat(state["FinishedAt"][:26].rstrip("Z") + "Z").timestamp()
        return finished if 0 <= died_at - finished < WAIT_SECONDS else died_at

    def starts_of(self, task):
        """How many containers were started for a task."""
        self._catch_up()
        rows = list(self.rows)
        return sum(1 for action, _, attributes, _ in rows if action == "start" and attributes[TASK_LABEL] == task)

    def times(self, action, **attributes):
        """Epoch seconds of the first such event by task id."""
        self._catch_up()
        times = {}
        for its_action, _, its, at in list(self.rows):
            if its_action == action and attributes.items() <= its.items():
                times.setdefault(its[TASK_LABEL].rpartition("/")[2], at)
        return times

    def told(self):
        """The events as text, for whoever looks for the cause of a failure."""
        words = ("signal", "exitCode", "com.amazonaws.ecs.container-name")
        rows = (
            (a, i, {w: its[w] for w in words if w in its}, at) for a, i, its, at in list(self.rows) if "exec_" not in a
        )
        return "\n".join(f"{at:.3f} {action} {docker_id[:12]} {its}" for action, docker_id, its, at in rows)

    def close(self):
        self._stream.close()
        self._thread.join(5)
        self._client.close()
        self._asking.close()


def _key(event):
    return event["timeNano"], event["Action"], event["Actor"]["ID"]
