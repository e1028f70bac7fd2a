"""Where the kernel counts what it has killed in a container, in both versions of cgroups."""

import pytest

from agent.runtime.memory import kill_counter, was_killed

ID, PID = "a" * 64, 7


@pytest.fixture
def seen(tmp_path):
    def look(*rows):
        process = tmp_path / "proc" / str(PID)
        process.mkdir(parents=True, exist_ok=True)
        (process / "cgroup").write_text("".join(f"{row}\n" for row in rows))
        found = kill_counter(ID, PID, proc=tmp_path / "proc", cgroups=tmp_path / "cgroup")
        return found and str(found.relative_to(tmp_path / "cgroup"))

    return look


def test_version_one_beside_an_empty_tree_of_version_two(seen):
    rows = ["8:pids:/docker/" + ID, "4:cpu,memory:/docker/" + ID, "0::/docker/" + ID]
    assert seen(*rows) == seen(*reversed(rows)) == f"memory/docker/{ID}/memory.oom_control"


def test_version_two(seen, tmp_path):
    group = f"system.slice/docker-{ID}.scope"
    (tmp_path / "cgroup" / group).mkdir(parents=True)
    (tmp_path / "cgroup" / group / "memory.events").touch()
    assert seen(f"0::/{group}") == f"{group}/memory.events"


def test_a_process_that_is_not_in_the_containers_cgroup(seen, tmp_path):
    assert seen("4:memory:/", "0::/") is None
    assert kill_counter(ID, 8, proc=tmp_path / "proc") is None, "it has ended"


@pytest.mark.parametrize(
    ("rows", "killed"),
    [
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", False),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", True),
        ("low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n", True),
        ("low 0\nhigh 0\nmax 3\noom 1\noom_kill 0\noom_group_kill 1\n", False),
        ("oom_kill_disable 0\nunder_oom 0\n", None),
    ],
)
def test_what_the_kernel_has_counted(rows, killed, tmp_path):
    counter = tmp_path / "counter"
    counter.write_text(rows)
    assert was_killed(counter) is killed


def test_a_cgroup_that_is_gone(tmp_path):
    assert was_killed(tmp_path / "gone") is None
