"""The reservation, case by case as AWS documents it, and what instances a crowd of tasks needs."""

from fractions import Fraction

import pytest

from controlplane.core.capacity.needs import Want, estimate, reservation, slots, step
from wire.instance_types import INSTANCE_TYPES
from wire.resources import Amounts

SEED = Amounts(1024, 7372)


def size(name: str) -> Amounts:
    its = INSTANCE_TYPES[name]
    return Amounts(its.cpu, its.memory_mib, frozenset({22, 51678}))


def want(count: int, amounts: Amounts = SEED, *, is_distinct: bool = False) -> Want:
    return Want(amounts=amounts, count=count, is_distinct=is_distinct)


@pytest.mark.parametrize(
    ("needed", "running", "percent"),
    [
        (0, 0, 100),
        (1, 0, 200),
        (7, 0, 200),
        (0, 3, 0),
        (2, 2, 100),
        (3, 2, 150),
        (4, 2, 200),
        (2, 4, 50),
        (2, 3, Fraction(200, 3)),
    ],
)
def test_reservation(needed: int, running: int, percent: Fraction | int) -> None:
    assert reservation(needed, running) == percent


@pytest.mark.parametrize(
    ("wants", "types", "instances"),
    [
        ([], ["r5.large"], 0),
        ([want(1)], ["r5.large"], 1),
        ([want(4)], ["r5.large"], 2),
        ([want(5)], ["r5.large"], 3),
        ([want(4, is_distinct=True)], ["r5.large"], 4),
        ([want(3, Amounts(10, 10, frozenset({8080})))], ["r5.large"], 3),
        ([want(3, Amounts(10, 10, frozenset(), frozenset({53})))], ["r5.large"], 3),
        ([want(9, Amounts(0, 0))], ["r5.large"], 1),
        ([want(3, Amounts(2048, 0))], ["r5.large"], 3),
        # several types: counted on the largest
        ([want(4)], ["r5.large", "r5.xlarge"], 1),
        ([want(5)], ["r5.large", "r5.xlarge"], 2),
        # several groups: the one that needs most
        ([want(4), want(3, Amounts(2048, 100))], ["r5.large"], 3),
        ([want(4), want(3, Amounts(1024, 100))], ["r5.large"], 2),
    ],
)
def test_instances_to_add(wants: list[Want], types: list[str], instances: int) -> None:
    found = estimate(wants, [size(name) for name in types])
    assert (found.instances, found.incompatible) == (instances, ())


@pytest.mark.parametrize(
    "amounts",
    [
        Amounts(2049, 1),
        Amounts(1, 16384),
        Amounts(1, 1, frozenset({22})),
        Amounts(1, 1, gpus=1),
    ],
)
def test_what_the_smallest_type_cannot_run_is_left_out(amounts: Amounts) -> None:
    too_big = want(6, amounts)
    assert estimate([too_big], [size("r5.large"), size("r5.4xlarge")]).incompatible == (too_big,)
    both = estimate([too_big, want(1)], [size("r5.large")])
    assert (both.instances, both.incompatible) == (1, (too_big,))


def test_the_smallest_and_the_largest_are_of_each_parameter() -> None:
    """c5.2xlarge has most CPU, r5.xlarge most memory: the largest is both at once, the smallest neither."""
    types = [size("c5.2xlarge"), size("r5.xlarge")]
    assert estimate([want(2, Amounts(4097, 100))], types).incompatible
    assert estimate([want(2, Amounts(100, 16000))], types).incompatible
    assert estimate([want(4, Amounts(4096, 15000))], types).instances == 2


def test_gpus_decide_how_many_instances_where_they_run_out_first() -> None:
    four = Amounts(49152, 188743, gpus=4)
    assert estimate([want(9, Amounts(1024, 1024, gpus=2))], [four]).instances == 5


@pytest.mark.parametrize(
    ("instances", "least", "most", "added"), [(0, 3, 10, 0), (1, 3, 10, 3), (5, 3, 10, 5), (50, 3, 10, 10)]
)
def test_steps(instances: int, least: int, most: int, added: int) -> None:
    assert step(instances, least=least, most=most) == added


def test_the_numbers_of_4106() -> None:
    assert slots(size("r5.large"), want(1)) == 2
