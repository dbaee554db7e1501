"""What Sphinx is told: `.ci/book.py` prepares the pages, calls Sphinx with this file, and hands over what only it knows in $MCLREC_BOOK."""
import json
import os
import sys

given = json.loads(os.environ["MCLREC_BOOK"])

project, author, copyright, version = given["title"], given["author"], given["copyright"], given["version"]
release = version
extensions = ["myst_nb"]
root_doc = "index"
exclude_patterns = []
nb_execution_cache_path = given["cache"]
nb_execution_mode = "off"  # what a page shows is what the notebook has stored
nb_ipywidgets_js = {}
nb_mime_priority_overrides = [("html", "application/vnd.plotly.v1+json", None)]
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_enable_extensions = ["dollarmath", "amsmath", "html_image"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]
sys.path.insert(0, os.path.dirname(__file__))
myst_heading_slug_func = "anchors.anchor"

html_theme = "sphinx_book_theme"
html_title = given["title"]
html_baseurl = given["address"]
html_static_path = [given["static"]]
html_css_files = ["book.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # a page opened from disk may not read its neighbours
html_last_updated_fmt = None
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_persistent": [],
    "repository_url": given["repository"],
    "repository_branch": given["branch"],
    "path_to_docs": "nbs",
    "use_repository_button": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "home_page_in_toc": True,
    "show_navbar_depth": 1,
    "launch_buttons": {"binderhub_url": "https://mybinder.org", "colab_url": "https://colab.research.google.com"},
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
mathjax_path = "mathjax/tex-svg-full.js"
mathjax3_config = {"options": {"enableMenu": False}, "tex": {"tags": "none"}}


def what_colab_needs(app, page, template, context, doctree):
    "Colab installs nothing by itself: its menu also has the way to what must be run there first."
    for button in context["header_buttons"]:
        if button["label"] == "launch-buttons":
            address = context["pathto"]("in_your_browser") + "#with-a-kernel"
            button["buttons"].append({"type": "link", "text": "What Colab needs first", "url": address})


def setup(app):
    app.connect("html-page-context", what_colab_needs, priority=502)  # after the theme's own buttons
