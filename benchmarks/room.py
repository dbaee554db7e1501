"""What a room of kernels costs one machine: memory and processor time, kernel by kernel, while everybody opens chapter 10.

    python benchmarks/room.py results/room.json

Each kernel is asked for one stage after the other: to start; to run the chapter's imports; to run it as far as its first figure, for which it
trains for the first time. After each stage stands, for every kernel, what the kernel says of its process: `rss`, memory that it sees, in
megabytes; `pss`, its share of it, in which a page that k processes see counts as 1/k; `seconds` of processor time so far, in all its threads.
The sum of `pss` is what the room takes. Linux only. `threads` is how many each kernel's torch may use.
"""
import argparse
import json
import os
import platform
import re
from pathlib import Path

from jupyter_client import KernelManager

root = Path(__file__).resolve().parents[1]
CHAPTER = root / "nbs" / "2_the_method" / "10_meta_training.ipynb"


def stages():
    "The chapter's code up to its first figure: {stage: cells}."
    cells = ["".join(cell["source"]) for cell in json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    first = next(k for k, code in enumerate(cells) if "explorable(" in code and "import" not in code)
    imports = max(k for k, code in enumerate(cells[:first]) if re.match(r"(#.*\n)*(from|import) ", code)) + 1
    return {"started": ["pass"], "imports": cells[:imports], "first figure": cells[imports:first + 1]}


def memory(pid):
    "(rss, pss) of a process in megabytes."
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return tuple(round(int(re.search(rf"^{key}:\s+(\d+)", text, re.M)[1]) / 1024, 1) for key in ("Rss", "Pss"))


def seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def room(kernels, threads):
    env = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(root)}
    managers = [KernelManager(kernel_name="python3") for _ in range(kernels)]
    found = {}
    try:
        for one in managers:
            one.start_kernel(env=env, cwd=str(CHAPTER.parent))
        clients = [one.client() for one in managers]
        for client in clients:
            client.start_channels()
            client.wait_for_ready(timeout=600)
        for stage, cells in stages().items():
            for code in cells:  # everybody presses the key at once
                asked = [client.execute(code, store_history=False) for client in clients]
                for client, sent in zip(clients, asked):
                    while True:
                        reply = client.get_shell_msg(timeout=1200)
                        if reply["parent_header"].get("msg_id") == sent:
                            break
                    if reply["content"]["status"] != "ok":
                        raise SystemExit("\n".join(reply["content"].get("traceback", ["a kernel failed"])))
            pids = [one.provisioner.process.pid for one in managers]
            found[stage] = [{"rss": rss, "pss": pss, "seconds": round(seconds(pid), 2)} for pid in pids for rss, pss in [memory(pid)]]
            print(stage, f"{sum(k['pss'] for k in found[stage]):.0f} MB in all,", f"{sum(k['seconds'] for k in found[stage]):.0f} processor seconds", flush=True)
    finally:
        for one in managers:
            one.shutdown_kernel(now=True)
    return found


if __name__ == "__main__":
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given.add_argument("record", type=Path)
    given.add_argument("--kernels", type=int, nargs="+", default=[1, 20])
    given.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    words = given.parse_args()
    import torch

    machine = {"cores": os.cpu_count(), "gigabytes": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1), "system": platform.system(),
               "python": platform.python_version(), "torch": torch.__version__}
    rooms = [{"kernels": n, "threads": threads, "stages": room(n, threads)} for n in words.kernels for threads in words.threads]
    words.record.write_text(json.dumps({"machine": machine, "rooms": rooms}) + "\n", encoding="utf-8")
