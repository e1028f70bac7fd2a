"""The agent's numbers in Prometheus' text format, written by hand: the agent carries no metrics library.

Source: Prometheus documentation, "Exposition formats" (text, version 0.0.4).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from agent.core.queueing import Host
from agent.core.state import TaskState
from wire.resources import Amounts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Samples = Sequence[tuple[dict[str, str], float]]


def text(tasks: Iterable[TaskState], host: Host, told: Mapping[str, int], *, instance: str) -> str:
    """All metrics; `told` counts the story's lines by kind, `instance` is the container instance's ARN."""
    tasks = list(tasks)
    by_known = Counter(task.known.name for task in tasks)
    containers = Counter(container.known.name for task in tasks for container in task.containers)
    free = host.ledger.free
    held = Amounts(host.ledger.registered.cpu - free.cpu, host.ledger.registered.memory_mib - free.memory_mib)
    queued: Samples = [({}, len(list(host.waiting)))]
    lines: list[str] = []
    _add(lines, "berth_agent_info", "gauge", "Which agent this is.", [({"instance": instance}, 1)])
    _add(lines, "berth_agent_tasks", "gauge", "Tasks by known status.", _by("known", by_known))
    _add(lines, "berth_agent_containers", "gauge", "Containers by known status.", _by("known", containers))
    _add(lines, "berth_agent_queued_tasks", "gauge", "Tasks that wait for room.", queued)
    registered = _resources(host.ledger.registered)
    _add(lines, "berth_agent_host_registered", "gauge", "Host ledger: CPU units and MiB of memory.", registered)
    _add(lines, "berth_agent_host_held", "gauge", "Host ledger: held by tasks.", _resources(held))
    waiting: Samples = [({}, sum(len(task.outbox) for task in tasks))]
    _add(lines, "berth_agent_reports_waiting", "gauge", "Reports that the control plane has not taken.", waiting)
    _add(lines, "berth_agent_story_lines_total", "counter", "Lines of the story by kind.", _by("kind", told))
    _add(lines, "process_resident_memory_bytes", "gauge", "Resident memory.", [({}, _resident_bytes())])
    return "\n".join(lines) + "\n"


def _resident_bytes() -> int:
    import psutil  # noqa: PLC0415 - 0.8 MiB, for who asks how much it is

    return psutil.Process().memory_info().rss


def _add(lines: list[str], name: str, kind: str, meaning: str, samples: Samples) -> None:
    lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{{{shown}}} {value:g}" if shown else f"{name} {value:g}")


def _by(label: str, counts: Mapping[str, int]) -> Samples:
    return [({label: key}, count) for key, count in sorted(counts.items())]


def _resources(amounts: Amounts) -> Samples:
    return [({"resource": "cpu"}, amounts.cpu), ({"resource": "memory_mib"}, amounts.memory_mib)]


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
