"""How a host becomes an instance, and where its agent then connects to.

The agent insists on getting every attribute back that it sent, and on its ARN staying the same over its restarts.
Source: amazon-ecs-agent `ecs-agent/api/ecs/client/ecs_client.go` (registerContainerInstance); recorded traffic.
"""

import msgspec

from controlplane.api.call import Answer, Call
from controlplane.api.clusters import DEFAULT_CLUSTER, cluster_of, ensure_cluster
from controlplane.api.container_instances import render
from controlplane.api.references import short_name
from controlplane.api.tag_rules import check_tags
from controlplane.core.capacity.model import Group, Machine
from controlplane.core.model import Cluster, Instance, Release
from controlplane.core.view import Draft, View
from wire.arn import parse
from wire.errors import ClientException, InvalidParameterException
from wire.extensions import INSTANCE_TYPE_ATTRIBUTE, RELEASE_ATTRIBUTE, ZONE_ATTRIBUTE
from wire.holds import Ledger
from wire.resources import Amounts, from_resources, with_devices
from wire.status import InstanceStatus
from wire.story import Kind

Attributes = dict[str, dict[str, str]]
"""Amazon's `{name, value?}` by name."""


class Identity(msgspec.Struct, rename="camel", frozen=True):
    """What is read from `instanceIdentityDocument`; all of it may be missing (external instances have none)."""

    instance_id: str = ""
    instance_type: str = ""
    availability_zone: str = ""


def register_container_instance(draft: Draft, call: Call) -> Answer:
    """RegisterContainerInstance. The cluster `default` is made where it is missing; no other is."""
    name = short_name(call, "cluster", call.text("cluster") or DEFAULT_CLUSTER)
    cluster = ensure_cluster(draft, call, name) if name == DEFAULT_CLUSTER else cluster_of(draft, call)
    check_tags(call.body.get("tags", ()))
    known = _known(draft, call, cluster)
    instance = _instance(draft, call, cluster, known)
    if instance != known:
        if known is not None:
            instance = msgspec.structs.replace(instance, version=known.version + 1)
        draft.put(instance)
    if known is None:
        draft.tell(
            Kind.INSTANCE_REGISTERED,
            instance.arn,
            cluster=cluster.name,
            cpu=instance.registered.cpu,
            memory_mib=instance.registered.memory_mib,
            zone=instance.attribute(ZONE_ATTRIBUTE) or "",
            instance_type=instance.attribute(INSTANCE_TYPE_ATTRIBUTE) or "",
            ec2_instance_id=instance.ec2_instance_id,
            release=instance.release,
        )
    free = Ledger(instance.registered).free if known is None else draft.free(instance.arn)
    return {"containerInstance": render(draft, instance, {"TAGS"}, free=free)}


def discover_poll_endpoint(_: View, call: Call) -> Answer:
    """DiscoverPollEndpoint: the host that the agent already talks to. Agents keep the answer for twelve hours."""
    return {"endpoint": f"{call.url}/acs/", "telemetryEndpoint": f"{call.url}/tcs/"}


def _known(draft: Draft, call: Call, cluster: Cluster) -> Instance | None:
    """The instance that registers again: by the ARN it brings, or by the token of a repeated request."""
    arn, token = call.text("containerInstanceArn"), call.text("clientToken")
    if arn:
        instance = draft.instance(arn)
        if instance is not None and instance.status is InstanceStatus.INACTIVE:
            raise ClientException(
                f"The container instance {arn} has been deregistered. "
                "Remove its agent's data directory to register a new one."
            )
        if instance is not None and instance.cluster != cluster.name:
            raise ClientException(
                f"The container instance {arn} belongs to the cluster {instance.cluster}. "
                "Remove its agent's data directory to register it elsewhere."
            )
        return instance
    alive = (i for i in draft.instances(cluster.name) if i.status is not InstanceStatus.INACTIVE)
    return next((instance for instance in alive if token and instance.client_token == token), None)


def _instance(draft: Draft, call: Call, cluster: Cluster, known: Instance | None) -> Instance:
    identity = _identity(call.text("instanceIdentityDocument"))
    attributes = _attributes(call, identity)
    if known is not None:
        old = known.attribute(INSTANCE_TYPE_ATTRIBUTE)
        if identity.instance_type and old and identity.instance_type != old:
            raise ClientException(
                f"Container instance type changes are not supported. Container instance {known.arn} was previously "
                f"registered as {old}."
            )
        attributes = {attribute["name"]: attribute for attribute in known.attributes} | attributes
    return Instance(
        arn=known.arn if known else _arn(call, cluster),
        cluster=cluster.name,
        status=known.status if known else InstanceStatus.ACTIVE,
        agent_connected=known.agent_connected if known else False,
        connected_at=known.connected_at if known else None,
        registered=_amounts(call),
        attributes=tuple(attributes.values()),
        tags=tuple(call.body.get("tags", ())),
        ec2_instance_id=identity.instance_id,
        group=_group(draft, cluster, identity.instance_id),
        registered_at=known.registered_at if known else draft.now,
        release=_release(attributes),
        agent_version=known.agent_version if known else "",
        docker_version=known.docker_version if known else "",
        runtime=known.runtime if known else None,
        client_token=call.text("clientToken"),
        version=known.version if known else 1,
    )


def _group(draft: Draft, cluster: Cluster, instance_id: str) -> str | None:
    """Name of the instance group of this cluster that the host is a member of."""
    machine = draft.record(Machine, instance_id)
    group = draft.record(Group, machine.group) if machine is not None else None
    return group.name if group is not None and group.cluster == cluster.name else None


def _arn(call: Call, cluster: Cluster) -> str:
    """A new ARN; or the one that the agent brings, where we have lost it: an agent never takes another."""
    brought = parse(call.text("containerInstanceArn"))
    if brought is not None and str(brought) == call.arns.container_instance(cluster.name, brought.id):
        return str(brought)
    return call.arns.container_instance(cluster.name, call.names.uuid().replace("-", ""))


def _amounts(call: Call) -> Amounts:
    try:
        amounts = with_devices(
            from_resources(call.body.get("totalResources", ())), call.body.get("platformDevices", ())
        )
    except (KeyError, ValueError):
        raise InvalidParameterException("totalResources can not be read.") from None
    if amounts.cpu <= 0 or amounts.memory_mib <= 0:
        raise InvalidParameterException("totalResources should have a CPU and a MEMORY of more than 0.")
    return amounts


def _identity(document: str) -> Identity:
    try:
        return msgspec.json.decode(document or "{}", type=Identity)
    except (msgspec.MsgspecError, RecursionError):
        raise ClientException("The instance identity document is no JSON object with string members.") from None


def _attributes(call: Call, identity: Identity) -> Attributes:
    known = {INSTANCE_TYPE_ATTRIBUTE: identity.instance_type, ZONE_ATTRIBUTE: identity.availability_zone}
    found: Attributes = {name: {"name": name, "value": value} for name, value in known.items() if value}
    for attribute in call.body.get("attributes", ()):
        found[attribute["name"]] = {
            member: attribute[member] for member in ("name", "value") if attribute.get(member) is not None
        }
    return found


def _release(attributes: Attributes) -> Release:
    value = attributes.get(RELEASE_ATTRIBUTE, {}).get("value", Release.NONE)
    if value not in list(Release):
        raise InvalidParameterException(f"{RELEASE_ATTRIBUTE} should be one of [{Release.EAGER},{Release.ON_EXIT}]")
    return Release(value)
