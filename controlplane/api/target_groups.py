"""Target groups and listeners: `/_berth/target-groups`. Ours; elbv2's own query protocol is not served.

A listener is made together with the group that it forwards to, as a port of this machine. Texts and ranges are Elastic
Load Balancing's where they can be; times may be shorter than AWS allows, so that a test need not wait.
"""

import shutil
import socket
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import msgspec
from aiohttp import web

from controlplane.agents.refusal import refused_by
from controlplane.balancing.haproxy import not_found
from controlplane.committing import Committer
from controlplane.config import Config
from controlplane.core.balancing.records import Listener, Protocol, TargetGroup, TargetState, TargetType
from controlplane.core.balancing.traffic import shares
from controlplane.core.model import Service, Task
from controlplane.core.names import Names
from controlplane.core.view import Draft, View
from controlplane.store.port import Store
from wire.errors import AwsError
from wire.resources import PORT_MAX
from wire.story import Kind

GROUPS_MAX = 100
_PATH = "/_berth/target-groups"
LISTENERS_MAX = 50
NAME_PATTERN = "^[A-Za-z0-9](-?[A-Za-z0-9]){0,31}$"

_Port = Annotated[int, msgspec.Meta(ge=1, le=PORT_MAX)]
_Seconds = Annotated[int, msgspec.Meta(ge=1, le=300)]
_Threshold = Annotated[int, msgspec.Meta(ge=1, le=10)]


class _Settings(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What may be set at any time; None or absent leaves it."""

    port: _Port | None = None
    health_check_path: Annotated[str, msgspec.Meta(pattern=r"^/[\w\-./?=&%~+:@,;]*$", max_length=1024)] | None = None
    matcher: Annotated[str, msgspec.Meta(pattern=r"^\d{3}(-\d{3})?(,\d{3}(-\d{3})?)*$", max_length=100)] | None = None
    health_check_interval_seconds: _Seconds | None = None
    health_check_timeout_seconds: _Seconds | None = None
    healthy_threshold_count: _Threshold | None = None
    unhealthy_threshold_count: _Threshold | None = None
    deregistration_delay_seconds: Annotated[int, msgspec.Meta(ge=0, le=3600)] | None = None
    slow_start_seconds: Annotated[int, msgspec.Meta(ge=0, le=900)] | None = None
    propagation_seconds: Annotated[float, msgspec.Meta(ge=0, le=60)] | None = None
    listen: Annotated[list[_Port], msgspec.Meta(max_length=LISTENERS_MAX)] = []


class _New(_Settings, kw_only=True):
    name: Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
    protocol: Protocol = Protocol.HTTP
    target_type: TargetType = TargetType.INSTANCE


_OF_GROUP = ("port", "deregistration_delay_seconds", "slow_start_seconds", "propagation_seconds")
_OF_CHECK = {
    "health_check_path": "path",
    "matcher": "matcher",
    "health_check_interval_seconds": "interval_seconds",
    "health_check_timeout_seconds": "timeout_seconds",
    "healthy_threshold_count": "healthy_threshold",
    "unhealthy_threshold_count": "unhealthy_threshold",
}
_ON_WIRE = {field.name: field.encode_name for field in msgspec.structs.fields(_Settings)}


class TargetGroups:
    """Serves target groups. `trouble` says what keeps the proxy from serving."""

    def __init__(
        self, store: Store, committer: Committer, names: Names, config: Config, trouble: Callable[[], str]
    ) -> None:
        self._store = store
        self._committer = committer
        self._names = names
        self._host = config.host
        self._program = config.haproxy
        self._trouble = trouble

    def routes(self) -> Iterable[web.RouteDef]:
        """Where they are served."""
        yield web.get(_PATH, self.list)
        yield web.post(_PATH, self.create)
        yield web.get(_PATH + "/{name}", self.show)
        yield web.put(_PATH + "/{name}", self.set)
        yield web.delete(_PATH + "/{name}", self.delete)

    async def list(self, _: web.Request) -> web.Response:
        """All groups, by name."""
        view = self._store.view()
        groups = sorted(view.records(TargetGroup), key=lambda group: group.name)
        return _json({"targetGroups": [render(view, group) for group in groups], "trouble": self._trouble()})

    async def show(self, request: web.Request) -> web.Response:
        """One group."""
        return await self._answered(request, self._show)

    async def create(self, request: web.Request) -> web.Response:
        """A new group, with its listeners."""
        return await self._answered(request, self._create)

    async def set(self, request: web.Request) -> web.Response:
        """Other settings of a group; `listen` moves listeners to it, new ones included."""
        return await self._answered(request, self._set)

    async def delete(self, request: web.Request) -> web.Response:
        """A group that no service uses goes, its listeners with it."""
        return await self._answered(request, self._delete)

    async def _show(self, request: web.Request) -> Any:
        return render(self._store.view(), _named(self._store.view(), request.match_info["name"]))

    async def _create(self, request: web.Request) -> Any:
        asked: _New = _read(await request.read(), _New)

        def decide(draft: Draft) -> str:
            groups = list(draft.records(TargetGroup))
            if any(group.name == asked.name for group in groups):
                raise AwsError(f"A target group with the name {asked.name!r} exists.", code="DuplicateTargetGroupName")
            if len(groups) >= GROUPS_MAX:
                raise AwsError(f"There are {GROUPS_MAX} target groups already.", code="TooManyTargetGroups")
            group = TargetGroup(
                arn=self._names.target_group(asked.name),
                name=asked.name,
                protocol=asked.protocol,
                target_type=asked.target_type,
                created_at=draft.now,
            )
            self._put(draft, group, asked)
            return asked.name

        return await self._change(decide)

    async def _set(self, request: web.Request) -> Any:
        asked = _read(await request.read(), _Settings)
        name = request.match_info["name"]

        def decide(draft: Draft) -> str:
            self._put(draft, _named(draft, name), asked)
            return name

        return await self._change(decide)

    async def _delete(self, request: web.Request) -> Any:
        name = request.match_info["name"]

        def decide(draft: Draft) -> None:
            group = _named(draft, name)
            for service in draft.records(Service):
                if service.status != "INACTIVE" and group.arn in named_by(service):
                    raise AwsError(
                        f"Target group {name!r} is in use by service {service.name!r}.", code="ResourceInUse"
                    )
            for listener in [each for each in draft.records(Listener) if each.group == group.arn]:
                draft.delete(listener)
            draft.delete(group)

        await self._committer.commit(decide, cause=self._names.uuid())
        return {"deleted": name}

    async def _change(self, decide: Callable[[Draft], str]) -> Any:
        name = await self._committer.commit(decide, cause=self._names.uuid())
        return render(self._store.view(), _named(self._store.view(), name))

    def _put(self, draft: Draft, group: TargetGroup, asked: _Settings) -> None:
        given = {member: getattr(asked, member) for member in _OF_GROUP}
        check = {ours: getattr(asked, member) for member, ours in _OF_CHECK.items()}
        group = msgspec.structs.replace(
            group,
            check=msgspec.structs.replace(group.check, **_without_none(check)),
            **_without_none(given),
        )
        draft.put(group)
        for port in asked.listen:
            self._listen(draft, group, port)
        draft.tell(Kind.TARGET_GROUP, group.arn, id=draft.cause, name=group.name, listen=asked.listen)

    def _listen(self, draft: Draft, group: TargetGroup, port: int) -> None:
        standing = draft.record(Listener, str(port))
        if standing is not None:
            draft.put(msgspec.structs.replace(standing, group=group.arn))
            return
        if sum(1 for _ in draft.records(Listener)) >= LISTENERS_MAX:
            raise AwsError(f"There are {LISTENERS_MAX} listeners already.", code="TooManyListeners")
        if shutil.which(self._program) is None:
            raise AwsError(not_found(self._program), code="ProxyNotFound")
        if _is_taken(self._host, port):
            raise AwsError(f"Port {port} of {self._host} is taken: listen on another one.", code="PortInUse")
        draft.put(Listener(port=port, arn=self._names.listener(), group=group.arn))

    async def _answered(self, request: web.Request, answer: Callable[[web.Request], Any]) -> web.Response:
        try:
            return _json(await answer(request))
        except AwsError as error:
            return refused_by(error)


def named_by(service: Service) -> set[str]:
    """Target groups (ARNs) that a service names, its task sets included."""
    bodies = [service.body, *(d.task_set.body for d in service.deployments if d.task_set is not None)]
    balancers = [balancer for body in bodies for balancer in body.get("loadBalancers", [])]
    others = {balancer.get("advancedConfiguration", {}).get("alternateTargetGroupArn", "") for balancer in balancers}
    return {balancer.get("targetGroupArn", "") for balancer in balancers} | others


def render(view: View, group: TargetGroup) -> dict[str, Any]:
    """A group with its listeners and targets; member names after elbv2's."""
    names = {each.arn: each.name for each in view.records(TargetGroup)}
    listeners = sorted(view.records(Listener), key=lambda listener: listener.port)
    parts = {listener.port: dict(shares(view, listener)) for listener in listeners}
    return {
        "targetGroupArn": group.arn,
        "targetGroupName": group.name,
        "protocol": group.protocol,
        "port": group.port,
        "targetType": group.target_type,
        **{_ON_WIRE[member]: getattr(group.check, ours) for member, ours in _OF_CHECK.items()},
        "deregistrationDelaySeconds": group.deregistration_delay_seconds,
        "slowStartSeconds": group.slow_start_seconds,
        "propagationSeconds": group.propagation_seconds,
        "listeners": [
            {
                "port": listener.port,
                "listenerArn": listener.arn,
                "ruleArn": listener.rule,
                "resourceLabel": f"{listener.balancer}/{group.label}",
                "percent": {names[arn]: part / 10 for arn, part in parts[listener.port].items() if arn in names},
            }
            for listener in listeners
            if listener.group == group.arn or parts[listener.port].get(group.arn)
        ],
        "targets": [
            {
                "task": task.arn,
                "address": target.address,
                "port": target.port,
                "state": target.state,
                "reason": target.reason,
            }
            for task in view.records(Task)
            for target in task.targets
            if target.group == group.arn and target.state not in {TargetState.WAITING, TargetState.UNUSED}
        ],
    }


def _without_none(members: dict[str, Any]) -> dict[str, Any]:
    return {member: value for member, value in members.items() if value is not None}


def _read(body: bytes, shape: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.MsgspecError as error:
        raise AwsError(f"The target group is not right: {error}.", code="ValidationError") from None


def _named(view: View, name: str) -> TargetGroup:
    for group in view.records(TargetGroup):
        if name in (group.name, group.arn):
            return group
    raise AwsError(f"There is no target group {name[:100]!r}.", code="TargetGroupNotFound", status=404)


def _is_taken(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def _json(body: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
