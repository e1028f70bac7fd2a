"""Lifecycle hooks as webhooks: whoever is to be asked is asked, and the answer is written down. It decides nothing.

A hook is a POST to the URL in `hookTargetArn` with Lambda's payload. It answers with a `hookStatus` (SUCCEEDED, FAILED
or IN_PROGRESS) and a `callBackDelay` in seconds. Source: ECS Developer Guide, "Lifecycle hooks".
"""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import aiohttp
import msgspec
import structlog

from controlplane.committing import Committer
from controlplane.core.reconcile import hooks
from controlplane.core.rollouts import HookKind, HookRun, ServiceDeployment, Stage
from controlplane.core.view import Draft
from controlplane.store.port import Store
from wire.story import Kind

CALL_SECONDS_MAX = 10.0
CALLBACK_SECONDS = 30.0
"""ECS Developer Guide, "Lifecycle hooks": the default of `callBackDelay`."""
CALLBACK_SECONDS_MAX = 3600.0
RETRY_SECONDS = 2.0
FAILED_CALLS_MAX = 3
"""Calls in a row without an answer, after which the hook has failed (assumed)."""
LOOK_SECONDS = 0.5
CALLS_AT_ONCE = 8
ANSWER_BYTES_MAX = 64 * 1024
_MOVE_PRODUCTION = frozenset({Stage.PRE_PRODUCTION_TRAFFIC_SHIFT, Stage.PRODUCTION_TRAFFIC_SHIFT})

log = structlog.get_logger()


class Answer(msgspec.Struct):
    """What a hook answers."""

    hookStatus: Literal["SUCCEEDED", "FAILED", "IN_PROGRESS"]  # noqa: N815 - Amazon's member
    callBackDelay: float = CALLBACK_SECONDS  # noqa: N815 - Amazon's member
    hookDetails: dict[str, Any] = {}  # noqa: N815 - Amazon's member


class Hooks:
    """Calls the webhooks of all deployments."""

    def __init__(self, store: Store, committer: Committer, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._committer = committer
        self._clock = clock

    async def run(self) -> None:
        """Ask whoever is due, until cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_SECONDS_MAX)) as session:
            while True:
                due = self._due()[:CALLS_AT_ONCE]
                await asyncio.gather(*(self._ask(session, arn, run) for arn, run in due))
                await asyncio.sleep(LOOK_SECONDS)

    def _due(self) -> list[tuple[str, HookRun]]:
        now = self._clock()
        return [
            (course.arn, run)
            for course in self._store.view().records(ServiceDeployment)
            if not course.status.is_over
            for run in course.hooks
            if run.status == "IN_PROGRESS"
            and run in hooks.here(course)
            and run.call_at <= now
            and course.settings.hooks[run.hook].kind is HookKind.WEBHOOK
        ]

    async def _ask(self, session: aiohttp.ClientSession, arn: str, run: HookRun) -> None:
        course = self._store.view().record(ServiceDeployment, arn)
        if course is None:
            return
        try:
            async with session.post(
                course.settings.hooks[run.hook].target,
                data=msgspec.json.encode(payload(course, run)),
                headers={"Content-Type": "application/json"},
            ) as reply:
                answer = msgspec.json.decode(await _read(reply.content), type=Answer)
        except (aiohttp.ClientError, TimeoutError, ValueError, msgspec.MsgspecError) as error:
            log.warning("a lifecycle hook gave no answer", hook=run.id, error=str(error)[:200])
            answer = None
        await self._committer.commit(lambda draft: self._note(draft, arn, run.id, answer), cause=run.id)

    def _note(self, draft: Draft, arn: str, run_id: str, answer: Answer | None) -> None:
        course = draft.record(ServiceDeployment, arn)
        run = next((run for run in course.hooks if run.id == run_id), None) if course is not None else None
        if course is None or course.status.is_over or run is None or run.status != "IN_PROGRESS":
            return
        noted = after(run, answer, draft.now)
        runs = tuple(noted if other.id == run_id else other for other in course.hooks)
        draft.put(msgspec.structs.replace(course, hooks=runs))
        if noted.status != run.status:
            draft.tell(
                Kind.DEPLOYMENT_HOOK,
                course.service,
                id=run_id,
                service_deployment=arn,
                hook=run_id,
                stage=run.stage,
                status=noted.status,
            )


def after(run: HookRun, answer: Answer | None, now: float) -> HookRun:
    """The hook after an answer, or after none."""
    if answer is None:
        failed_calls = run.failed_calls + 1
        status = "FAILED" if failed_calls >= FAILED_CALLS_MAX else run.status
        return msgspec.structs.replace(run, failed_calls=failed_calls, status=status, call_at=now + RETRY_SECONDS)
    delay = min(max(answer.callBackDelay, 0.0), CALLBACK_SECONDS_MAX)
    details = {**run.details, **answer.hookDetails}
    return msgspec.structs.replace(run, failed_calls=0, status=answer.hookStatus, call_at=now + delay, details=details)


def payload(course: ServiceDeployment, run: HookRun) -> dict[str, Any]:
    """What a hook is told, in Amazon's shape: weights only at the stages that move them, its own words of before."""
    configured = course.settings.hooks[run.hook].details
    details = {**configured, **run.details} if isinstance(configured, dict) else run.details or configured
    is_test, is_production = run.stage is Stage.TEST_TRAFFIC_SHIFT, run.stage in _MOVE_PRODUCTION
    return {
        "executionId": run.id,
        "lifecycleStage": str(run.stage),
        "resourceArn": course.arn,
        "executionDetails": {
            "serviceArn": course.service,
            "targetServiceRevisionArn": course.target,
            "testTrafficWeights": _weights(course, course.test_weight) if is_test else {},
            "productionTrafficWeights": _weights(course, course.production_weight) if is_production else {},
        },
        **({"hookDetails": details} if details else {}),
    }


def _weights(course: ServiceDeployment, of_target: float) -> dict[str, float]:
    blue = course.sources[:1]
    return {course.target: of_target, **dict.fromkeys(blue, 100 - of_target)}


async def _read(content: aiohttp.StreamReader) -> bytes:
    """A whole answer, or as much of it as one may have."""
    answer = b""
    while len(answer) < ANSWER_BYTES_MAX and (part := await content.read(ANSWER_BYTES_MAX - len(answer))):
        answer += part
    return answer
