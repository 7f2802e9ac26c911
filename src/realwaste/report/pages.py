"""Renders a page as a single file that contains its charts and their library, so that it works without a network."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jinja2

from realwaste.report.figures import MODEL_COLORS


def render_template(
    template: str, charts: Mapping[str, Any], *, filters: Mapping[str, Callable[..., str]], **context: Any
) -> str:
    """The page as HTML, from a file in the folder `templates` and the Vega-Lite specifications that it names.

    `filters` and `context` are further filters and variables of the template.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("realwaste.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(template).render(charts=charts, scripts=_scripts(), colors=MODEL_COLORS, **context)


@functools.cache  # it takes 1.5 s
def _scripts() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert  # noqa: PLC0415 - slow to import

    # `</script` would end the script element. The escaped form means the same in a JavaScript string.
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
