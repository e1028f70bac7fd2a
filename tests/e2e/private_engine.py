"""A Docker Engine of a test's own, to be restarted, killed and hung: own socket, data, containerd and pid file.

It has a network namespace of its own too: a daemon with `--bridge=none` removes `docker0` from the one that it runs
in, and this machine's engine needs it.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import docker

ANSWER_SECONDS = 30
IMAGE = "berth/stubborn:latest"


class PrivateEngine:
    """No bridge and no packet filter rules: its tasks have the network mode `none` or `host`."""

    def __init__(self, *, live_restore):
        self.path = Path(tempfile.mkdtemp(prefix="berth-engine-"))  # short: a socket's path has 107 characters at most
        self.address = f"unix://{self.path}/s"
        self.live_restore = live_restore
        self.interfaces = _interfaces()
        self.process = None
        self.start()
        saved = subprocess.run(["docker", "save", IMAGE], check=True, capture_output=True).stdout
        subprocess.run(["docker", "-H", self.address, "load"], input=saved, check=True, capture_output=True)
        self.client = docker.APIClient(base_url=self.address, version="auto", timeout=30)

    def start(self):
        command = [
            "unshare",
            "--net",
            "dockerd",
            "-H",
            self.address,
            "--data-root",
            self.path / "data",
            "--exec-root",
            self.path / "exec",
        ]
        command += ["--pidfile", self.path / "pid", "--bridge=none", "--iptables=false", "--shutdown-timeout=5"]
        command += ["--live-restore"] * self.live_restore
        (self.path / "pid").unlink(missing_ok=True)
        with (self.path / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        ends = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < ends:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as knock:
                knock.connect(str(self.path / "s"))
                knock.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                if b" 200 " in knock.recv(1000):
                    return
            time.sleep(0.05)
        raise AssertionError((self.path / "log").read_text()[-3000:])

    def end(self, number=signal.SIGTERM):
        its_containerd = int((self.path / "exec/containerd/containerd.pid").read_text())
        self.process.send_signal(number)
        self.process.wait(30)
        ends = time.monotonic() + ANSWER_SECONDS
        while Path(f"/proc/{its_containerd}").exists() and time.monotonic() < ends:
            time.sleep(0.02)  # killed with it, but a new engine takes one that nobody has reaped for one that lives

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def state(self, docker_id):
        return self.client.inspect_container(docker_id)["State"]

    def wake(self):
        """Whatever was done to it, it answers again."""
        self.thaw()
        if self.process.poll() is not None:
            self.start()

    def close(self):
        """Remove every container, end the engine, and all that it has left on this machine."""
        self.wake()
        for row in self.client.containers(all=True):
            with contextlib.suppress(docker.errors.APIError):
                self.client.remove_container(row["Id"], force=True)
        left = self.client.containers(all=True)
        self.client.close()
        self.end()
        for pid in _processes_under(self.path):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(f"{self.path}/")), reverse=True):
            subprocess.run(["umount", mount], check=True)
        shutil.rmtree(self.path)
        assert left == []
        assert self.interfaces <= _interfaces(), "what this machine's own engine needs is still there"


def _interfaces():
    """Network interfaces of this machine that containers do not come and go with."""
    return {name for _, name in socket.if_nameindex() if not name.startswith(("veth", "br-"))}


def _processes_under(path):
    """Processes of this engine: its directory stands in their command line."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"{path}/".encode() in (entry / "cmdline").read_bytes():
                yield int(entry.name)
