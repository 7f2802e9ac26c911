"""`python -m tools.plots_page`: have `dvc plots` draw its pages without a network.

DVC's own page loads Vega from a server. This one holds it, from the pinned vl-convert-python; it is written to
.dvc/plots/page.html and named in .dvc/config.local. Neither is in git: a checkout without them draws DVC's own page,
whereas .dvc/config naming a file that is not there would make every `dvc plots` fail.
"""

import re
import sys
from pathlib import Path

import vl_convert
from dvc.config import Config

# As in stages/__main__.py: each checkout runs its own code.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from realwaste.core.files import write_text

DVC = Path(".dvc")
PAGE = "plots/page.html"
# How DVC's chart elements call it. Without the menu entry that sends the data to an editor on the web.
_EMBED = """
window.vegaEmbed = (place, spec) =>
  vegaEmbed(place, spec, {
    renderer: "svg", actions: {export: true, source: true, compiled: false, editor: false}
  }).catch((error) => {
    document.querySelector(place).append(`This chart cannot be drawn: ${error}`);
    throw error;
  });
"""
# DVC fills in the words in braces.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
{refresh_tag}
<title>RealWaste: plots</title>
<style>
body { margin: 1.5rem; font-family: system-ui, sans-serif; }
main { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 2rem; }
main > div { max-width: 100%; overflow-x: auto; }
/* DVC's box of a picture: one inner box a revision. */
main > div > div:not(:only-of-type) { max-width: calc(50% - 16px); }
main img { max-width: 100%; }
</style>
<script>
@scripts@
</script>
</head>
<body>
<main>
{plot_divs}
</main>
</body>
</html>
"""


def main() -> None:
    write_text(DVC / PAGE, page(_major(DVC / "plots")))
    with Config(str(DVC)).edit("local") as local:
        local.setdefault("plots", {})["html_template"] = PAGE


def page(major: int) -> str:
    """DVC's page with Vega-Lite of this major version, the newest that vl-convert-python holds, inside."""
    versions = [tuple(map(int, name.split("."))) for name in vl_convert.get_vegalite_versions()]
    _, minor = max(version for version in versions if version[0] == major)
    return _PAGE.replace("@scripts@", vl_convert.javascript_bundle(_EMBED, f"{major}.{minor}"))


def _major(templates: Path) -> int:
    """The version of Vega-Lite that the templates are written in, all of them."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(templates.glob("*.json"))]
    (major,) = {int(version) for text in texts for version in re.findall(r"schema/vega-lite/v(\d+)\.json", text)}
    return major


if __name__ == "__main__":
    main()
