"""The service, started for real: it answers as the library does, says what is wrong, and turns nobody away while its model changes."""
import importlib
import json
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

import mclrec
from mclrec.cli import main
from mclrec.data import from_rows
from mclrec.export import to_onnx

ROOT = Path(__file__).resolve().parents[1]
DATA = from_rows(*zip(*((u, f"i{(3 * u + k * k) % 19}") for u in range(40) for k in range(7))), core=0)
HISTORY = DATA.item_ids[:3]


def made(seed):
    model = mclrec.SASRec(DATA.n_items, seed=seed, d=8, n=6, layers=1, inner=8)
    model.prepare(DATA)
    return model.eval()


@contextmanager
def running(path):
    "The address of a service of its own."
    with subprocess.Popen([sys.executable, "-m", "mclrec", "serve", str(path), "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as service:
        try:
            yield service.stdout.readline().strip(), service
        finally:
            service.send_signal(signal.SIGINT)
            _, said = service.communicate(timeout=60)
    assert service.returncode == 130 and "Traceback" not in said, said


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    run = tmp_path_factory.mktemp("service") / "run"
    mclrec.save(made(1), run)
    with running(run) as (url, _):
        yield url, run


def ask(url, path, body=None):
    request = urllib.request.Request(url + path, None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as e:
        return e.code, json.load(e)


def rows(pairs):
    return {"items": [{"item": item, "score": score} for item, score in pairs]}


def test_it_answers_as_the_library_does(service):
    url, run = service
    model = mclrec.load_run(run)
    for k in (1, 10, 100):
        status, found = ask(url, "recommend", {"history": HISTORY, "k": k})
        expected = rows(mclrec.recommend(model, histories=[HISTORY], k=k)[0])
        assert status == 200 and [r["item"] for r in found["items"]] == [r["item"] for r in expected["items"]]
        assert [r["score"] for r in found["items"]] == pytest.approx([r["score"] for r in expected["items"]], abs=1e-6)
    status, found = ask(url, "similar?item=" + HISTORY[0])
    assert status == 200 and [r["item"] for r in found["items"]] == [i for i, _ in mclrec.similar(model, HISTORY[0])]
    assert ask(url, "health") == (200, {"ok": True, "items": DATA.n_items}) and ask(url, "items") == (200, {"items": DATA.item_ids})


@pytest.mark.parametrize("path, body, status, said", [
    ("recommend", {"history": []}, 422, "empty"), ("recommend", {"history": ["i1", "nothing"]}, 404, "'nothing' is unknown"), ("recommend", {"history": ["i1"] * 1001}, 422, "1001 items"),
    ("recommend", {"history": ["i1"], "k": 0}, 422, "k=0"), ("recommend", {"history": ["i1"], "k": 101}, 422, "k=101"), ("recommend", {"history": ["i1"], "k": "many"}, 422, "k: "),
    ("recommend", {"history": "i1"}, 422, "history: "), ("recommend", {"history": [["i1"]]}, 422, "openapi"), ("recommend", {}, 422, "history: "), ("recommend", {"history": [True]}, 422, "history: "), ("recommend", {"history": [1.0]}, 422, "history: "),
    ("recommend", {"history": ["i1"], "k": True}, 422, "k: "), ("recommend", {"history": ["i1"], "top_k": 3}, 422, "top_k: "), ("recommend", b"{", 422, "JSON"),
    ("recommend", b"\xff", 400, "openapi"), ("nowhere", None, 404, "openapi"), ("recommend", None, 405, "openapi"), ("recommend", {"history": ["i1\u202e\x1b[31m" * 500]}, 404, "is unknown"), ("similar?item=nothing", None, 404, "'nothing' is unknown"), ("similar", None, 422, "item: "),
    ("similar?item=i1&k=0", None, 422, "k=0")])
def test_what_is_wrong_is_said_in_one_sentence(service, path, body, status, said):
    got, answer = ask(service[0], path, body)
    assert got == status and list(answer) == ["error"] and said in answer["error"]
    assert answer["error"].isprintable() and len(answer["error"]) < 500 and answer["error"].endswith(".")


@pytest.mark.parametrize("announced", [True, False])
def test_no_more_is_read_than_a_question_may_have(service, announced):
    "Blanks are JSON, so a body of a million bytes is a question, and one byte more is not; whether its length is said first or not."
    def of_length(n):
        body = json.dumps({"history": HISTORY, "k": 1}).encode().ljust(n)
        request = urllib.request.Request(service[0] + "recommend", body if announced else (body[k:k + 65536] for k in range(0, n, 65536)),
                                         {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as e:
            return e.code, json.load(e)
    assert of_length(1_000_000)[0] == 200
    status, answer = of_length(1_000_001)
    assert status == 413 and "1,000,000 bytes" in answer["error"] and answer["error"].endswith(".")


def test_nobody_is_turned_away_while_the_model_changes(service):
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try: under_load = importlib.import_module("serving").under_load
    finally: sys.path.remove(str(ROOT / "benchmarks"))
    url, run = service
    before, loaded = ask(url, "recommend", {"history": HISTORY}), []
    loading = threading.Thread(target=lambda: loaded.append(under_load(url, [HISTORY, HISTORY[:1]], seconds=2, clients=3)))
    loading.start()
    mclrec.save(made(2), run)
    assert ask(url, "reload", {})[0] == 200
    after = ask(url, "recommend", {"history": HISTORY})
    weights = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").write_bytes(weights[:-9])
    status, said = ask(url, "reload", {})
    assert status == 503 and "damaged" in said["error"] and ask(url, "recommend", {"history": HISTORY}) == after != before
    (run / "model.safetensors").write_bytes(weights)
    loading.join()
    assert loaded[0]["errors"] == 0 and loaded[0]["answers"] > 0 and 0 < loaded[0]["p50"] <= loaded[0]["p95"]


def test_an_exported_file_is_served_too(tmp_path):
    model = made(3)
    to_onnx(model, tmp_path / "m.onnx")
    with running(tmp_path / "m.onnx") as (url, _):
        status, found = ask(url, "recommend", {"history": HISTORY, "k": 5})
        assert status == 200 and [r["score"] for r in found["items"]] == pytest.approx([s for _, s in mclrec.recommend(model, histories=[HISTORY], k=5)[0]], abs=1e-5)
        assert ask(url, "similar?item=" + HISTORY[0])[0] == 200


def test_what_cannot_be_started_says_why(tmp_path, capfd):
    mclrec.save(made(1), tmp_path / "run")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", str(tmp_path / "run"), "--port", str(taken.getsockname()[1])]) == 2
    assert main(["serve", str(tmp_path / "run"), "--port", "99999"]) == main(["serve", str(tmp_path / "no")]) == main(["serve", str(tmp_path / "no.onnx")]) == 2
    said = capfd.readouterr().err.splitlines()
    assert main(["serve", str(tmp_path / "run"), "--host", "nowhere.invalid", "--port", "0"]) == 2
    said += capfd.readouterr().err.splitlines()
    assert len(said) == 5 and "no such folder" in said[2] and "no such file" in said[3]
    assert all("choose another --host or --port" in said[k] for k in (0, 1, 4))


def test_no_answer_waits_for_an_acknowledgement(tmp_path, monkeypatch):
    "What listens hands its options to every connection: without this one, an answer in two pieces waits for an acknowledgement of the first."
    import uvicorn

    run, asked = tmp_path / "run", []
    mclrec.save(made(1), run)
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: asked.extend(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for s in sockets))
    importlib.import_module("mclrec.service").serve(run, port=0)
    assert len(asked) == 1 and asked[0]
