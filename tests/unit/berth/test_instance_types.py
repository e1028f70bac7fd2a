"""The table of instance types."""

from wire.instance_types import INSTANCE_TYPES, nearest


def test_r5_large_registers_what_4106_shows() -> None:
    r5_large = INSTANCE_TYPES["r5.large"]
    assert (r5_large.cpu, r5_large.memory_mib) == (2048, 15731)


def test_common_types_are_there_and_larger_ones_register_more() -> None:
    for family in ("t3", "m5", "c5", "r5", "m6i", "c6i", "r6i", "m7g"):
        sizes = [INSTANCE_TYPES[f"{family}.{size}"] for size in ("large", "xlarge", "2xlarge")]
        assert sizes == sorted(sizes, key=lambda each: each.memory_mib)
    assert INSTANCE_TYPES["t3.nano"].memory_mib < 512
    assert (INSTANCE_TYPES["c5.xlarge"].cpu, INSTANCE_TYPES["c5.xlarge"].memory_mib) == (4096, 7865)
    assert INSTANCE_TYPES["t2.micro"].cpu == 1024


def test_the_nearest_names() -> None:
    assert nearest("r5.larg")[0] == "r5.large"
    assert nearest("M5.LARGE")[0] == "m5.large"
    assert "r5.large" in nearest("r5.huge")
    assert all(name.startswith("c6i.") for name in nearest("c6i.48xlarge"))
    assert len(nearest("")) == 3
