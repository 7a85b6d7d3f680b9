"""A study on two hosts with addresses and file systems of their own, one of which dies in the middle.

    sudo python tests/cluster/two_hosts.py

Makes two network namespaces joined to this one by a bridge (10.77.0.0/24), starts a dask scheduler here, one worker in
each, with a file system of its own in memory where the study's folder lies; carries a small study out through them;
kills one worker when the first run is in; carries the same study out here in one process; compares every file. Needs
root, the commands ip (iproute2), unshare and mount, and the extra ``cluster``. Exits with 0 if all files agree, 77
where the tools are not there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import torture

SKIPPED = 77
BRIDGE, SUBNET, PORT = "nasbr0", "10.77.0", 8786
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def sh(command: str, check: bool = True) -> None:
    """One command, its output kept for its failure."""
    subprocess.run(command.split(), check=check, capture_output=True)


def tools_are_there() -> bool:
    """Whether namespaces can be made here."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "mount", "dask"))):
        return False
    made = subprocess.run(["ip", "netns", "add", "nasprobe"], capture_output=True, check=False).returncode == 0
    sh("ip netns del nasprobe", check=False)
    return made


def build() -> None:
    """The bridge and the two hosts."""
    sh(f"ip link add {BRIDGE} type bridge")
    sh(f"ip addr add {SUBNET}.1/24 dev {BRIDGE}")
    sh(f"ip link set {BRIDGE} up")
    for number in (2, 3):
        sh(f"ip netns add nas{number}")
        sh(f"ip link add nasv{number} type veth peer name eth0 netns nas{number}")
        sh(f"ip link set nasv{number} master {BRIDGE} up")
        sh(f"ip netns exec nas{number} ip addr add {SUBNET}.{number}/24 dev eth0")
        sh(f"ip netns exec nas{number} ip link set eth0 up")
        sh(f"ip netns exec nas{number} ip link set lo up")


def tear_down() -> None:
    """Removes what ``build`` made."""
    for number in (2, 3):
        sh(f"ip netns del nas{number}", check=False)
    sh(f"ip link del {BRIDGE}", check=False)


def worker(number: int, folder: Path) -> subprocess.Popen[bytes]:
    """A dask worker on one host: its own address, and a file system of its own in place of the study's folder."""
    dask = f"dask worker tcp://{SUBNET}.1:{PORT} --nworkers 1 --nthreads 1 --no-dashboard --local-directory {folder}"
    command = [
        "ip",
        "netns",
        "exec",
        f"nas{number}",
        "unshare",
        "--mount",
        "sh",
        "-c",
        f"mount -t tmpfs own {folder} && export TMPDIR={folder} && exec {dask}",
    ]
    return subprocess.Popen(command, start_new_session=True, env=ENVIRONMENT, stderr=subprocess.DEVNULL)


def study(file: Path, out: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The command line on the study."""
    command = [sys.executable, "-m", "nas_stability", "study", str(file), "--out", str(out), "--no-report", *arguments]
    return subprocess.Popen(command, env=ENVIRONMENT, cwd=Path(__file__).parents[2])


def main() -> int:
    if not tools_are_there():
        print("skipped: needs root, ip, unshare, mount and dask")
        return SKIPPED
    folder = Path(tempfile.mkdtemp(prefix="cluster-", dir="/var/tmp"))
    file = folder / "small.toml"
    file.write_text(torture.STUDY.format(epochs=6))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        build()
        scheduler = ["dask", "scheduler", "--host", f"{SUBNET}.1", "--port", str(PORT), "--no-dashboard"]
        processes.append(subprocess.Popen(scheduler, start_new_session=True, stderr=subprocess.DEVNULL))
        processes += [worker(2, folder), worker(3, folder)]
        away = study(file, folder / "away", "--backend", "dask", "--scheduler", f"tcp://{SUBNET}.1:{PORT}")
        patience = time.monotonic() + 120
        while time.monotonic() < patience and not list((folder / "away").glob("*/run.json")):
            time.sleep(0.1)
        os.killpg(processes[1].pid, signal.SIGKILL)
        print("one worker killed")
        if away.wait(timeout=300) != 0 or study(file, folder / "here", "--workers", "1").wait(timeout=300) != 0:
            return 1
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        tear_down()
    runs = sorted(path.parent.name for path in (folder / "here").glob("*/run.json"))
    differing = [
        run for run in runs if torture.contents(folder / "away" / run) != torture.contents(folder / "here" / run)
    ]
    print(f"{len(runs)} runs, {len(differing)} differ {differing or ''}".rstrip())
    if not differing:
        shutil.rmtree(folder)
    return 1 if differing or not runs else 0


if __name__ == "__main__":
    raise SystemExit(main())
