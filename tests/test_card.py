"""The card of a run: what it says, that nothing depends on it, and that it obeys nobody."""
import json

import pytest

import mclrec
from mclrec.card import card, write_card
from mclrec.data import from_rows
from mclrec.runs import load_run, model_config, save

DATA = from_rows(*zip(*((u, f"i{(3 * u + k * k) % 19}") for u in range(40) for k in range(7))), core=0)


def made():
    model = mclrec.SASRec(DATA.n_items, d=8, n=6, layers=1, inner=8)
    model.prepare(DATA)
    return model.eval()


@pytest.mark.parametrize("spoilt", ["missing", "nonsense"])
def test_a_run_loads_with_its_card_or_without(tmp_path, spoilt):
    model = made()
    save(model, tmp_path / "run")
    path = tmp_path / "run" / "card.md"
    assert "# sasrec" in path.read_text("utf-8")
    path.unlink() if spoilt == "missing" else path.write_bytes(b"\xff")
    assert mclrec.recommend(load_run(tmp_path / "run"), histories=[["i1"]]) == mclrec.recommend(model, histories=[["i1"]])
    save(model, tmp_path / "run")                                 # and is replaced with it
    assert "# sasrec" in path.read_text("utf-8")


def test_a_folder_with_somebodys_card_alone_is_not_taken_for_a_run(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(mclrec.InputError, match="other files"):
        save(made(), tmp_path)


def test_it_says_data_protocol_both_rankings_and_settings(tmp_path):
    model = made()
    mclrec.fit(model, DATA, epochs=1, batch_size=64, out=tmp_path / "run", progress=False)
    tested = {f"seen_{how}": mclrec.evaluate(model, DATA, exclude_seen=how == "out") for how in ("in", "out")}
    write_card(tmp_path / "run", DATA, tested)
    text, config = (tmp_path / "run" / "card.md").read_text("utf-8"), json.loads((tmp_path / "run" / "config.json").read_text())
    for metric, value in tested["seen_in"].items():
        assert f"| {metric} | {value:.4f} | {tested['seen_out'][metric]:.4f} |" in text
    for name, value in {**config["settings"], **config["fit"]}.items():
        assert f"| `{name}` | `{value}` |" in text
    assert config["data"]["fingerprint"] in text and "40 users, 19 items, 280 actions" in text and "ties count against" in text
    assert load_run(tmp_path / "run").n_items == 19


def test_it_says_another_protocol_a_search_and_a_start():
    config = {**model_config(made()), "data": {"name": "log", "fingerprint": "0" * 16, "protocol": "a cut in time at 3 and 5"},
              "tuned": {"tries": 12}, "start": {"items": 17}}
    text = card(config)
    assert "but a cut in time at 3 and 5" in text and "ties count against" in text and "last item of each user" not in text
    assert "best of 12 tries on validation" in text and "a trained model of 17 items" in text


def test_names_from_elsewhere_end_no_cell():
    config = {**model_config(made()), "data": {"name": "a|b`c\n# d\x1b[31m", "fingerprint": "0" * 16}}
    line = next(line for line in card(config).splitlines() if line.startswith("`a"))
    assert "|" not in line and line.count("`") == 4 and "\x1b" not in line
