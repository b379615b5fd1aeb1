"""Trained pipelines as files: saved without pickle, loaded only when they are what was registered.

A model file is code that runs here, so it is opened by skops with our own list of types, never one that the file
brings along, and only when its SHA-256 is the one that was registered.
"""

import hashlib
import threading
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

from core.errors import ModelCorrupt
from core.estimators import TRUSTED_TYPES
from core.records import ModelVersion

MODEL_FILE = "model.skops"
MOST_EXPANSION = 200  # a zip that grows more than this is no model of ours
KEPT = 8  # loaded pipelines


def save(pipeline: Any, folder: Path) -> str:
    """Write the pipeline into the folder; return the file's SHA-256."""
    import skops.io

    path = folder / MODEL_FILE
    skops.io.dump(pipeline, path)
    return sha256(path)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(model: ModelVersion, data_dir: Path) -> Path:
    """The path of the version's file, which is what was registered. Raises ModelCorrupt."""
    path = data_dir / model.path / MODEL_FILE
    way_out = "Roll back to another version on Models, or retrain"
    if not path.resolve().is_relative_to(data_dir.resolve()) or not path.is_file():
        raise ModelCorrupt(f"The file of version {model.version} of {model.project} is missing. {way_out}")
    if sha256(path) != model.sha256:
        raise ModelCorrupt(
            f"The file of version {model.version} of {model.project} is not what was registered. {way_out}"
        )
    return path


def load(model: ModelVersion, data_dir: Path) -> Any:
    """The version's fitted pipeline. Raises ModelCorrupt."""
    import skops.io

    path = verify(model, data_dir)
    try:
        with zipfile.ZipFile(path) as archive:
            expanded = sum(part.file_size for part in archive.infolist())
        if expanded > MOST_EXPANSION * path.stat().st_size:
            raise ModelCorrupt(f"The file of version {model.version} of {model.project} expands beyond reason")
        return skops.io.load(path, trusted=list(TRUSTED_TYPES))
    except ModelCorrupt:
        raise
    except Exception as error:  # whatever skops says of a file that is no model
        raise ModelCorrupt(
            f"The file of version {model.version} of {model.project} cannot be loaded ({type(error).__name__})"
        ) from error


class ModelCache:
    """Loaded pipelines, the most recently used ones; safe to share between threads."""

    def __init__(self) -> None:
        self._loaded: OrderedDict[tuple[str, int, str], Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, model: ModelVersion, data_dir: Path) -> Any:
        key = (model.project, model.version, model.sha256)
        with self._lock:
            if key not in self._loaded:
                self._loaded[key] = load(model, data_dir)
                while len(self._loaded) > KEPT:
                    self._loaded.popitem(last=False)
            self._loaded.move_to_end(key)
            return self._loaded[key]
