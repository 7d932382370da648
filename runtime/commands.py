"""The command line: parses arguments and dispatches to commands, functions that return an exit status.

Commands import their dependencies when they run, since most of the startup time is spent on imports.
"""

import argparse
import gc
import os
import sys
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auth.core.clock import utc_now
from auth.core.errors import StartRefused, Unavailable
from auth.core.server_keys import Scope
from auth.platform import logs
from auth.platform.settings.settings import Settings


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="server.py", description="Vigil, a real-time authentication server.")
    commands = parser.add_subparsers(dest="command")
    serving = commands.add_parser("serve", help="run one node, or several on one port (the default)")
    for each in (parser, serving):
        each.add_argument(
            "--workers", type=int, default=argparse.SUPPRESS, metavar="N", help="number of processes"
        )
    examining = commands.add_parser("doctor", help="examine settings, stores and machine, and say what to do")
    examining.add_argument("--json", action="store_true", help="print one JSON object")
    commands.add_parser("services", help="run only the embedded MongoDB and Redis")
    commands.add_parser("worker", help="run only the background jobs")
    granting = commands.add_parser("grant", help="give an account a role")
    granting.add_argument("email")
    granting.add_argument("role")
    factors = commands.add_parser("factors", help="second factors").add_subparsers(dest="action", required=True)
    factors.add_parser("remove", help="remove them from the account of a user who lost them").add_argument("email")
    revoking = commands.add_parser("revoke", help="end sessions, and tell their devices")
    which = revoking.add_mutually_exclusive_group(required=True)
    which.add_argument("--all", action="store_true", help="of every account")
    which.add_argument("--user", metavar="ID_OR_EMAIL", help="of one account")
    which.add_argument(
        "--before",
        type=past_time,
        metavar="TIME",
        help="started by this time (2026-11-29T12:00Z; UTC unless it says otherwise), of every account",
    )
    migrating = commands.add_parser(
        "migrate", help="bring the database to this version, after the last node's update"
    )
    migrating.add_argument("--dry-run", action="store_true", help="only say what would be changed")
    importing = commands.add_parser("import", help="import accounts of another system (docs/moving-in.md)")
    importing.add_argument("file", metavar="FILE.jsonl", type=Path, help="one account a line")
    importing.add_argument("--dry-run", action="store_true", help="only say what would be refused")
    keys = commands.add_parser("keys", help="signing keys").add_subparsers(dest="action", required=True)
    keys.add_parser("rotate", help="sign with the next key from now on")
    keys.add_parser("reseal", help="seal anew under VIGIL_SECRET_KEY what VIGIL_SECOND_SECRET_KEY has sealed")
    keys.add_parser("reset", help="end all sessions and generate new keys, after a change of VIGIL_SECRET_KEY")
    _add_server_keys(commands)
    _add_webhooks(commands)
    return parser.parse_args(arguments)


def _add_server_keys(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    actions = commands.add_parser("server-keys", help="keys of applications' backends").add_subparsers(
        dest="action", required=True
    )
    creating = actions.add_parser("create", help="create a key and print it, this once")
    creating.add_argument("name", metavar="NAME", help="which backend will use it")
    creating.add_argument(
        "--scopes",
        required=True,
        type=lambda text: text.split(","),
        metavar="SCOPE,…",
        help=f"what it may do: {', '.join(Scope)}",
    )
    creating.add_argument("--expires-days", type=int, metavar="N", help="valid for N days; by default without end")
    actions.add_parser("list", help="list all keys, never their secrets")
    actions.add_parser("revoke", help="refuse a key from now on, on every node").add_argument("id", metavar="ID")


def _add_webhooks(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    actions = commands.add_parser("webhooks", help="where facts are sent").add_subparsers(
        dest="action", required=True
    )
    creating = actions.add_parser("create", help="create an endpoint and print its secret, this once")
    creating.add_argument("url", metavar="URL")
    creating.add_argument(
        "--events",
        default=[],
        type=lambda text: text.split(","),
        metavar="TYPE,…",
        help="facts to send, such as session.ended or user.*; by default all",
    )
    creating.add_argument("--format", default="json", metavar="FORMAT", help="json, or set: Security Event Tokens")
    actions.add_parser("list", help="list all endpoints, never their secrets")
    for name, what in (
        ("remove", "remove an endpoint and what waits for it"),
        ("add-secret", "print a new secret, which signs beside the one before"),
        ("deliveries", "list what an endpoint has not accepted"),
    ):
        actions.add_parser(name, help=what).add_argument("id", metavar="ID")
    again = actions.add_parser("send-again", help="send now what an endpoint has not accepted")
    again.add_argument("id", metavar="ID")
    again.add_argument("--fact", type=int, metavar="N", help="only this fact")


def past_time(text: str) -> datetime:
    """Parse a time of ISO 8601, UTC if it names no offset. Raises `ArgumentTypeError`."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2026-11-29T12:00Z") from None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    if time > utc_now():
        raise argparse.ArgumentTypeError(f"{text} is in the future")
    return time


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run one command and return its exit status."""
    match arguments.command:
        case "services":
            from runtime.embedded.services import run_foreground

            return _run(run_foreground(settings.stores.data_dir))
        case "doctor":
            from runtime.doctor import examine

            return _run(examine(settings, as_json=arguments.json))
        case "worker":
            from runtime.serving import run_jobs

            return _run(run_jobs(settings))
        case "import":
            from runtime.import_command import import_users

            return _run(import_users(settings, arguments.file, dry_run=arguments.dry_run))
        case "grant" | "factors" | "revoke" | "migrate" | "keys" | "server-keys" | "webhooks":
            return _run(_operation(arguments, settings))
        case _:
            from runtime.serving import run_server

            return run_server(settings, getattr(arguments, "workers", 1))


def _operation(arguments: argparse.Namespace, settings: Settings) -> Coroutine[Any, Any, int]:
    from runtime import operator_commands

    match arguments.command:
        case "grant":
            return operator_commands.grant(settings, arguments.email, arguments.role)
        case "factors":
            return operator_commands.remove_factors(settings, arguments.email)
        case "revoke" if arguments.user is not None:
            return operator_commands.revoke_user(settings, arguments.user)
        case "revoke":
            return operator_commands.revoke_all(settings, begun_by=arguments.before)
        case "server-keys":
            return _server_keys(arguments, settings)
        case "webhooks":
            return _webhooks(arguments, settings)
        case "migrate":
            return operator_commands.migrate(settings, dry_run=arguments.dry_run)
        case _ if arguments.action == "reseal":
            return operator_commands.reseal(settings)
        case _ if arguments.action == "reset":
            return operator_commands.reset_keys(settings)
        case _:
            return operator_commands.rotate_keys(settings)


def _server_keys(arguments: argparse.Namespace, settings: Settings) -> Coroutine[Any, Any, int]:
    from runtime import server_key_commands

    match arguments.action:
        case "create":
            return server_key_commands.create(
                settings, arguments.name, arguments.scopes, expires_in_days=arguments.expires_days
            )
        case "revoke":
            return server_key_commands.revoke(settings, arguments.id)
        case _:
            return server_key_commands.show(settings)


def _webhooks(arguments: argparse.Namespace, settings: Settings) -> Coroutine[Any, Any, int]:
    from runtime import webhook_commands

    match arguments.action:
        case "create":
            return webhook_commands.create(settings, arguments.url, arguments.events, arguments.format)
        case "remove":
            return webhook_commands.remove(settings, arguments.id)
        case "add-secret":
            return webhook_commands.add_secret(settings, arguments.id)
        case "deliveries":
            return webhook_commands.show_deliveries(settings, arguments.id)
        case "send-again":
            return webhook_commands.send_again(settings, arguments.id, arguments.fact)
        case _:
            return webhook_commands.show(settings)


def _run(work: Coroutine[Any, Any, int]) -> int:
    import uvloop

    gc.enable()
    return uvloop.run(work)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. A refused start, such as a wrong setting, prints one line and returns status 2."""
    parsed = read_arguments(sys.argv[1:] if arguments is None else arguments)
    try:
        settings = Settings.load(os.environ)
    except StartRefused as refused:
        if parsed.command == "doctor":
            from runtime.doctor import report_refusal

            return report_refusal(refused, as_json=parsed.json)
        return _refused(refused)
    logs.configure(level=settings.log.log_level, style=settings.log.log_format)
    try:
        status = run(parsed, settings)
    except StartRefused as refused:
        status = _refused(refused)
    except Unavailable:
        status = _refused("MongoDB does not answer: check VIGIL_MONGO_URL")
    if settings.stores.mongo_driver == "motor":
        from auth.stores.motor_driver import end_process

        end_process(status)
    return status


def _refused(why: object) -> int:
    print(f"vigil: {why}", file=sys.stderr)
    return 2
