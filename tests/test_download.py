"""Fetching, against a server of our own on 127.0.0.1 that can misbehave in every way we could think of."""
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest

from mclrec import download as module
from mclrec.data import InputError
from mclrec.download import FILES, URL, download, has_sha256
from mclrec.loading import is_available, load

CONTENT = b"".join(b"%d 1 2 3 4 5\n" % u for u in range(1, 20001))
ENTRY = ("dataset/Tiny/Tiny.txt", "tiny.txt", sha256(CONTENT).hexdigest())


class Server(ThreadingHTTPServer):
    "Answers each request by the next of `answers` (the last one again and again); `asked` lists the paths."
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked = ["whole"], []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        server.asked.append(self.path)
        answer = server.answers.pop(0) if len(server.answers) > 1 else server.answers[0]
        if isinstance(answer, int):
            return self.send_error(answer)
        body = b"<html>Please log in</html>" if answer == "wrong" else CONTENT
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if answer == "hangs":
            self.wfile.write(body[:len(body) // 2])
            self.wfile.flush()
            time.sleep(30)
        else:
            self.wfile.write(body[:len(body) // 2] if answer == "broken" else body)


@pytest.fixture
def server(monkeypatch):
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": .01}, daemon=True)
    thread.start()
    monkeypatch.setenv("MCLREC_URL", server.url + "/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setitem(FILES, "tiny", ENTRY)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    "How long was waited between tries, without waiting."
    waited = []
    monkeypatch.setattr("pooch.core.time", type("Clock", (), {"sleep": staticmethod(waited.append)}))
    return waited


def fails(*parts, name="tiny", folder=None):
    with pytest.raises(InputError) as e:
        download(name, folder, progress=False)
    message = str(e.value)
    assert all(part in message for part in parts), message
    assert message.endswith(".") and "\n" not in message, message


def test_fetched_once(server, tmp_path, capfd):
    path = download("tiny", tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "tiny.txt" and path.read_bytes() == CONTENT
    assert os.listdir(path.parent) == ["tiny.txt"]
    assert download("tiny", str(path.parent)) == path
    assert server.asked == ["/dataset/Tiny/Tiny.txt"]
    out, err = capfd.readouterr()
    assert out == "" and "100%" in err


def test_quiet(server, tmp_path, capfd):
    download("tiny", tmp_path, progress=False)
    assert capfd.readouterr() == ("", "")
    assert pooch.get_logger().level == 0


def test_the_cache_is_the_default(server, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "cache", lambda: tmp_path)
    assert download("tiny", progress=False) == tmp_path / "tiny.txt"


def test_a_damaged_file_is_fetched_again(server, tmp_path):
    (tmp_path / "tiny.txt").write_bytes(CONTENT[:-1])
    assert download("tiny", tmp_path, progress=False).read_bytes() == CONTENT


def test_wrong_content(server, tmp_path, pauses):
    server.answers = ["wrong"]
    fails("tiny could not be downloaded", server.url, "sha256 differs", folder=tmp_path)
    assert os.listdir(tmp_path) == [] and len(server.asked) == 4 and pauses == [1, 2, 3]


def test_wrong_content_does_not_replace_what_was_there(server, tmp_path):
    server.answers = ["wrong"]
    (tmp_path / "tiny.txt").write_text("mine")
    fails("sha256 differs", folder=tmp_path)
    assert (tmp_path / "tiny.txt").read_text() == "mine"


@pytest.mark.parametrize("status", [403, 404, 500])
def test_refusals(server, tmp_path, status):
    server.answers = [status]
    fails(f"{server.url}/dataset/Tiny/Tiny.txt answers {status}", "MCLREC_DATA", folder=tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("trouble", ["broken", "wrong", 503])
def test_trouble_that_passes(server, tmp_path, trouble):
    server.answers = [trouble, trouble, "whole"]
    assert download("tiny", tmp_path, progress=False).read_bytes() == CONTENT
    assert len(server.asked) == 3 and os.listdir(tmp_path) == ["tiny.txt"]


def test_always_broken(server, tmp_path):
    server.answers = ["broken"]
    fails("broke again and again", "try again later", folder=tmp_path)
    assert os.listdir(tmp_path) == [] and len(server.asked) == 4


def test_nobody_there(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("MCLREC_URL", url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    fails(f"{url}/dataset/Amazon_Beauty/Amazon_Beauty.txt cannot be reached", "put the file as beauty.txt into a folder", "MCLREC_DATA", name="beauty", folder=tmp_path)
    fails("cannot be reached", "by other means", name="beauty-checkpoint", folder=tmp_path)
    assert os.listdir(tmp_path) == []


def test_no_answer_in_time(server, tmp_path, monkeypatch):
    real = pooch.HTTPDownloader
    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **kwargs: real(**{**kwargs, "timeout": .1}))
    server.answers = ["hangs"]
    fails("could not be downloaded", server.url, folder=tmp_path)
    assert os.listdir(tmp_path) == []


def test_an_address_that_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("MCLREC_URL", "nonsense")
    fails("nonsense/dataset", "cannot be reached", name="beauty", folder=tmp_path)


def test_a_file_where_the_folder_should_be(server, tmp_path):
    (tmp_path / "file").touch()
    fails("could not be stored in", "file", "give another folder", folder=tmp_path / "file")


def test_a_folder_that_may_not_be_written(server, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr("pooch.utils.tempfile.NamedTemporaryFile", refuse)
    fails("could not be stored", str(tmp_path), "Permission denied", folder=tmp_path)


def test_a_full_disk(server, tmp_path, monkeypatch):
    class Full(pooch.HTTPDownloader):
        def __call__(self, url, output_file, pooch, check_only=False):
            Path(output_file).write_bytes(CONTENT[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(pooch, "HTTPDownloader", Full)
    fails("could not be stored", "No space left on device", "make room", folder=tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or sys.platform == "win32", reason="sends a signal")
def test_interrupted(server, tmp_path):
    "Ctrl-C half way leaves nothing behind."
    server.answers = ["hangs"]
    code = f"from mclrec import download as d; d.FILES['tiny'] = {ENTRY!r}; d.download('tiny', {str(tmp_path)!r}, progress=False)"
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    deadline = time.monotonic() + 60
    while not any(f.is_file() and f.stat().st_size for f in tmp_path.rglob("*")) and time.monotonic() < deadline:
        time.sleep(.02)
    assert len(os.listdir(tmp_path)) == 1
    child.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in child.communicate(timeout=60)[1]
    assert os.listdir(tmp_path) == []


def test_unknown_names(tmp_path):
    with pytest.raises(InputError, match="did you mean beauty?"):
        download("beuty", tmp_path)
    fails("choose one of beauty, sports, toys, yelp, beauty-checkpoint", name="toy shop of mine")
    fails("choose one of", name=42)


def test_load_fetches_what_is_missing(server, tmp_path, monkeypatch):
    monkeypatch.delenv("MCLREC_DATA", raising=False)
    monkeypatch.setattr(module, "cache", lambda: tmp_path)
    monkeypatch.setitem(FILES, "yelp", ("y.txt", "yelp.txt", ENTRY[2]))
    assert not is_available("yelp")
    data = load("yelp")
    assert is_available("yelp") and (data.n_users, data.name) == (20000, "yelp") and server.asked == ["/y.txt"]


def test_addresses_are_pinned():
    assert URL.startswith("https://raw.githubusercontent.com/QinHsiu/MCLRec/") and len(URL.rsplit("/", 1)[1]) == 40
    assert list(FILES) == ["beauty", "sports", "toys", "yelp", "beauty-checkpoint"]


@pytest.mark.parametrize("name", ["beauty", "sports", "toys", "yelp"])
def test_fingerprints_are_those_of_the_data(request, name):
    assert has_sha256(request.getfixturevalue(f"{name}_path"), FILES[name][2])


def test_fingerprint_of_the_checkpoint(checkpoint_path):
    assert has_sha256(checkpoint_path, FILES["beauty-checkpoint"][2])
