"""The result as a page to look at: one file, no network."""

from importlib.resources import files
from string import Template

from loadtest.result import Result


def to_html(result: Result) -> str:
    """The page; its script draws what stands in it as JSON."""
    folder = files("loadtest.reports") / "assets"
    style, script, template = (
        (folder / name).read_text("utf-8") for name in ("page.css", "page.js", "page.html")
    )
    # "<" could end the script element that holds the data.
    data = result.model_dump_json().replace("<", "\\u003c")
    title = f"{result.scenario}: {result.verdict}"
    return Template(template).substitute(title=title, style=style, script=script, data=data)
