"""What of a container definition ACS has no member for, in Docker's own API shape (`dockerConfig`). Pure translation.

Source: Docker Engine API, `ContainerCreate`; API reference, `ContainerDefinition`, `LinuxParameters`.
"""

from typing import Any

BYTES_PER_MIB = 1024 * 1024


def docker_config(container: dict[str, Any]) -> dict[str, Any]:
    """What of a container definition stands in Docker's `Config`."""
    names = {
        "user": "User",
        "workingDirectory": "WorkingDir",
        "hostname": "Hostname",
        "dockerLabels": "Labels",
        "pseudoTerminal": "Tty",
        "interactive": "OpenStdin",
        "disableNetworking": "NetworkDisabled",
    }
    return _renamed(container, names)


def docker_host_config(container: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """What of a container definition stands in Docker's `HostConfig`."""
    names = {
        "privileged": "Privileged",
        "readonlyRootFilesystem": "ReadonlyRootfs",
        "dnsServers": "Dns",
        "dnsSearchDomains": "DnsSearch",
        "dockerSecurityOptions": "SecurityOpt",
    }
    mode = network_mode(body)
    # With a network of the task's own the mode is the agent's to say: it alone knows whose namespace that is.
    host: dict[str, Any] = ({} if mode == "awsvpc" else {"NetworkMode": mode}) | _renamed(container, names)
    if container.get("memoryReservation"):
        host["MemoryReservation"] = container["memoryReservation"] * BYTES_PER_MIB
    if container.get("extraHosts"):
        host["ExtraHosts"] = [f"{extra['hostname']}:{extra['ipAddress']}" for extra in container["extraHosts"]]
    if container.get("ulimits"):
        host["Ulimits"] = [
            {"Name": limit["name"], "Soft": limit["softLimit"], "Hard": limit["hardLimit"]}
            for limit in container["ulimits"]
        ]
    if container.get("systemControls"):
        host["Sysctls"] = {control["namespace"]: control["value"] for control in container["systemControls"]}
    if container.get("logConfiguration"):
        log = container["logConfiguration"]
        host["LogConfig"] = {"Type": log["logDriver"], "Config": log.get("options", {})}
    return host | _linux(container.get("linuxParameters", {}), container)


def _linux(linux: dict[str, Any], container: dict[str, Any]) -> dict[str, Any]:
    capabilities = linux.get("capabilities", {})
    host = _renamed(capabilities, {"add": "CapAdd", "drop": "CapDrop"})
    host |= _renamed(linux, {"initProcessEnabled": "Init", "swappiness": "MemorySwappiness"})
    if linux.get("sharedMemorySize"):
        host["ShmSize"] = linux["sharedMemorySize"] * BYTES_PER_MIB
    if "maxSwap" in linux and container.get("memory"):
        host["MemorySwap"] = (container["memory"] + linux["maxSwap"]) * BYTES_PER_MIB
    if linux.get("tmpfs"):
        host["Tmpfs"] = {
            mount["containerPath"]: ",".join([*mount.get("mountOptions", ()), f"size={mount['size']}m"])
            for mount in linux["tmpfs"]
        }
    if linux.get("devices"):
        host["Devices"] = [
            {
                "PathOnHost": device["hostPath"],
                "PathInContainer": device.get("containerPath", device["hostPath"]),
                "CgroupPermissions": "".join(right[0] for right in device.get("permissions", ())) or "rwm",
            }
            for device in linux["devices"]
        ]
    return host


def network_mode(body: dict[str, Any]) -> str:
    """The task's network mode; ECS's default on EC2 is bridge."""
    return body.get("networkMode") or "bridge"


def _renamed(shape: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The members that are set, under Docker's names."""
    return {name: shape[member] for member, name in names.items() if shape.get(member) not in (None, [], {}, "")}
