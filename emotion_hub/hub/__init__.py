"""What other libraries' readers need beside our weights: transformers' files and timm's.

`adapter` has the transformers classes for use with this package installed, `standalone` the one file that needs only what it imports.
"""

from __future__ import annotations

from emotion_hub.hub.export import is_timm_network, write_timm_files, write_transformers_files

__all__ = ["is_timm_network", "write_timm_files", "write_transformers_files"]
