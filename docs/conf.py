"""The site: what lies in this folder, with the README as its first page. `tox run -e docs` builds it."""

project = "parity-harness"
author = "The parity-harness authors"
extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["*.py"]
html_theme = "furo"
html_title = project
html_show_copyright = False
html_show_sphinx = False
