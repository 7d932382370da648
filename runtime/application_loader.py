"""Loads the application named by VIGIL_APPLICATION."""

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

import structlog

from auth.core.errors import StartRefused
from auth.platform.logs import masked
from realtime.application import Application

MAX_ERROR_LENGTH = 300

log = structlog.get_logger()


class ApplicationNotFound(StartRefused):
    """VIGIL_APPLICATION names no application; the message is one line for the operator."""


def load_application(name: str | None, base: Path) -> Application | None:
    """Load the application `file.py:name` (relative to `base`) or `package.module:name`; None without a name.

    Raises `ApplicationNotFound`, also if its code cannot be imported; the traceback is logged at level debug.
    """
    if not name:
        return None
    place, separator, attribute = name.rpartition(":")
    if not separator or not place:
        raise ApplicationNotFound(f"VIGIL_APPLICATION is wrong: {name!r} is not file.py:name or module:name")
    try:
        module = _load_file(base / place) if place.endswith(".py") else importlib.import_module(place)
        application = getattr(module, attribute, None)
    except ApplicationNotFound:
        raise
    except (Exception, SystemExit) as error:  # anything raised by the application's code during import
        log.debug("application_not_imported", exc_info=True)
        raise ApplicationNotFound(
            f"VIGIL_APPLICATION is wrong: cannot import {place}: {_one_line(error)}"
        ) from None
    if not isinstance(application, Application):
        raise ApplicationNotFound(f"VIGIL_APPLICATION is wrong: {place} has no Application named {attribute!r}")
    return application


def _load_file(path: Path) -> ModuleType:
    # A distinct module name, since the file may have the name of one of our modules.
    spec = importlib.util.spec_from_file_location(f"vigil_application_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ApplicationNotFound(f"VIGIL_APPLICATION is wrong: there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    # dataclasses and pydantic look up a class's module here.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _one_line(error: BaseException) -> str:
    """Format an error as one line with the place it was raised at, and mask likely secrets."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    frames = traceback.extract_tb(error.__traceback__)
    where = "" if isinstance(error, SyntaxError) or not frames else f" ({frames[-1].filename}:{frames[-1].lineno})"
    return masked(text[:MAX_ERROR_LENGTH].rstrip(": ")) + where
