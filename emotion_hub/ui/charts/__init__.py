"""Tables and charts of the Models tab, as HTML and inline SVG."""

from __future__ import annotations

from emotion_hub.ui.charts.comparison import comparison_section
from emotion_hub.ui.charts.network import network_section
from emotion_hub.ui.charts.records import NetworkRecord, network_record, network_records

__all__ = ["NetworkRecord", "comparison_section", "network_record", "network_records", "network_section"]
