"""Texts of the About tab: method, privacy, duties, glossary, as HTML."""

from __future__ import annotations

from emotion_hub.ui.guide.duties import duties_section, template_notice
from emotion_hub.ui.guide.glossary import glossary_section
from emotion_hub.ui.guide.method import limits_section, method_section, purpose_section, training_section
from emotion_hub.ui.guide.privacy import links_section, notice, privacy_section

__all__ = [
    "duties_section",
    "glossary_section",
    "limits_section",
    "links_section",
    "method_section",
    "notice",
    "privacy_section",
    "purpose_section",
    "template_notice",
    "training_section",
]
