"""What common EC2 instance types register with ECS: CPU units, MiB of memory, GPUs.

Both programs read it: the agent that plays a host of a declared size, and the command line that checks the name.
Rule: 1024 units for a vCPU; memory is the nominal size less the share that kernel and firmware keep. That share is
measured on r5.large, which registers 15731 of 16384 MiB (aws/amazon-ecs-agent#4106), and assumed for the others.
"""

from typing import NamedTuple

CPU_UNITS = 1024
"""Units of one vCPU."""
_REGISTERED_MIB, _NOMINAL_MIB = 15731, 16384
"""r5.large, as it registers and as it is sold."""


class InstanceType(NamedTuple):
    """What an instance of this type registers."""

    name: str
    cpu: int
    """CPU units."""
    memory_mib: int
    gpus: int = 0


def _instance_type(name: str, vcpus: int, nominal_mib: int, gpus: int = 0) -> InstanceType:
    return InstanceType(name, vcpus * CPU_UNITS, nominal_mib * _REGISTERED_MIB // _NOMINAL_MIB, gpus)


_VCPUS = {"medium": 1, "large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16}
_GIB_PER_VCPU = {"c": 2, "m": 4, "r": 8}
_GENERATIONS = {
    # Graviton has a medium; the others begin at large.
    ("large", "xlarge", "2xlarge", "4xlarge"): ("5", "5a", "6i", "6a", "7i", "7a"),
    ("medium", "large", "xlarge", "2xlarge", "4xlarge"): ("6g", "7g"),
}
_BURSTABLE = {
    # size: (vCPUs of t2, vCPUs of t3 and later, MiB)
    "nano": (1, 2, 512),
    "micro": (1, 2, 1024),
    "small": (1, 2, 2048),
    "medium": (2, 2, 4096),
    "large": (2, 2, 8192),
    "xlarge": (4, 4, 16384),
    "2xlarge": (8, 8, 32768),
}
_ACCELERATED = {
    # by size: vCPUs, GiB and GPUs
    "g4dn": {"xlarge": (4, 16, 1), "2xlarge": (8, 32, 1), "4xlarge": (16, 64, 1), "12xlarge": (48, 192, 4)},
    "g5": {"xlarge": (4, 16, 1), "2xlarge": (8, 32, 1), "4xlarge": (16, 64, 1), "12xlarge": (48, 192, 4)},
    "g6": {"xlarge": (4, 16, 1), "2xlarge": (8, 32, 1), "4xlarge": (16, 64, 1), "12xlarge": (48, 192, 4)},
    "p3": {"2xlarge": (8, 61, 1), "8xlarge": (32, 244, 4), "16xlarge": (64, 488, 8)},
    "p4d": {"24xlarge": (96, 1152, 8)},
}


def _all() -> list[InstanceType]:
    table = []
    for size, (t2_vcpus, vcpus, nominal_mib) in _BURSTABLE.items():
        table.append(_instance_type(f"t2.{size}", t2_vcpus, nominal_mib))
        table += [_instance_type(f"{family}.{size}", vcpus, nominal_mib) for family in ("t3", "t3a", "t4g")]
    for letter, gib in _GIB_PER_VCPU.items():
        for sizes, generations in _GENERATIONS.items():
            table += [
                _instance_type(f"{letter}{generation}.{size}", _VCPUS[size], _VCPUS[size] * gib * 1024)
                for generation in generations
                for size in sizes
            ]
    for family, kinds in _ACCELERATED.items():
        table += [
            _instance_type(f"{family}.{size}", vcpus, gib * 1024, gpus) for size, (vcpus, gib, gpus) in kinds.items()
        ]
    return table


INSTANCE_TYPES = {instance_type.name: instance_type for instance_type in _all()}
"""By name."""


def nearest(name: str) -> list[str]:
    """The three known types whose names are nearest to `name`, best first; of its family where that is known."""
    family = name.lower().partition(".")[0] + "."
    candidates = [known for known in INSTANCE_TYPES if known.startswith(family)] or list(INSTANCE_TYPES)
    from difflib import get_close_matches  # noqa: PLC0415 - 0.2 MiB, for a slip of the pen alone

    return get_close_matches(name.lower(), candidates, n=3, cutoff=0)
