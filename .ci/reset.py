"""Brings a broken notebook back: `make reset NB=nbs/2_the_method/07_contrast.ipynb`, or in a workshop's folder `python3 reset.py notebooks/07_contrast.ipynb`.

What the reader has written is kept beside it, as 07_contrast.mine.ipynb (then .mine-2, and so on). The notebook comes from `originals/`, beside this
program, where there is such a folder (in a workshop's box), else from the last commit; one of _student/ or _instructor/ is made anew. Needs Python alone.
"""
import subprocess
import sys
from pathlib import Path

here = Path(__file__).resolve().parent


def original(path):
    "The bytes of a notebook as it was handed out."
    if (here / "originals").is_dir():
        place = here / "originals" / path.name
        if not place.is_file():
            sys.exit(f"{path.name}: no notebook of this workshop; there are {', '.join(sorted(p.name for p in (here / 'originals').glob('*.ipynb')))}.")
        return place.read_bytes()
    root = here.parent
    for kind in ("student", "instructor"):
        if path.is_relative_to(root / f"_{kind}"):
            import books

            source = root / "nbs" / path.relative_to(root / f"_{kind}")
            if not source.is_file():
                sys.exit(f"{path}: no chapter of the book.")
            return books.made(source, kind)
    if not path.is_relative_to(root):
        sys.exit(f"{path}: not in this book; give the path of one of its notebooks, nbs/2_the_method/07_contrast.ipynb say.")
    name = path.relative_to(root).as_posix()
    found = subprocess.run(["git", "show", f"HEAD:{name}"], cwd=root, capture_output=True)
    if found.returncode:
        sys.exit(f"{name}: not in the last commit; `git ls-files nbs` lists what can be brought back.")
    return found.stdout


def free(path):
    "The first name beside a notebook under which nothing is kept yet."
    kept, k = path.with_suffix(".mine.ipynb"), 1
    while kept.exists():
        k += 1
        kept = path.with_suffix(f".mine-{k}.ipynb")
    return kept


def main(names):
    if len(names) != 1 or not names[0].endswith(".ipynb"):
        sys.exit("Say which notebook: make reset NB=nbs/2_the_method/07_contrast.ipynb, or python3 reset.py notebooks/07_contrast.ipynb")
    path = Path(names[0]).resolve()
    content = original(path)
    if path.exists() and path.read_bytes() == content:
        print(f"{path.name} is as it was handed out; nothing to do.")
        return
    if path.exists():
        kept = free(path)
        path.rename(kept)
        print(f"Yours is kept as {kept.name}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    print(f"{path.name} is as new. If it is open: close its tab without saving, and open it again.")


if __name__ == "__main__":
    main(sys.argv[1:])
