"""ARNs: what is made is read again, and what is none is none."""

import pytest

from wire.arn import Arn, ArnMaker, parse

ARNS = ArnMaker("us-east-1", "123456789012")


@pytest.mark.parametrize(
    ("made", "kind", "path"),
    [
        (ARNS.cluster("c"), "cluster", ("c",)),
        (ARNS.task("c", "0a"), "task", ("c", "0a")),
        (ARNS.container("c", "0a", "u"), "container", ("c", "0a", "u")),
        (ARNS.container_instance("c", "0b"), "container-instance", ("c", "0b")),
        (ARNS.task_definition("web", 3), "task-definition", ("web:3",)),
        (ARNS.task_set("c", "s", "ecs-svc/19"), "task-set", ("c", "s", "ecs-svc", "19")),
    ],
)
def test_what_is_made_is_read_again(made: str, kind: str, path: tuple[str, ...]) -> None:
    assert parse(made) == Arn("us-east-1", "123456789012", kind, path)
    assert str(parse(made)) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web",
        "web:3",
        "arn:",
        "arn:aws:s3:::bucket/key",
        "ern:aws:ecs:r:a:task/c/1",
        "arn:aws:ecs:r:a:task",
        "arn:aws:ecs:r:a:task/",
    ],
)
def test_what_is_no_arn_of_ecs_is_none(text: str) -> None:
    assert parse(text) is None
