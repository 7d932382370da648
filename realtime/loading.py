"""Finds the application named by VIGIL_APPLICATION."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from realtime.application import Application


class ApplicationNotFound(ValueError):
    """The setting names no application; the message is one line for the operator."""


def load_application(name: str | None, base: Path) -> Application | None:
    """The application `file.py:name` (relative to `base`) or `package.module:name`; None for none.

    Raises `ApplicationNotFound`.
    """
    if not name:
        return None
    place, separator, attribute = name.rpartition(":")
    if not separator or not place:
        raise ApplicationNotFound(f"VIGIL_APPLICATION is wrong: {name!r} is not file.py:name or module:name")
    module = _load_file(base / place) if place.endswith(".py") else _load_module(place)
    application = getattr(module, attribute, None)
    if not isinstance(application, Application):
        raise ApplicationNotFound(f"VIGIL_APPLICATION is wrong: {place} has no Application named {attribute!r}")
    return application


def _load_file(path: Path) -> ModuleType:
    # A name of its own: the file may be called like a module of ours.
    spec = importlib.util.spec_from_file_location(f"vigil_application_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ApplicationNotFound(f"VIGIL_APPLICATION is wrong: there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    # dataclasses and pydantic look a class's module up there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _load_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ApplicationNotFound(f"VIGIL_APPLICATION is wrong: {error}") from None
