"""Colours and style sheets: contrasts in light and dark, defined variables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import gradio as gr
import pytest

import emotion_hub.ui
from emotion_hub.ui.theme import COLOURS, theme
from tests.fakes.contrast import contrast

UI = Path(emotion_hub.ui.__file__).parent
STYLES = sorted((UI / "styles").glob("*.css"))
MODES = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])

#: WCAG 2.2: of text (criterion 1.4.3), and of what bounds or fills a control or a graphic (1.4.11).
TEXT, GRAPHIC = 4.5, 3.0

PAGE = ("body_background_fill", "background_fill_primary", "background_fill_secondary", "block_background_fill")
LABELS = (
    "checkbox_label_background_fill",
    "checkbox_label_background_fill_hover",
    "checkbox_label_background_fill_selected",
)

#: {variable of a text: the backgrounds on which it stands}.
TEXTS = {
    **dict.fromkeys(("body_text_color", "body_text_color_subdued", "error_text_color"), PAGE),
    **{f"link_text_color{state}": PAGE for state in ("", "_hover", "_active", "_visited")},
    "block_info_text_color": PAGE,
    "block_label_text_color": ("block_label_background_fill", "block_background_fill"),
    "block_title_text_color": PAGE,
    "accordion_text_color": ("block_background_fill", "body_background_fill"),
    "table_text_color": PAGE,
    "input_placeholder_color": ("input_background_fill",),
    "checkbox_label_text_color": LABELS,
    "checkbox_label_text_color_selected": LABELS,
    **{
        f"button_{kind}_text_color": (
            f"button_{kind}_background_fill",
            f"button_{kind}_background_fill_hover",
        )
        for kind in ("primary", "secondary", "cancel")
    },
}

#: {variable of a border or fill that shows a control: the backgrounds beside it}. The border shows a filled control.
GRAPHICS = {
    "input_border_color": ("input_background_fill", "block_background_fill", "body_background_fill"),
    "input_border_color_focus": ("input_background_fill", "block_background_fill", "body_background_fill"),
    "checkbox_border_color": ("checkbox_background_color", *LABELS, "block_background_fill"),
    "checkbox_border_color_selected": (*LABELS, "block_background_fill"),
    "checkbox_label_border_color_selected": ("block_background_fill",),
    "button_secondary_border_color": ("button_secondary_background_fill", *PAGE),
    "button_cancel_border_color": ("button_cancel_background_fill", *PAGE),
    "button_primary_border_color": PAGE,
    "slider_color": ("block_background_fill",),
    "border_color_accent": ("block_background_fill", "body_background_fill"),
    "loader_color": ("block_background_fill",),
}


def theme_pairs(pairs: dict[str, tuple[str, ...]], dark: bool) -> dict[str, float]:
    return {
        f"{name} on {behind}": contrast(COLOURS[name][dark], COLOURS[behind][dark])
        for name, backgrounds in pairs.items()
        for behind in backgrounds
    }


def too_low(contrasts: dict[str, float], least: float) -> dict[str, float]:
    assert contrasts
    return {name: round(value, 2) for name, value in contrasts.items() if value < least}


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the well-known gray just below 4.5
    assert contrast("#1f5fbf", "#1f5fbf") == 1
    with pytest.raises(AssertionError, match="six digits"):
        contrast("#fff", "white")


@MODES
def test_texts_of_the_theme_can_be_read(dark: bool) -> None:
    assert too_low(theme_pairs(TEXTS, dark), TEXT) == {}


@MODES
def test_controls_of_the_theme_can_be_seen(dark: bool) -> None:
    assert too_low(theme_pairs(GRAPHICS, dark), GRAPHIC) == {}


@MODES
def test_the_mark_of_a_chosen_box_can_be_seen(dark: bool) -> None:
    """gradio draws it in white."""
    assert contrast(COLOURS["checkbox_background_color_selected"][dark], "#ffffff") >= GRAPHIC


def test_every_text_colour_and_every_border_of_a_control_is_in_these_tests() -> None:
    texts = {name for name in COLOURS if "text_color" in name or name == "input_placeholder_color"}
    assert texts == set(TEXTS)
    borders = {name for name in COLOURS if "border" in name}
    decoration = {
        "border_color_primary",
        "block_border_color",
        "block_label_border_color",
        "checkbox_label_border_color",
    }
    assert borders - decoration <= set(GRAPHICS)


def test_gradio_knows_every_colour_and_both_values_arrive() -> None:
    made = theme()
    for name, (light, dark) in COLOURS.items():
        assert (getattr(made, name), getattr(made, f"{name}_dark")) == (light, dark)
    assert contrast(made.color_accent, COLOURS["block_background_fill"][0]) >= GRAPHIC
    assert contrast(made.color_accent, COLOURS["block_background_fill"][1]) >= GRAPHIC


def test_the_theme_loads_no_font() -> None:
    made = theme()
    assert made._stylesheets == []
    links = set(re.findall(r"https?://[^'\")\s]+", theme_css()))
    assert links <= {"http://www.w3.org/2000/svg"}, "the name of a format, which is not loaded"
    assert not re.search("@import|@font-face", theme_css())


@cache
def theme_css() -> str:
    return theme()._get_theme_css()


# the style sheets


@cache
def own_colours(dark: bool) -> dict[str, str]:
    """{name: colour} of `colours.css`; in dark, those of light hold where dark has no other."""
    text = (UI / "styles" / "colours.css").read_text()
    light, of_dark = (
        dict(re.findall(r"(--eh-[\w-]+): (#\w+);", block))
        for block in re.findall(r"(?::root|\.dark) \{(.*?)\}", text, re.DOTALL)
    )
    assert light
    assert of_dark
    assert set(of_dark) <= set(light)
    return light | of_dark if dark else light


@MODES
def test_texts_of_the_page_can_be_read(dark: bool) -> None:
    colours = own_colours(dark)
    texts = [name for name in colours if name.endswith("-text") and name != "--eh-tag-text"]
    texts += ["--eh-good", "--eh-warn", "--eh-bad"]
    assert {"--eh-48-text", "--eh-224-text"} <= set(texts)
    pairs = {
        f"{name} on {behind}": contrast(colours[name], COLOURS[behind][dark])
        for name in texts
        for behind in ("block_background_fill", "body_background_fill", "background_fill_secondary")
    }
    pairs["tag"] = contrast(colours["--eh-tag-text"], colours["--eh-tag"])
    assert too_low(pairs, TEXT) == {}


@MODES
def test_bars_of_both_networks_can_be_seen(dark: bool) -> None:
    colours = own_colours(dark)
    fills = {
        f"{name} on {behind}": contrast(colours[name], COLOURS[behind][dark])
        for name in ("--eh-48", "--eh-224")
        for behind in ("block_background_fill", "body_background_fill")
    }
    fills |= {
        f"{name} on its track": contrast(colours[name], colours["--eh-track"]) for name in ("--eh-48", "--eh-224")
    }
    fills["edge of a box"] = contrast(colours["--eh-tag"], "#ffffff")
    assert too_low(fills, GRAPHIC) == {}


def rules(text: str) -> Iterator[tuple[str, str]]:
    """(selector, declarations) of every innermost rule; fails for braces that do not match."""
    depth, start, selector = 0, 0, ""
    for i, character in enumerate(text):
        if character == "{":
            selector, start, depth = text[start:i].strip(), i + 1, depth + 1
        elif character == "}":
            depth -= 1
            assert depth >= 0, f"a brace too many after {text[start:i]!r}"
            if selector:
                yield selector, text[start:i]
            selector, start = "", i + 1
    assert depth == 0, f"{depth} braces are not closed"


def without_comments(path: Path) -> str:
    text = path.read_text()
    assert text.count("/*") == text.count("*/")
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("path", STYLES, ids=lambda path: path.name)
def test_a_style_sheet_has_matching_braces_and_only_declarations(path: Path) -> None:
    found = list(rules(without_comments(path)))
    assert found
    for selector, declarations in found:
        assert selector
        for declaration in filter(None, map(str.strip, declarations.split(";"))):
            assert re.fullmatch(r"[\w-]+:\s*[^:{}]+(?:::?[^{}]*)?", declaration), f"{selector}: {declaration!r}"
        assert not declarations.strip() or declarations.strip().endswith(";"), f"{selector} ends without a semicolon"


def test_unmatched_braces_are_found() -> None:
    for text in (".a { color: red; ", ".a { } }"):
        with pytest.raises(AssertionError, match="brace"):
            list(rules(text))


def test_style_sheets_use_only_variables_that_are_defined() -> None:
    texts = "".join(map(without_comments, STYLES))
    sources = "".join(path.read_text() for path in UI.rglob("*.py"))
    used = set(re.findall(r"var\((--[\w-]+)", texts))
    inline = set(re.findall(r"(--eh-[\w-]+):", sources))  # such as the length of a mark, in an element's style
    defined = set(re.findall(r"(--[\w-]+):", texts + theme_css())) | inline
    assert len(used) > 10
    assert used - defined == set()


def test_colours_are_defined_in_one_place() -> None:
    """Elsewhere, a colour would be the same in light and dark; white lies on the photo, which is, too."""
    for path in STYLES:
        if path.name != "colours.css":
            found = set(re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[^{}]*\})", without_comments(path)))
            assert found <= {"#fff"}, path.name


def test_rules_for_narrow_screens_are_about_the_contents_of_the_page() -> None:
    """gradio puts `.gradio-container .contain` before every selector inside @media: others would match nothing."""
    inside = [
        rule
        for path in STYLES
        for block in re.findall(r"@media[^{]*\{((?:[^{}]*\{[^{}]*\})*)", without_comments(path))
        for rule in re.findall(r"([^{}]+)\{", block)
    ]
    assert inside
    assert [rule.strip() for rule in inside if re.search(r"\.gradio-container|:root|\bbody\b|\bhtml\b", rule)] == []


def test_the_page_loads_every_style_sheet() -> None:
    from emotion_hub.ui import launch_options

    assert launch_options()["css_paths"] == STYLES
    assert isinstance(launch_options()["theme"], gr.themes.ThemeClass)
