"""What the options take, and the one sentence with which they refuse. Nothing is started by any of it."""

import pytest
from click.testing import CliRunner

from berth.__main__ import berth
from berth.cli.options import duration_seconds, duration_text
from berth.demo.setup import Remedies, Setup, read_remedies, slots
from berth.errors import UserError
from berth.groups import read_group


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5), ("2m", 120), ("1h", 3600), ("1h30m", 5400), ("1m5s", 65), (" 90S ", 90)],
)
def test_durations(text: str, seconds: int) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "0s", "5 s", "-5s", "5s2m", "1.5s", "5d"])
def test_no_durations(text: str) -> None:
    assert duration_seconds(text) is None


@pytest.mark.parametrize(("seconds", "text"), [(5, "5s"), (120, "2m"), (3600, "1h"), (90, "90s"), (30, "30s")])
def test_durations_are_written_as_they_are_read(seconds: int, text: str) -> None:
    assert duration_text(seconds) == text
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("dev --instance-type r5.lagre", "'r5.lagre' is no instance type that berth knows; the nearest are r5.large"),
        ("dev --policy best", "'best' is no policy preset; there are ecs-2026, ecs-2015, on-exit, deadline, lease."),
        ("dev --release never", "--release is 'never', but must be eager or on-exit."),
        ("dev --stop-timeout 5", "'5' is no duration: write it like 5s, 2m or 1h30m, at least 1s."),
        ("dev --hosts many", "--hosts is many, but must be a whole number from 0 to 50."),
        ("dev --port 99999", "--port is 99999, but must be a whole number from 1 to 65535."),
        ("dev --zones a,,b", "'a,,b' is no list of zones: write it like us-east-1a,us-east-1b."),
        ("dev --reserved-memory 20000", "--reserved-memory 20000 leaves nothing of r5.large, which has 15731 MiB."),
        ("dev --group web,max=x", "--group 'web,max=x': max needs a whole number."),
        ("dev --group web,color=red", "'color' is not known; there are min, max"),
        ("dev --group web,min=3,max=2", "min <= desired <= max should hold."),
        ("dev --group we/b", "letters, digits, hyphens and underscores"),
        ("dev --group web,type=r5.lagre", "'r5.lagre' is no instance type that berth knows"),
        ("dev --time-scale 0", "--time-scale is 0, but must be a whole number from 1 to 600."),
        ("group create web --max 3 --hook h,sometimes", "--hook 'h,sometimes': write it like NAME,launching"),
        ("group create web --max 3 --endpoint http://127.0.0.1:9", "No control plane answers at http://127.0.0.1:9"),
        ("group set web --endpoint http://127.0.0.1:9", "Say what to set"),
        ("demo stop --release never", "--release is 'never', but must be both or eager or on-exit."),
        ("demo stop --long-job long", "'long' is no duration"),
        ("demo stop --remedy luck", "'luck' is no remedy; there are stop-timeout=10s"),
        ("demo stop --json /no/such/folder/x.json", "/no/such/folder/x.json cannot be written"),
    ],
)
def test_a_refusal_is_one_sentence(arguments: str, sentence: str) -> None:
    result = CliRunner().invoke(berth, arguments.split())
    assert result.exit_code == 2
    assert sentence in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_a_group_is_read() -> None:
    group = read_group("web,min=1,max=5,type=r5.large+m5.xlarge,zone=z-a+z-b,boot=30s,protect,provider=cp,target=80")
    assert (group.minimum, group.maximum, group.desired, group.target_percent) == (1, 5, None, 80)
    assert (group.types, group.zones) == (("r5.large", "m5.xlarge"), ("z-a", "z-b"))
    assert (group.boot_seconds, group.protects_new, group.provider) == (30.0, True, "cp")


def test_remedies_can_be_combined() -> None:
    remedies = read_remedies(("stop-timeout=10s", "maximum-percent=100", "reserve=500", "binpack"))
    assert remedies == Remedies(
        10, 100, 500, "binpack", text="stop-timeout=10s, maximum-percent=100, reserve=500, binpack"
    )
    assert read_remedies(("protection",)).is_protected
    assert read_remedies(()) == Remedies()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("binpack", "spread"), "contradicts"),
        (("reserve=1", "reserve=2"), "contradicts"),
        (("reserve=8360",), "leaves 7371 MiB of r5.large, too little for a task of 7372 MiB"),
        (("reserve=much",), "needs a whole number"),
        (("stop-timeout=10",), "must be a duration"),
        (("stop-timeout",), "must be a duration"),
        (("maximum-percent=99",), "must be from 100 to 400"),
        (("binpack=cpu",), "is no remedy"),
    ],
)
def test_impossible_remedies(words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read_remedies(words)


@pytest.mark.parametrize(("reserved", "each", "hosts"), [(0, 2, 2), (987, 2, 2), (988, 1, 4), (8359, 1, 4)])
def test_reserved_memory_beyond_987_mib_halves_what_fits(reserved: int, each: int, hosts: int) -> None:
    setup = Setup(release="eager", job_seconds=40, remedies=Remedies(reserved_memory_mib=reserved))
    assert (slots(reserved), setup.hosts) == (each, hosts)


def test_the_grace_is_the_job_and_20_s_more_unless_a_remedy_says_otherwise() -> None:
    assert Setup(release="eager", job_seconds=40).stop_timeout_seconds == 60
    short = Setup(release="eager", job_seconds=40, remedies=Remedies(stop_timeout_seconds=10))
    assert (short.stop_timeout_seconds, short.job_ends_seconds) == (10, 10)
    long = Setup(release="eager", job_seconds=40, remedies=Remedies(stop_timeout_seconds=300))
    assert (long.stop_timeout_seconds, long.job_ends_seconds) == (300, 40)
