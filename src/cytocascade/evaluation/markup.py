"""What the pages of the reports are put together from."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from cytocascade.evaluation.results import Floored, SummaryRow
from cytocascade.evaluation.style import STYLE

VERDICTS = {"met": "✓ met", "missed": "✗ missed", "shown": "–"}


def document(title: str, sections: Sequence[str]) -> str:
    """Return a whole page as HTML with inline style."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def image(data: bytes, alt: str, kind: str = "") -> str:
    """Return an inline PNG."""
    encoded = base64.b64encode(data).decode("ascii")
    return f'<img class="{kind}" alt="{escape(alt)}" src="data:image/png;base64,{encoded}">'


def section(title: str, lead: str, body: str, identity: str) -> str:
    """Return a titled part of the page; `lead` and `body` are HTML already."""
    return f'<section id="{identity}">\n<h2>{escape(title)}</h2>\n<p class="lead">{lead}</p>\n{body}\n</section>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already."""
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>\n<thead><tr>{titles}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def figure(data: bytes, caption: str, kind: str = "", image_kind: str = "") -> str:
    """Return an inline PNG with its caption."""
    return (
        f'<figure class="{kind}">{image(data, caption, image_kind)}<figcaption>{escape(caption)}</figcaption></figure>'
    )


def number(value: float) -> str:
    """Return a figure with about two digits that matter."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else (f"{value:.2f}" if abs(value) >= 0.01 else f"{value:.1g}")


def floor_in_words(figure: Floored) -> str:
    """Return the floor, and that of the split by order."""
    return f"{number(figure.floor)} <small>(first half against second: {number(figure.floor_contiguous)})</small>"


def summary_table(rows: Sequence[SummaryRow]) -> str:
    """Return the table at the top: every figure with floor, goal and verdict."""
    return table(
        ("What", "Figure", "Floor", "Goal", "Verdict"),
        [
            (
                escape(row.name),
                number(row.value),
                "" if row.floor is None else number(row.floor),
                escape(row.goal),
                f'<span class="{row.verdict}">{VERDICTS[row.verdict]}</span>',
            )
            for row in rows
        ],
    )


def score(rows: Sequence[SummaryRow]) -> str:
    """Return how many goals are met."""
    with_goal = [row for row in rows if row.verdict != "shown"]
    met = sum(row.verdict == "met" for row in with_goal)
    return f'<p class="score"><strong>{met} of {len(with_goal)}</strong> goals met</p>'


def notes_list(notes: Sequence[str]) -> str:
    """Return remarks as a list, or nothing."""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<ul class="note">{items}</ul>' if items else ""
