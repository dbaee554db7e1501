"""How a heading is named in links: as Jupyter names it, so that one link serves the notebook and the page."""
import re


def anchor(title):
    return re.sub(r"\s+", "-", title.strip())
