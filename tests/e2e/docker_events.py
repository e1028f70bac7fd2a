"""Docker's own record, while it is open: what a test holds our word against."""

import contextlib
import threading
import time
from datetime import datetime

import docker
import docker.errors

TASK_LABEL = "com.amazonaws.ecs.task-arn"


class DockerEvents:
    """Rows (action, container id, attributes, at) of the containers with a label, as they are written."""

    def __init__(self, label):
        """`label` is `NAME` or `NAME=VALUE`."""
        self.rows = []
        self._client = docker.APIClient(version="auto", timeout=None)
        self._asking = docker.APIClient(version="auto", timeout=30)
        self._changed = threading.Condition()
        filters = {"type": "container", "label": label}
        self._stream = self._client.events(filters=filters, decode=True, since=int(time.time()) - 1)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        with contextlib.suppress(Exception):  # the stream is cut off at the end
            for event in self._stream:
                actor = event["Actor"]
                with self._changed:
                    self.rows.append((event["Action"], actor["ID"], actor["Attributes"], event["timeNano"] * 1e-9))
                    self._changed.notify_all()

    def of(self, docker_id, *actions):
        """(action, attributes, at) of one container, in order."""
        return [(a, attrs, at) for a, i, attrs, at in list(self.rows) if i == docker_id and a in actions]

    def at(self, action, docker_id, **attributes):
        """When something happened to a container; waits for it, at most 60 s.

        An end is dated by Docker's own `FinishedAt` of it: the `die` event comes some 35 ms later.
        """

        def found():
            rows = (
                (its, at) for its_action, its_id, its, at in self.rows if (its_action, its_id) == (action, docker_id)
            )
            return next((at for its, at in rows if attributes.items() <= its.items()), None)

        with self._changed:
            assert self._changed.wait_for(lambda: found() is not None, 60), f"no {action} of {docker_id} within 60 s"
            at = found()
        return self._finished_at(docker_id, at) if action == "die" else at

    def _finished_at(self, docker_id, died_at):
        try:
            state = self._asking.inspect_container(docker_id)["State"]
        except docker.errors.NotFound:
            return died_at
        finished = datetime.fromisoformat(state["FinishedAt"][:26].rstrip("Z") + "Z").timestamp()
        return finished if 0 <= died_at - finished < 1 else died_at

    def starts_of(self, task):
        """How many containers were started for a task."""
        rows = list(self.rows)
        return sum(1 for action, _, attributes, _ in rows if action == "start" and attributes[TASK_LABEL] == task)

    def times(self, action, **attributes):
        """Epoch seconds of the first such event by task id."""
        times = {}
        for its_action, _, its, at in list(self.rows):
            if its_action == action and attributes.items() <= its.items():
                times.setdefault(its[TASK_LABEL].rpartition("/")[2], at)
        return times

    def close(self):
        self._stream.close()
        self._thread.join(5)
        self._client.close()
        self._asking.close()
