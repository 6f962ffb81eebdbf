"""What the pages with sounds and pictures share."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2

TEMPLATES = Path(__file__).parent.parent / "templates"


def render(template: str | Path, filters: Mapping[str, Callable] | None = None, **values: Any) -> str:
    """Render a page from a template, named in `asr/templates` or given as a path, with the caller's `filters`.

    All text is escaped, and an undefined name is an error.
    """
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(filters or {})
    return environment.from_string((TEMPLATES / template).read_text(encoding="utf-8")).render(values)


def readable(text: str) -> str:
    """Text without what a page or picture cannot have: control characters, and bytes of a file's name that are not
    UTF-8."""
    return "".join(character if character.isprintable() else "�" for character in text)
