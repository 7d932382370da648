"""The page names every audit event that the server records in plain English."""

import ast
import re

from support.nodes import ROOT

from auth.core.models import ApprovalStatus
from auth.notifications.mail_contents import NewLogin, Notice
from auth.sessions.risk import RISKS
from auth.sessions.rotation import Verdict

NAMES = re.compile(r'^  (\w+): "(.+)",$', re.MULTILINE)
# Methods that record the event of their first argument.
RECORDERS = {"record", "_record", "_audit_act"}


def recorded_kinds() -> set[str]:
    """The kinds named in the source where an event is recorded, and those of notices and verdicts."""
    paths = (path for folder in ("auth", "realtime", "runtime") for path in (ROOT / folder).rglob("*.py"))
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text())))
    calls = (node for node in nodes if isinstance(node, ast.Call))
    literal = {kind for call in calls if name_of(call) in RECORDERS for kind in kinds_in(call.args)}
    # A login is recorded as a login; the mail about it is not another event.
    notices = {notice.kind for notice in with_subclasses(Notice) if notice.kind} - {NewLogin.kind}
    replies = {f"refresh_{verdict}" for verdict in (Verdict.REPLAYED, Verdict.CONCURRENT)}
    answers = {f"approval_{answer}" for answer in (ApprovalStatus.APPROVED, ApprovalStatus.DENIED)}
    return literal | notices | replies | answers | set(RISKS)


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def kinds_in(arguments: list[ast.expr]) -> list[str]:
    """The literals among the first two arguments: for an administrator's log and for the user's."""
    nodes = [node for argument in arguments[:2] for node in (argument, *branches(argument))]
    return [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch("[a-z_]+", node.value)
    ]


def branches(argument: ast.expr) -> tuple[ast.expr, ...]:
    return (argument.body, argument.orelse) if isinstance(argument, ast.IfExp) else ()


def with_subclasses(one: type[Notice]) -> list[type[Notice]]:
    return [one, *(each for child in one.__subclasses__() for each in with_subclasses(child))]


def test_every_recorded_event_has_a_name_and_no_name_is_left_over() -> None:
    source = (ROOT / "client-demo/ui/audit-event-text.js").read_text()
    names = dict(NAMES.findall(source[: source.index("export const eventName")]))
    kinds = recorded_kinds()
    assert {"login", "admin_user_seen", "registered_again", "account_locked", "passkey_added"} <= kinds
    assert set(names) == kinds
    assert len(set(names.values())) == len(names), "administrators search events by their names"
