"""A Ray cluster on this machine's loopback: one node, two workers."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Cluster:
    process: subprocess.Popen[str]
    port: int

    @property
    def engine(self) -> str:
        return f"ray:127.0.0.1:{self.port}"

    def processes(self, name: str) -> list[psutil.Process]:
        """Those of this cluster whose command begins so."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if Path(process.cmdline()[0]).name.startswith(name):
                    found.append(process)
        return found

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def ray_cluster() -> Iterator[Cluster]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # pytest's own folders have names too long for a socket
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        line = f"--head --block --port={port} --node-ip-address=127.0.0.1 --num-cpus=2 --include-dashboard=false"
        line += f" --disable-usage-stats --object-store-memory=100000000 --temp-dir={folder}"
        process = subprocess.Popen(
            [Path(sys.executable).with_name("ray"), "start", *line.split()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'images'}"},
        )
        cluster = Cluster(process, port)
        try:
            assert process.stdout is not None
            assert any("runtime started" in line for line in process.stdout), "Ray did not start"
            yield cluster
        finally:
            cluster.kill()
            assert process.stdout is not None
            process.stdout.close()
