"""Theme of the demo: gradio's variables in light and dark.

Text has a contrast of at least 4.5:1 and what bounds a control at least 3:1 (WCAG 2.2, criteria 1.4.3 and 1.4.11).
`tests/ui/test_theme.py` computes the contrasts. The colours of the page's own elements are in `styles/colours.css`.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

__all__ = ["COLOURS", "theme"]

#: {gradio's variable: (its value in light, its value in dark)}.
COLOURS: dict[str, tuple[str, str]] = {
    "body_background_fill": ("#f6f7f9", "#10151d"),
    "body_text_color": ("#1b2430", "#e8edf4"),
    "body_text_color_subdued": ("#4c5a6c", "#a9b6c6"),
    "background_fill_primary": ("#ffffff", "#182029"),
    "background_fill_secondary": ("#eef1f5", "#202a36"),
    "border_color_primary": ("#d5dbe3", "#344150"),
    "border_color_accent": ("#1f5fbf", "#7fb2ff"),
    "color_accent_soft": ("#e4edfa", "#1d2f49"),
    "link_text_color": ("#1a56ad", "#8dbaff"),
    "link_text_color_hover": ("#123f82", "#b4d2ff"),
    "link_text_color_active": ("#123f82", "#b4d2ff"),
    "link_text_color_visited": ("#1a56ad", "#8dbaff"),
    "block_background_fill": ("#ffffff", "#182029"),
    "block_border_color": ("#d5dbe3", "#344150"),
    "block_info_text_color": ("#4c5a6c", "#a9b6c6"),
    "block_label_background_fill": ("#ffffff", "#182029"),
    "block_label_border_color": ("#d5dbe3", "#344150"),
    "block_label_text_color": ("#34414f", "#cdd6e1"),
    "block_title_text_color": ("#1b2430", "#e8edf4"),
    "accordion_text_color": ("#1b2430", "#e8edf4"),
    "table_text_color": ("#1b2430", "#e8edf4"),
    "input_background_fill": ("#ffffff", "#10151d"),
    "input_border_color": ("#7c899a", "#78879a"),
    "input_border_color_focus": ("#1f5fbf", "#7fb2ff"),
    "input_placeholder_color": ("#5c6a7b", "#98a6b7"),
    "checkbox_background_color": ("#ffffff", "#10151d"),
    "checkbox_background_color_selected": ("#1f5fbf", "#2f6fd0"),
    "checkbox_border_color": ("#7c899a", "#78879a"),
    "checkbox_border_color_selected": ("#1f5fbf", "#7fb2ff"),
    "checkbox_label_background_fill": ("#ffffff", "#202a36"),
    "checkbox_label_background_fill_hover": ("#eef1f5", "#2a3644"),
    "checkbox_label_background_fill_selected": ("#e4edfa", "#1d2f49"),
    "checkbox_label_border_color": ("#d5dbe3", "#344150"),
    "checkbox_label_border_color_selected": ("#1f5fbf", "#7fb2ff"),
    "checkbox_label_text_color": ("#1b2430", "#e8edf4"),
    "checkbox_label_text_color_selected": ("#1b2430", "#e8edf4"),
    "slider_color": ("#1f5fbf", "#7fb2ff"),
    "loader_color": ("#1f5fbf", "#7fb2ff"),
    "button_primary_background_fill": ("#1f5fbf", "#2f6fd0"),
    "button_primary_background_fill_hover": ("#184d9c", "#2a62b8"),
    "button_primary_border_color": ("#1f5fbf", "#7fb2ff"),
    "button_primary_text_color": ("#ffffff", "#ffffff"),
    "button_secondary_background_fill": ("#ffffff", "#202a36"),
    "button_secondary_background_fill_hover": ("#eef1f5", "#2a3644"),
    "button_secondary_border_color": ("#7c899a", "#78879a"),
    "button_secondary_text_color": ("#1b2430", "#e8edf4"),
    "button_cancel_background_fill": ("#ffffff", "#202a36"),
    "button_cancel_background_fill_hover": ("#fbeceb", "#3a2426"),
    "button_cancel_border_color": ("#b3261e", "#ff9a90"),
    "button_cancel_text_color": ("#a3211a", "#ff9a90"),
    "error_text_color": ("#a3211a", "#ff9a90"),
}


def theme() -> gr.themes.ThemeClass:
    """The theme for `Blocks.launch`. It loads no font."""
    values: dict[str, Any] = {}
    for name, (light, dark) in COLOURS.items():
        values |= {name: light, f"{name}_dark": dark}
    fonts = ["ui-sans-serif", "system-ui", "sans-serif"]
    base = gr.themes.Base(
        primary_hue="blue",
        neutral_hue="slate",
        radius_size=gr.themes.sizes.radius_md,
        font=fonts,
        font_mono=["ui-monospace", "monospace"],
    )
    return base.set(
        **values,
        color_accent="#2f6fd0",  # gradio has one value for both
        block_border_width="1px",
        block_label_text_weight="500",
        block_title_text_weight="500",
        button_border_width="1px",
        button_large_radius="8px",
        button_secondary_shadow="none",
        button_primary_shadow="none",
        checkbox_border_width="1px",
        checkbox_label_border_width="1px",
        input_border_width="1px",
    )
