"""benchmarks/peers.py: its record says what the script would say of the same seconds, and its contestants take turns."""
import importlib
import json
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parents[1]
RECORD = json.loads((ROOT / "results" / "peers.json").read_text("utf-8"))["speed"]


@pytest.fixture(scope="module")
def peers():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try: yield importlib.import_module("peers")
    finally: sys.path.remove(str(ROOT / "benchmarks"))


def test_everyone_has_a_row_that_follows_from_its_seconds(peers):
    assert list(RECORD["rows"]) == [name for name in peers.CONTESTANTS if name in RECORD["rows"]]
    for name, row in RECORD["rows"].items():
        assert row["what"] == peers.CONTESTANTS[name][1]
        if "error" in row: continue
        assert row["epoch"] == pytest.approx(row["batches"] * median(row["batch"]["cpu"]), abs=.06)
        asked = row.get("asked", RECORD["users"])
        assert row["everybody"] == pytest.approx(median(row["recommend"]["cpu"]) * RECORD["users"] / asked, abs=.006)


def test_lists_take_at_most_half_of_the_time_of_rectools():
    "What is claimed of recommending at once, in one run on one machine."
    rows = RECORD["rows"]
    assert rows["ours sasrec shared"]["everybody"] <= rows["rectools"]["everybody"] / 2


@pytest.mark.parametrize("ends", [None, "last"])
def test_contestants_take_turns_and_one_that_breaks_keeps_its_last_word(peers, tmp_path, ends):
    class Scripted(peers.Contestant):
        def __init__(self, name, words): self.name, self.words, self.row, self.call, self.log = name, iter(words), {"what": ""}, None, None
        def turn(self):
            word = next(self.words, None)
            return word if word else self.ended("a\nlast\n")
        def stop(self): pass
    start, batch = {"what": "start", "cpu": 2.0, "batches": 10, "torch": "2"}, {"what": "batch", "cpu": .5, "wall": 1.0}
    lists, end = {"what": "recommend", "cpu": 4.0, "wall": 9.0, "users": 5}, {"what": "end", "megabytes": 7}
    broken = Scripted("b", [start, batch] if ends else [start, batch, batch, lists, end])
    both = [Scripted("a", [start, batch, batch, batch, lists, end]), broken]
    peers.speed(both, users=20)
    assert both[0].row["epoch"] == 5 and both[0].row["everybody"] == 16 and both[0].row["megabytes"] == 7
    assert both[0].row["batch"]["cpu"] == [.5, .5]
    assert broken.row.get("error") == ends
