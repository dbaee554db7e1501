"""How long one answer takes, and how many can be had: the command from cold, a model in memory, an ONNX file, and the service under load.

    python benchmarks/serving.py --run RUN [--data beauty] [--seconds 60] [--clients 4] [--keep results/serving.json]

Seconds of the clock for what somebody waits for, and of the processor beside them. One thread. On a busy machine only the latter mean something.
"""
import argparse
import datetime
import http.client
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

os.environ.setdefault("OMP_NUM_THREADS", "1")


def share(values, p):
    "The value below which a share p of `values` lies."
    return sorted(values)[min(len(values) - 1, int(p * len(values)))]


def under_load(url, histories, seconds=60, clients=4, k=10):
    """Ask the service at `url` for `seconds`, `clients` at once, each its next question when the last is answered.

    Returns how many `answers` and `errors` there were, milliseconds `p50`, `p95` and `most`, and answers a second.
    """
    place, taken, errors, end = urlsplit(url), [], [], time.perf_counter() + seconds

    def client(number):
        connection, turn = http.client.HTTPConnection(place.hostname, place.port, timeout=60), number
        while (begun := time.perf_counter()) < end:
            body, turn = json.dumps({"history": histories[turn % len(histories)], "k": k}), turn + clients
            try:
                connection.request("POST", "/recommend", body, {"content-type": "application/json"})
                answer = connection.getresponse()
                if answer.status != 200 or not json.loads(answer.read())["items"]: errors.append(answer.status)
            except (OSError, ValueError, http.client.HTTPException) as e:
                errors.append(repr(e))
                connection.close()
            taken.append(1000 * (time.perf_counter() - begun))
        connection.close()
    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return {"answers": len(taken) - len(errors), "errors": len(errors), "p50": share(taken, .5), "p95": share(taken, .95), "most": max(taken),
            "a_second": len(taken) / seconds, "seconds": seconds, "clients": clients}


def timed(what, times):
    "Milliseconds of the clock (p50, p95) and of the processor (mean) that `what(j)` takes."
    taken, begun = [], time.process_time()
    for j in range(times):
        start = time.perf_counter()
        what(j)
        taken.append(1000 * (time.perf_counter() - start))
    return {"p50": share(taken, .5), "p95": share(taken, .95), "cpu": 1000 * (time.process_time() - begun) / times, "answers": times}


def megabytes(process="self"):
    "Megabytes that a process has held at most."
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())[1]) // 1024


def cold(command, times=3):
    "A command from its start to its end: milliseconds."
    taken, cpu = [], []
    for _ in range(times):
        start = time.perf_counter()
        child = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(child.pid, 0)
        assert status == 0, command
        taken.append(1000 * (time.perf_counter() - start))
        cpu.append(1000 * (used.ru_utime + used.ru_stime))
    return {"p50": share(taken, .5), "p95": share(taken, .95), "cpu": sum(cpu) / times, "answers": times}


def inside(kind, path, histories):
    "In a process of its own: a model in memory asked for one list at a time, and for many at once."
    if kind == "onnx":
        from mclrec.export import Exported
        recommend = Exported(path).recommend
    else:
        from functools import partial

        from mclrec import load_run, recommend
        recommend = partial(recommend, load_run(path))
    for history in histories[:20]: recommend(histories=[history])
    row = timed(lambda j: recommend(histories=[histories[j % len(histories)]]), 500)
    many = histories * (2048 // len(histories) + 1)
    begun = time.process_time()
    recommend(histories=many)
    return {**row, "a_second_together": len(many) / (time.process_time() - begun), "megabytes": megabytes()}


def serving(path, histories, seconds, clients):
    "The service under load, and the most it held; its processor seconds by answer."
    with subprocess.Popen([sys.executable, "-m", "mclrec", "serve", path, "--port", "0"], stdout=subprocess.PIPE, text=True) as service:
        url = service.stdout.readline().strip()
        under_load(url, histories, 1, clients)
        ticks = lambda: sum(map(int, Path(f"/proc/{service.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")
        before = ticks()
        found = under_load(url, histories, seconds, clients)
        found |= {"cpu": 1000 * (ticks() - before) / max(1, found["answers"]), "megabytes": megabytes(service.pid)}
        service.send_signal(signal.SIGTERM)
    return found


def questions(data, run):
    "Histories of 256 people, as ids of the run."
    import numpy as np

    from mclrec import load
    data = load(data)
    return [[data.item_ids[i - 1] for i in data[int(u)]][-50:] for u in np.random.default_rng(2020).choice(data.n_users, min(256, data.n_users), replace=False)]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--run", required=True, metavar="RUN")
    p.add_argument("--data", default="beauty", metavar="DATA")
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--clients", type=int, default=4)
    p.add_argument("--keep", metavar="FILE")
    p.add_argument("--inside", nargs=2, metavar=("KIND", "PATH"), help="for the processes this one starts")
    args = p.parse_args()
    if args.inside: return print(json.dumps(inside(*args.inside, json.loads(sys.stdin.read()))))
    from mclrec import load_run
    from mclrec.export import to_onnx
    from mclrec.runs import read_config, versions
    begun, histories = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"), questions(args.data, args.run)
    file = Path(tempfile.mkdtemp()) / "model.onnx"
    to_onnx(load_run(args.run), file)
    asked = " ".join(map(str, histories[0]))
    once = f"import json; from mclrec.export import Exported; print(json.dumps(Exported({str(file)!r}).recommend([{histories[0]!r}])))"
    within = lambda kind, path: json.loads(subprocess.run([sys.executable, __file__, "--run", args.run, "--inside", kind, str(path)], check=True,
                                                          input=json.dumps(histories), capture_output=True, text=True).stdout)
    ways = {"command, cold": lambda: cold(["-m", "mclrec", "recommend", args.run, "--history", asked]),
            "ONNX file, cold": lambda: cold(["-c", once]),
            "recommend, warm": lambda: within("run", args.run), "ONNX file, warm": lambda: within("onnx", file),
            "service with the run": lambda: serving(args.run, histories, args.seconds, args.clients),
            "service with the ONNX file": lambda: serving(str(file), histories, args.seconds, args.clients)}
    rows = {}
    for name, way in ways.items():
        rows[name] = way()
        print(name, {key: round(value, 2) for key, value in rows[name].items()}, flush=True)
    config = read_config(args.run)
    record = {"begun": begun, "model": config["model"], "preset": config["preset"], "items": config["n_items"], "data": config.get("data"),
              "load": os.getloadavg()[0], "cores": os.cpu_count(), **versions(), "onnxruntime": __import__("onnxruntime").__version__,
              "processor": platform.processor() or platform.machine(), "file_bytes": file.stat().st_size, "rows": rows}
    if args.keep: Path(args.keep).write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
