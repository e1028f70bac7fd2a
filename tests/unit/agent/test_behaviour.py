"""The script of a played container: what it does on a signal, and the words of the image `berth/stubborn` for it."""

import pytest

from agent.core.behaviour import Behaviour


@pytest.mark.parametrize(
    ("variables", "has_job", "after", "words", "last"),
    [
        ({}, False, 0, "TERM: quits in 0 s", "quit, exits 0"),
        ({"QUIT_SECONDS": "1.5", "EXIT_CODE": "3"}, False, 1.5, "TERM: quits in 1.5 s", "quit, exits 3"),
        ({"ON_TERM": "work", "JOB_SECONDS": "2"}, False, 2, "TERM: has a job, works on for 2 s", "job done, exits 0"),
        ({"QUIT_SECONDS": "1", "JOB_SECONDS": "2"}, True, 2, "TERM: has a job, works on for 2 s", "job done, exits 0"),
        ({"ON_TERM": "ignore"}, False, None, "TERM: ignored", None),
        ({"ON_TERM": "ignore", "JOB_SECONDS": "2"}, True, 2, "TERM: has a job, works on for 2 s", "job done, exits 0"),
    ],
)
def test_on_term(variables: dict[str, str], has_job: bool, after: float | None, words: str, last: str | None) -> None:  # noqa: FBT001
    behaviour = Behaviour.from_environment(variables)
    assert behaviour.exits_after("SIGTERM", has_job=has_job) == after
    assert behaviour.words_on("SIGTERM", has_job=has_job, is_quitting=False) == words
    if last is not None:
        assert behaviour.last_words(was_told=True, has_job=has_job) == last


def test_other_signals() -> None:
    behaviour = Behaviour.from_environment({"RUN_SECONDS": "5"})
    assert behaviour.words_on("SIGINT", has_job=False, is_quitting=True) == "INT: is stopping already"
    assert behaviour.words_on("SIGUSR1", has_job=False, is_quitting=False) == "USR1: a job arrives"
    assert behaviour.words_on("SIGKILL", has_job=False, is_quitting=False) == ""
    assert (behaviour.exits_after("SIGHUP", has_job=False), behaviour.exits_after("SIGKILL", has_job=False)) == (
        None,
        0,
    )
    assert behaviour.last_words(was_told=False, has_job=False) == "ran for 5 s, exits 0"
