"""Files as mmdetection leaves them: objects of mmengine's in them, without mmengine."""

import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor


class HistoryBuffer:
    """As mmengine's: arrays, and methods by name."""

    def __init__(self) -> None:
        self._log_history = np.array([1.0, 0.5])
        self._statistics = {"mean": HistoryBuffer.mean}

    def mean(self) -> float:
        return float(self._log_history.mean())


class ConfigDict(dict[str, Any]):
    def __reduce_ex__(self, protocol: Any) -> Any:
        return ConfigDict, (dict(self),), None, None, None


class Config:
    """As mmcv's: its tables, its file and its text."""

    def __init__(self, tables: dict[str, Any], text: str) -> None:
        self._state = (ConfigDict(tables), "config.py", text)

    def __getstate__(self) -> Any:
        return self._state


def mmengine(patch: pytest.MonkeyPatch) -> None:
    """Their modules, as long as a file is written."""
    for kind, place in (
        (HistoryBuffer, "mmengine.logging.history_buffer"),
        (ConfigDict, "mmengine.config.config"),
        (Config, "mmengine.config.config"),
    ):
        for name in ("mmengine", place.rpartition(".")[0], place):
            if name not in sys.modules:
                patch.setitem(sys.modules, name, ModuleType(name))
        patch.setattr(kind, "__module__", place)
        patch.setattr(sys.modules[place], kind.__name__, kind, raising=False)
    patch.setattr(HistoryBuffer.mean, "__module__", "mmengine.logging.history_buffer")


def saved(
    path: Path,
    weights: Mapping[str, Tensor],
    *,
    config: Any = "model = dict(type='X')",
    classes: Sequence[str] | str | None = None,
    zipped: bool = True,
    others: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Path:
    """A training checkpoint with all that mmengine puts into it."""
    with pytest.MonkeyPatch.context() as patch:
        mmengine(patch)
        told = {"cfg": config, "epoch": 12, "seed": np.int64(3), "score": np.float32(0.5), **(meta or {})}
        if classes is not None:
            told["dataset_meta"] = {"classes": classes, "palette": [(220, 20, 60)]}
        hub = {"log_scalars": OrderedDict({"train/loss": HistoryBuffer()}), "runtime_info": {"cfg": ConfigDict(a=1)}}
        tree = {"meta": told, "state_dict": OrderedDict(weights), "message_hub": hub, **(others or {})}
        torch.save(tree, path, _use_new_zipfile_serialization=zipped)
    return path
