"""Builds the package from settings.ini, the one place where nbdev and setuptools both look for names and versions."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
ini = ConfigParser(delimiters=["="])
ini.read(here / "settings.ini", encoding="utf-8")
cfg = ini["DEFAULT"]

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    license="Apache-2.0",
    keywords=cfg["keywords"].split(),
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: " + cfg["audience"],
        "Intended Audience :: Education",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    # The notebooks export into one package; nothing else in the tree is meant to be imported.
    packages=find_packages(include=[cfg["lib_path"], cfg["lib_path"] + ".*"]),
    python_requires=">=" + cfg["min_python"],
    install_requires=cfg["requirements"].split(),
    extras_require={
        "dev": (cfg["dev_requirements"] + " " + cfg["book_requirements"]).split(),
        "book": cfg["book_requirements"].split(),  # the web book alone, from what is stored: .ci/book.py --as-stored
        "parquet": cfg["parquet_requirements"].split(),
        "experiments": cfg["experiments_requirements"].split(),
        "onnx": cfg["onnx_requirements"].split(),    # `mclrec export`
        "serve": cfg["serve_requirements"].split(),  # `python -m mclrec.service`
        "tune": cfg["tune_requirements"].split(),
    },
    entry_points={
        "console_scripts": cfg["console_scripts"].split(),
        # How `show_doc` in one nbdev project finds the symbols of another.
        "nbdev": [f"{cfg['lib_path']}={cfg['lib_path']}._modidx:d"],
    },
    zip_safe=False,
)
