"""Sphinx configuration."""

import pkgutil
from importlib.metadata import version as _version_of

import g2d

project = "g2d"
author = "the g2d authors"
project_copyright = "2026, the g2d authors"
release = version = _version_of("g2d")
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "myst_nb",
]
# A check (sphinx-build -t check) has neither pages of source code nor, in the navigation that every
# page repeats, an entry per class and function: they take two thirds of the time of a build.
if tags.has("check"):  # noqa: F821 - Sphinx defines tags
    toc_object_entries = False
else:
    extensions.append("sphinx.ext.viewcode")
exclude_patterns = ["_build", "templates"]
templates_path = ["templates"]
html_theme = "furo"
html_title = f"g2d {release}"
html_copy_source = False

# A name is documented once, where it is defined; packages only list what is below them.
autodoc_default_options = {"members": True, "show-inheritance": True, "ignore-module-all": True}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
add_module_names = False
napoleon_use_rtype = False

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

# Notebooks of the gallery keep their outputs; a test runs them.
nb_execution_mode = "off"


# One page per package: its modules are sections of the page, its packages pages of their own.
autosummary_context = {"packages": {}, "modules_in": {}}
for _module in pkgutil.walk_packages(g2d.__path__, "g2d."):
    _parent = _module.name.rpartition(".")[0]
    for _key, _listed in (("packages", _module.ispkg), ("modules_in", not _module.ispkg)):
        autosummary_context[_key].setdefault(_module.name, [])
        if _listed and _parent != "g2d":
            autosummary_context[_key][_parent].append(_module.name)


def _keep_bars(app, what, name, obj, options, lines):
    """Escape bars: |S| in a docstring is the size of S, not a substitution. Code stays as it is."""
    in_example = False
    for i, line in enumerate(lines):
        in_example = line.lstrip().startswith(">>>") or (in_example and bool(line.strip()))
        if not in_example:
            lines[i] = "``".join(
                part if k % 2 else part.replace("|", r"\|")
                for k, part in enumerate(line.split("``"))
            )


def _skip_public(app, what, name, obj, skip, options):
    """Skip a public name on the page of its module: it has a page of its own, as ``g2d.NAME``."""
    public = [getattr(g2d, name) for name in g2d.__all__ if name != "__version__"]
    return True if what == "module" and any(obj is other for other in public) else None


def setup(app):
    app.connect("autodoc-skip-member", _skip_public)
    app.connect("autodoc-process-docstring", _keep_bars)
