"""A page as one file: its template filled, its charts and what draws them inside, nothing to load."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jinja2

from realwaste.report.figures import MODEL_COLORS


def render_template(
    template: str, charts: Mapping[str, Any], *, filters: Mapping[str, Callable[..., str]], **told: Any
) -> str:
    """The page.

    Args:
        template: its name in the folder `templates`.
        charts: a Vega-Lite specification for each place that the template calls by that name.
        filters, told: what the template uses beside them.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("realwaste.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(template).render(charts=charts, scripts=_scripts(), colors=MODEL_COLORS, **told)


@functools.cache  # it takes 1.5 s
def _scripts() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that needs no network."""
    import vl_convert  # noqa: PLC0415 - other stages need not wait for it

    # What closes a script element may not stand inside one, and means the same in a JavaScript string.
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
