"""What is kept of looks at images: a moment, and nothing that we have changed ourselves."""

import docker.errors
import pytest

from agent.runtime import images
from agent.runtime.images import Images


class Engine:
    def __init__(self):
        self.here = {}
        self.looks = 0
        self.while_it_answers = lambda: None

    def inspect_image(self, name):
        self.looks += 1
        answer = self.here.get(name)
        self.while_it_answers()
        if answer is None:
            raise docker.errors.ImageNotFound(name)
        return {"Id": answer}


@pytest.fixture
def now(monkeypatch):
    class Clock:
        seconds = 100.0

        def monotonic(self):
            return self.seconds

    monkeypatch.setattr(images, "time", clock := Clock())
    return clock


def test_tasks_that_come_together_ask_once(now):
    engine = Engine()
    engine.here["web"] = "sha256:1"
    known = Images(engine)
    assert [known.local("web").image_id for _ in range(20)] == ["sha256:1"] * 20
    assert engine.looks == 1
    engine.here["web"] = "sha256:2"
    now.seconds += images.FRESH_SECONDS
    assert known.local("web").image_id == "sha256:2"


@pytest.mark.usefixtures("now")
def test_what_is_missing_is_looked_for_each_time():
    engine = Engine()
    known = Images(engine)
    assert known.local("web") is None
    engine.here["web"] = "sha256:1"
    assert known.local("web").image_id == "sha256:1"


@pytest.mark.usefixtures("now")
def test_what_we_pull_is_seen_at_once_also_by_whoever_asks_meanwhile():
    engine = Engine()
    engine.here["web"] = "sha256:1"
    known = Images(engine)

    def pulled():
        engine.here["web"] = "sha256:2"
        known.changed()

    engine.while_it_answers = pulled
    assert known.local("web").image_id == "sha256:1", "the answer was on its way"
    engine.while_it_answers = lambda: None
    assert known.local("web").image_id == "sha256:2"
