"""Service events that EventBridge hears of: by the name that each sentence carries, not by its words."""

import pytest
from toy_cluster import ToyCluster

from controlplane.core.plan import Plan
from controlplane.core.reconcile import events
from controlplane.core.reconcile.events import Sentence
from controlplane.core.state import State
from controlplane.events.eventbridge import Moment, events_of


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        (events.steady, ("INFO", "SERVICE_STEADY_STATE")),
        (lambda service: events.taskset_steady(service, "ecs-svc/1"), ("INFO", "TASKSET_STEADY_STATE")),
        (
            lambda service: events.no_longer_matching(service, ()),
            ("ERROR", "SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED"),
        ),
        (events.impaired, ("WARN", "SERVICE_TASK_START_IMPAIRED")),
        (events.throttled, ("ERROR", "ECS_OPERATION_THROTTLED")),
        (lambda _: Sentence("was unable to place a task", ""), None),
        (lambda service: events.completed(service, "ecs-svc/1"), None),
    ],
)
def test_a_sentence_is_a_service_action_by_its_name(sentence: object, kind: tuple[str, str] | None) -> None:
    world = ToyCluster()
    service = world.service(world.create_service(world.define(), desired=0))
    world.decide("say", lambda draft: events.tell(draft, service, sentence(service), world.names))
    said = world.service(service.arn)
    told = events_of(Plan(cause="", puts=(said,)), _before(service), world.state, Moment(world.now, world.names.arns))
    actions = [(event["detail"]["eventType"], event["detail"]["eventName"]) for event in told]
    assert actions == ([kind] if kind else [])


def _before(service: object) -> State:
    state = State()
    state.load([(service, 1)], 1)
    return state
