"""Compatibility with transformers: overrides of private Trainer methods.

Overridden without documentation: `_save`, `_save_checkpoint`, `prediction_step`. Relied on: that they write and read
the state folder `checkpoint-STEP` in `_get_output_dir`, and that `get_train_dataloader` reads
`args.dataloader_drop_last` when it is called.

The bound transformers>=5.20,<6 in pyproject.toml also allows later releases, on which
tests/training/fit/test_trainer_compat.py fails if one of these has changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer

__all__ = ["CompatTrainer"]


class CompatTrainer(Trainer):
    """A Trainer that drops the incomplete last batch, evaluates under autocast and saves channels_last networks.

    After each state folder is written, `state_saved` is called with it.
    """

    def state_saved(self, folder: Path) -> None:
        """Override it to add files to a state folder that is otherwise complete."""

    def get_train_dataloader(self) -> DataLoader:
        """transformers' loader without an incomplete last batch; a batch of one image has no batch statistics.

        transformers has one switch for training and evaluation, which must see every image.
        """
        self.args.dataloader_drop_last = True
        try:
            return super().get_train_dataloader()
        finally:
            self.args.dataloader_drop_last = False

    def prediction_step(self, *args: Any, **kwargs: Any) -> Any:
        """As transformers' method, under the same autocast as training."""
        with self.accelerator.autocast():
            return super().prediction_step(*args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        tensors = self.accelerator.unwrap_model(self.model).state_dict() if state_dict is None else state_dict
        super()._save(output_dir, {k: v.contiguous() for k, v in tensors.items()})  # safetensors rejects channels_last

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            self.state_saved(Path(self._get_output_dir(trial)) / f"checkpoint-{self.state.global_step}")
