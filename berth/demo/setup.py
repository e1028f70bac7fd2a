"""What one run of the demonstration is made of, and the usual remedies that change it.

The numbers are those of aws/amazon-ecs-agent#4106: r5.large hosts, tasks of 1024 CPU and 7372 MiB, two on each host.
"""

import math

import msgspec

from berth.cli.options import duration_seconds, duration_text
from berth.errors import UserError
from berth.groups import GroupSetting
from wire.instance_types import INSTANCE_TYPES, InstanceType

SERVICE = "web"
CONTAINER = "web"
IMAGE = "berth/stubborn:latest"
TASKS = 4
CPU = 1024
MEMORY_MIB = 7372
GROUP = "asg"
GROUP_MAX = 10
PROVIDER = "cp"
QUIT_SECONDS = 2
"""How long a task without a job takes to quit."""
GRACE_BEYOND_JOB_SECONDS = 20
HOSTS_LEAST = 2
INSTANCE_TYPE: InstanceType = INSTANCE_TYPES["r5.large"]
STRATEGIES = {
    "binpack": {"type": "binpack", "field": "memory"},
    "spread": {"type": "spread", "field": "instanceId"},
}
MAXIMUM_PERCENTS = range(100, 401)
REMEDIES = "stop-timeout=10s, maximum-percent=100, reserve=MIB, binpack, spread, protection"


class Remedies(msgspec.Struct, frozen=True):
    """The remedies of a run together; the defaults are none."""

    stop_timeout_seconds: int | None = None
    maximum_percent: int = 200
    reserved_memory_mib: int = 0
    strategy: str | None = None
    is_protected: bool = False
    """The job protects its task from scale-in for as long as it lasts."""
    text: str | None = None
    """As the user wrote them; None where there are none."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    release: str
    """`eager` or `on-exit`."""
    job_seconds: int
    preset: str = "ecs-2026"
    remedies: Remedies = Remedies()
    time_scale: int | None = None
    """With a capacity provider, whose clock runs so much faster; None: hosts come by hand."""

    @property
    def stop_timeout_seconds(self) -> int:
        """The tasks' stopTimeout: enough for the job, unless a remedy says otherwise."""
        return self.remedies.stop_timeout_seconds or self.job_seconds + GRACE_BEYOND_JOB_SECONDS

    @property
    def job_ends_seconds(self) -> int:
        """When the job's container will be gone, in seconds after the deploy: at its end, or killed."""
        if self.remedies.is_protected:
            return self.job_seconds + QUIT_SECONDS
        return min(self.job_seconds, self.stop_timeout_seconds)

    @property
    def slots(self) -> int:
        """Tasks that fit on one host."""
        return slots(self.remedies.reserved_memory_mib)

    @property
    def hosts(self) -> int:
        """Hosts that the old tasks need; #4106 has two."""
        return max(HOSTS_LEAST, math.ceil(TASKS / self.slots))

    @property
    def title(self) -> str:
        """The run in a few words."""
        policy = f", policy {self.preset}" if self.preset != "ecs-2026" else ""
        return f"{self.release} release{policy}" + (f", {self.remedies.text}" if self.remedies.text else "")

    @property
    def has_provider(self) -> bool:
        """Whether hosts are bought by managed scaling."""
        return self.time_scale is not None

    @property
    def group(self) -> GroupSetting:
        """The instance group, with its capacity provider: AWS's numbers, a boot of two minutes."""
        return GroupSetting(
            name=GROUP,
            minimum=self.hosts,
            maximum=GROUP_MAX,
            types=(INSTANCE_TYPE.name,),
            boot_seconds=120,
            provider=PROVIDER,
        )

    @property
    def shape(self) -> str:
        """The deployment in a line."""
        return (
            f"{SERVICE}:1 → {SERVICE}:2  desired {TASKS}  min 0 % max {self.remedies.maximum_percent} %  "
            f"{self.hosts} hosts of {self.slots}  job {duration_text(self.job_seconds)}, "
            f"grace {duration_text(self.stop_timeout_seconds)}"
        )


def slots(reserved_memory_mib: int) -> int:
    """Tasks that fit on one host of which so much memory (MiB) is reserved."""
    return min(INSTANCE_TYPE.cpu // CPU, (INSTANCE_TYPE.memory_mib - reserved_memory_mib) // MEMORY_MIB)


def read_remedies(words: tuple[str, ...]) -> Remedies:
    """Read the `--remedy` options.

    Raises:
        UserError: unknown, given twice, contradictory, or impossible.
    """
    members: dict[str, object] = {}
    for word in words:
        name, _, value = word.partition("=")
        member, meaning = _read(name.strip().lower(), value.strip(), word)
        if member in members:
            raise UserError(f"--remedy {word} contradicts another one: give one of its kind.")
        members[member] = meaning
    return msgspec.convert({**members, "text": ", ".join(words) or None}, Remedies)


def _read(name: str, value: str, word: str) -> tuple[str, object]:
    if name in STRATEGIES and not value:
        return "strategy", name
    if name == "protection" and not value:
        return "is_protected", True
    if name == "stop-timeout":
        seconds = duration_seconds(value)
        if seconds is None:
            raise UserError(f"--remedy {word}: the time must be a duration such as 10s or 2m.")
        return "stop_timeout_seconds", seconds
    if name == "maximum-percent":
        percent = _number(value, word)
        if percent not in MAXIMUM_PERCENTS:
            raise UserError(f"--remedy {word}: the percentage must be from 100 to 400.")
        return "maximum_percent", percent
    if name == "reserve":
        mib = _number(value, word)
        if slots(mib) < 1:
            left = max(INSTANCE_TYPE.memory_mib - mib, 0)
            raise UserError(
                f"--remedy {word} leaves {left} MiB of {INSTANCE_TYPE.name}, too little for a task of {MEMORY_MIB} MiB."
            )
        return "reserved_memory_mib", mib
    raise UserError(f"{word!r} is no remedy; there are {REMEDIES}.")


def _number(value: str, word: str) -> int:
    if not value.isdecimal():
        raise UserError(f"--remedy {word} needs a whole number after the =.")
    return int(value)
