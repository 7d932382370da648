"""VIGIL_APPLICATION: a file or a module, and the name in it."""

import sys
from pathlib import Path

import pytest

from realtime.application import Application
from runtime.application_loader import ApplicationNotFound, load_application

ROOT = Path(__file__).resolve().parents[2]

APPLICATION = """
from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel

from realtime.application import Application


@dataclass
class Member:
    name: str
    friends: list[Member]


class Message(BaseModel):
    by: Author


class Author(BaseModel):
    name: str


app = Application("app")
message = Message.model_validate({"by": {"name": "Ada"}})
not_one = "app"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_app.py").write_text(APPLICATION)
    return tmp_path


def test_none_is_asked_for(folder: Path) -> None:
    assert load_application(None, folder) is None
    assert load_application("", folder) is None


def test_a_file_is_read_relative_to_the_base_or_by_its_whole_path(folder: Path) -> None:
    for name in ("my_app.py:app", f"{folder}/my_app.py:app"):
        application = load_application(name, folder)
        assert isinstance(application, Application)
        assert application.name == "app"


def test_a_file_may_define_dataclasses_and_models_as_any_module(folder: Path) -> None:
    application = load_application("my_app.py:app", folder)
    assert application is not None


def test_a_file_may_be_called_like_a_module_of_ours(folder: Path) -> None:
    (folder / "server.py").write_text(APPLICATION)
    known = sys.modules.get("server")
    assert load_application("server.py:app", folder) is not None
    assert sys.modules.get("server") is known


def test_a_module_is_imported_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    application = load_application("my_app:app", folder)
    assert application is not None
    assert application.name == "app"


def test_the_demos_chat_is_one() -> None:
    chat = load_application("client-demo/chat.py:chat", ROOT)
    assert chat is not None
    assert set(chat.handlers) == {"chat:join", "chat:watch", "chat:send"}


@pytest.mark.parametrize(
    "name",
    ["my_app", "my_app.py", ":app", "my_app.py:", "my_app.py:nothing", "my_app.py:not_one", "missing.py:app",
     "folder.py:app", "no_such_module:app", "no.such.module:app"],
)  # fmt: skip
def test_anything_else_is_one_clear_line(folder: Path, name: str) -> None:
    (folder / "folder.py").mkdir()
    with pytest.raises(ApplicationNotFound, match=r"^VIGIL_APPLICATION is wrong: ") as wrong:
        load_application(name, folder)
    assert "\n" not in str(wrong.value)
