"""Is a run lost with its worker? python benchmarks/killed_worker.py /tmp/killed

Starts a Dask scheduler and two workers on this machine (pip install distributed), gives them the four runs of experiment x3 on the toy shop with one seed,
and kills one of the workers in the middle of a run. Prints what there was at the kill, what is there in the end, and whether everybody's ranks are
those of the same runs in one process, which are made last.
"""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mclrec.people import read_folder

SCHEDULER = "tcp://127.0.0.1:8799"
EXPERIMENT = [sys.executable, "-m", "mclrec", "experiment", "x3", "--seeds", "2020", "--out"]


def started(*command):
    "A process in a group of its own, silent."
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            env={**os.environ, "OMP_NUM_THREADS": "1"})


def main(folder):
    records, work = folder / "cluster" / "toy", folder / "cluster" / ".work"
    if folder.exists(): sys.exit(f"{folder} is there; give a folder that is not.")
    dask = sys.executable, "-m", "distributed.cli.dask_scheduler"
    at_work = [started(*dask, "--port", SCHEDULER.rsplit(":")[-1], "--no-dashboard")]
    worker = sys.executable, "-m", "distributed.cli.dask_worker", SCHEDULER, "--nthreads", "1", "--no-nanny", "--no-dashboard"
    at_work += [started(*worker) for _ in range(2)]
    try:
        asked = subprocess.Popen([*EXPERIMENT, str(folder / "cluster"), "--backend", f"dask={SCHEDULER}"])
        while asked.poll() is None and not (any(records.glob("*.json")) and len(list(work.glob("*.claim"))) == 2): time.sleep(0.1)
        time.sleep(3)
        print(f"killed one of two workers; records {len(list(records.glob('*.json')))}, runs begun {len(list(work.glob('*.claim')))}", flush=True)
        os.killpg(at_work[1].pid, signal.SIGKILL)
        if asked.wait(): sys.exit("the experiment ended with an error; see above.")
    finally:
        for process in at_work: os.killpg(process.pid, signal.SIGKILL)
        for process in at_work: process.wait()
    subprocess.run([*EXPERIMENT, str(folder / "alone")], check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    there, alone = read_folder(records), read_folder(folder / "alone" / "toy")
    same = sum(there[name]["ranks"] == alone[name]["ranks"] for name in there)
    print(f"{len(there)} records; {same} of {len(alone)} with the ranks of a run in one process; {len(list(work.glob('*.claim')))} left over")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
