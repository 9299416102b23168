"""Read a safetensors file whose tensors must be exactly those of a network."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from emotion_hub.errors import CheckpointError

__all__ = ["read_tensors"]

#: Types in which the floating-point tensors of a checkpoint can be stored.
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def read_tensors(path: Path, network: nn.Module, source: str) -> dict[str, torch.Tensor]:
    """The tensors of the safetensors file at `path`, by name, in the types of `network` (float32 for floats).

    `network` can be on the meta device; `source` names the checkpoint in messages. Names and shapes are compared before
    any tensor is read. Raises CheckpointError for a damaged file, a missing, unexpected or misshapen tensor, another
    type, values that are not finite and negative variances.
    """
    expected = network.state_dict()
    _check_header(path, expected, source)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, source, error) from error
    converted = {}
    for name, tensor in tensors.items():
        dtype = expected[name].dtype
        if tensor.dtype not in (_FLOATS if dtype.is_floating_point else (dtype,)):
            raise CheckpointError(f"{name!r} of {source!r} is {tensor.dtype}, the network needs {dtype}")
        converted[name] = tensor.to(dtype)
        if not torch.isfinite(converted[name]).all():
            raise CheckpointError(
                f"{name!r} of {source!r} holds values that are not finite; the file is damaged or the training diverged"
            )
        if name.endswith("running_var") and (converted[name] < 0).any():
            raise CheckpointError(f"{name!r} of {source!r} holds negative variances; the file is damaged")
    return converted


def _check_header(path: Path, expected: dict[str, torch.Tensor], source: str) -> None:
    """Raises CheckpointError when the names or shapes in the file's header are not those of the network."""
    try:
        with safe_open(path, "pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError) as error:
        raise _damaged(path, source, error) from error
    if missing := [name for name in expected if name not in shapes]:
        raise CheckpointError(
            f"{source!r} lacks {_listed(missing)}; the weights belong to another network or were renamed"
        )
    if unexpected := [name for name in shapes if name not in expected]:
        raise CheckpointError(
            f"{source!r} has {_listed(unexpected)}, which the network does not; "
            "the weights belong to another network or were renamed"
        )
    for name, shape in shapes.items():
        if shape != tuple(expected[name].shape):
            raise CheckpointError(
                f"{name!r} of {source!r} has shape {shape}, the network needs {tuple(expected[name].shape)}"
            )


def _damaged(path: Path, source: str, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path.name} of {source!r} is damaged or not a safetensors file: {error}")


def _listed(names: list[str]) -> str:
    listed = ", ".join(map(repr, names[:4]))
    return listed + (f" and {len(names) - 4} more tensors" if len(names) > 4 else "")
