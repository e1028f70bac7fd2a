"""Black-box rows after the integration tests of Amazon's agent: what a container listens on is reached on the host."""

import urllib.request

import pytest
from definitions import container, running

pytestmark = pytest.mark.docker


def serving(name, *ports, host_ports):
    """A container that answers on each port with its name and the port."""
    pages = "; ".join(f"mkdir -p /tmp/{port}; echo {name} {port} >/tmp/{port}/index.html" for port in ports)
    servers = "; ".join(f"httpd -p {port} -h /tmp/{port}" for port in ports)
    mappings = [{"containerPort": p, "hostPort": h} for p, h in zip(ports, host_ports, strict=True)]
    return container(
        name, command=["sh", "-c", f"{pages}; {servers}; exec stubborn"], portMappings=mappings, stopTimeout=2
    )


def test_several_port_forwards_fixed_and_dynamic(host, free_port_2, free_port_3):
    """TestPortForward, TestMultiplePortForwards, TestDynamicPortForward, TestMultipleDynamicPortForward. Both: each
    container port is reached on its host port; a dynamic one is told with the RUNNING of its container. Amazon's
    chooses dynamic ports itself; ours lets Docker choose."""
    task, _ = running(
        host,
        serving("fixed", 80, 81, host_ports=(free_port_2, free_port_3)),
        serving("dynamic", 80, 81, host_ports=(0, 0)),
    )
    shown = host.task(task)["containers"]
    told = {c["name"]: {b["containerPort"]: b["hostPort"] for b in c["networkBindings"]} for c in shown}
    assert told["fixed"] == {80: free_port_2, 81: free_port_3}
    assert len({*told["dynamic"].values(), *told["fixed"].values()}) == 4
    for name, bindings in told.items():
        for inside, outside in bindings.items():
            page = host.until(lambda port=outside: _get(port), f"port {outside} answers")
            assert page == f"{name} {inside}\n"


def _get(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
            return answer.read().decode()
    except OSError:
        return None
