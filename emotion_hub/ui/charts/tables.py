"""HTML tables, and figures as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["NOT_MEASURED", "interval", "megabytes", "percent", "points", "table"]

#: What stands for a figure that the report does not have.
NOT_MEASURED = "not measured"


def percent(share: float, digits: int = 1) -> str:
    """A share from 0 to 1 as a percentage."""
    return f"{100 * share:.{digits}f}%"


def interval(limits: Sequence[float], *, share: bool = True, digits: int = 1) -> str:
    """The limits of an interval, such as "66.9 to 69.9%"; as plain numbers where they are not shares."""
    low, high = limits
    if share:
        return f"{100 * low:.{digits}f} to {100 * high:.{digits}f}%"
    return f"{low:.{digits}f} to {high:.{digits}f}"


def points(difference: float) -> str:
    """A difference of two shares in percentage points, such as "−19.9"; a true minus sign is read as such."""
    value = round(100 * difference, 1)
    sign = "+" if value > 0 else ""
    return f"{sign}{value + 0.0:.1f}".replace("-", "−")


def megabytes(count: int) -> str:
    """A number of bytes in MB of 1,048,576 bytes, as in the model cards."""
    return f"{count / 2**20:.1f} MB"


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    css: str = "",
    corner: str = "",
    note: str = "",
    stacked: bool = False,
) -> str:
    """A table in a box of its own that scrolls sideways where the page is narrow.

    The first cell of each row is its header; a row of one cell is the heading of the rows below it. Cells are HTML, and
    those that begin with "<td" are taken whole; the caption is text, `corner` the text above the row headers, `note`
    HTML below the caption. On a phone, a `stacked` table shows each row's header above its cells.
    """
    columns = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    first = f'<th scope="col">{escape(corner)}</th>' if corner else "<td></td>"
    body = "".join(_row(row, len(head) + 1) for row in rows)
    extra = f"<span>{note}</span>" if note else ""
    content = f"<thead><tr>{first}{columns}</tr></thead><tbody>{body}</tbody>"
    names, attributes = f"eh-table {css}".strip(), ""
    if stacked:
        names, attributes = f"{names} eh-stacked", f' role="table" style="--eh-columns:{len(head)}"'
        content = _with_roles(content)
    return (
        f'<div class="eh-scroll" role="group" aria-label="{escape(caption)}" tabindex="0">'
        f'<table class="{names}"{attributes}><caption><b>{escape(caption)}</b>{extra}</caption>{content}</table></div>'
    )


def _with_roles(content: str) -> str:
    """The same rows with ARIA roles: browsers may drop those of a table whose CSS changes `display`."""
    roles = {
        "<thead>": "rowgroup",
        "<tbody>": "rowgroup",
        "<tr>": "row",
        "<td>": "cell",
        '<th scope="col">': "columnheader",
        '<th scope="row">': "rowheader",
    }
    for tag, role in roles.items():
        content = content.replace(tag, f'{tag[:-1]} role="{role}">')
    return content


def _row(row: Sequence[str], columns: int) -> str:
    header, *cells = row
    if not cells:
        return f'</tbody><tbody><tr><th scope="rowgroup" colspan="{columns}">{header}</th></tr>'
    values = "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row">{header}</th>{values}</tr>'
