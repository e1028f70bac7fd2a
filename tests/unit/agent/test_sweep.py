"""`agent sweep`: what cannot be removed is said, and is no success."""

import sys

import pytest

from agent import __main__
from agent.runtime import connection


class Engine:
    """Containers of a run that come back `returns` times."""

    def __init__(self, returns):
        self.rounds_left = returns

    def containers(self, **_):
        self.rounds_left -= 1
        return [{"Id": "c1"}] if self.rounds_left >= 0 else []

    def remove_container(self, *_, **__):
        pass

    def volumes(self, *_):
        return {"Volumes": None}

    def networks(self, **_):
        return []


@pytest.fixture
def sweep(monkeypatch, capsys):
    def run(returns):
        monkeypatch.setattr(connection, "SWEEP_AGAIN_SECONDS", 0)
        monkeypatch.setattr(connection, "connect", lambda _: Engine(returns))
        monkeypatch.setattr(sys, "argv", ["agent", "sweep", "--run", "r1"])
        return __main__.main(), capsys.readouterr()

    return run


def test_a_sweep_says_how_many_it_removed(sweep):
    code, said = sweep(3)
    assert (code, said.out) == (0, "1\n")


def test_a_sweep_that_does_not_come_to_an_end_says_so(sweep):
    code, said = sweep(connection.SWEEPS_MAX)
    assert (code, said.out) == (__main__.EXIT_TRY_AGAIN, "")
    assert said.err.count("\n") == 1
    assert "berth.run=r1 are still there after 100 rounds" in said.err
