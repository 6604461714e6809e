"""The templates of all pages."""

import re

from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup, escape


def page_environment() -> Environment:
    """The templates; `marked` makes code of what stands in backticks. All texts are escaped."""
    environment = Environment(
        loader=PackageLoader("datasetdm.reports"), autoescape=select_autoescape(), trim_blocks=True
    )
    environment.filters["marked"] = _marked
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # the first score of a task is the one of doubt
    return environment


def _marked(text: str) -> Markup:
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
