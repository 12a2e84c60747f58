"""Where the files of the live page are: its own in `web/`, the plotting library's script in that library's Python package.

Knows nothing of HTTP and imports none of it, so that a command line can ask. Invariant: a page that can be served is complete.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fastload.errors import FastloadError

INDEX: Final = "index.html"
_PARTS: Final = ("page.css", "page.js", "link.js", "words.js", "charts.js")
_LIBRARY: Final = "plotly.js"


def page_files() -> dict[str, Path]:
    """Return every file of the page by its path in URLs.

    Raises:
        FastloadError: the plotting library is not installed.
    """
    own = Path(str(files("fastload.engine").joinpath("web")))
    return {"/": own / INDEX, **{f"/web/{name}": own / name for name in _PARTS}, f"/web/{_LIBRARY}": plotting_library()}


def plotting_library() -> Path:
    """Return the plotting library's script.

    Raises:
        FastloadError: the library is not installed.
    """
    found = find_spec("plotly")  # not imported: that takes half a second, and a file is all that is needed
    for place in (found.submodule_search_locations or ()) if found is not None else ():
        script = Path(place) / "package_data" / "plotly.min.js"
        if script.is_file():
            return script
    raise FastloadError("--web needs plotly, which is not installed", hint="pip install 'fastload[report]'")
