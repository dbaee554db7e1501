"""The web book builds from what is stored, opens from disk without a network, and its figures move. Every page: `make book && make test-book`."""
import subprocess
import sys
from pathlib import Path

from visit import controls, draw_all, move, visiting

ROOT = Path(__file__).resolve().parents[2]


def test_the_book_builds_and_moves(page):
    built = subprocess.run([sys.executable, ".ci/book.py", "--as-stored"], cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0 and "WARNING" not in built.stderr, built.stdout + built.stderr
    for name in ("index.html", "2_the_method/07_contrast.html", "in_your_browser.html"):
        with visiting(page, (ROOT / "_site" / name).as_uri()) as faults:
            draw_all(page)
            found = controls(page)
            assert found and [(figure, control) for figure, names in found for control in names if not move(page, figure, control)] == []
            assert faults == []
