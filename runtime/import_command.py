"""`server.py import`: accounts of another system, one a line (docs/moving-in.md).

The file is read once, line by line, and stored in batches. A run that was killed is repeated as a whole: what is
there is not created again. The report of refused lines has their numbers and the reasons, never their content.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import orjson

from auth.backends.user_import import KEY_PURPOSE, ImportedBatch, Line, RefusedLine, UserImport
from auth.core.errors import FieldError, InvalidRequest, Unavailable
from auth.core.views import parse
from auth.http.schemas.user_import import ImportLine
from auth.platform.settings.settings import Settings
from runtime.private_files import open_private
from runtime.provision import root

MAX_LINE_BYTES = 256 * 1024
BATCH = 500
# While MongoDB elects a new primary, in seconds.
RETRY_DELAYS = (1, 2, 5, 10)
# In the summary; the report has all.
REASONS_SHOWN = 10
BAR_WIDTH = 30
BOM = b"\xef\xbb\xbf"


@dataclass
class Totals:
    """What became of the lines so far."""

    lines: int = 0
    created: int = 0
    known: int = 0
    refused: int = 0
    with_roles: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, batch: ImportedBatch) -> None:
        """Count a batch."""
        self.created += batch.created
        self.known += batch.known
        self.refuse(batch.refused)

    def refuse(self, refused: Sequence[RefusedLine]) -> None:
        """Count refused lines, by the first reason of each."""
        self.refused += len(refused)
        self.reasons.update(f"{line.errors[0].field}: {line.errors[0].message}" for line in refused)


class ProgressBar:
    """On a terminal only, on standard error. `size`: of the file, in bytes."""

    def __init__(self, size: int) -> None:
        self._size = max(1, size)
        self._is_shown = sys.stderr.isatty()
        self._began = time.monotonic()

    def show(self, read: int, lines: int) -> None:
        """Draw it anew."""
        if not self._is_shown:
            return
        share = min(1.0, read / self._size)
        bar = ("#" * round(share * BAR_WIDTH)).ljust(BAR_WIDTH, ".")
        rate = lines / max(0.001, time.monotonic() - self._began)
        print(f"\r[{bar}] {share:4.0%}  {lines:,} lines, {rate:,.0f}/s ", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line."""
        if self._is_shown:
            print(file=sys.stderr)


async def import_users(settings: Settings, file: Path, *, dry_run: bool) -> int:
    """Import the accounts of a file. Status 1 if lines were refused, or the file cannot be read."""
    from runtime.command_node import command_node

    report = file.with_name(f"{file.name}.refused")
    began = time.monotonic()
    try:
        with file.open("rb") as lines, open_private(report) as refusals:
            async with command_node(settings) as node:
                if not dry_run:
                    # Without the unique indexes there would be doubles.
                    await node.stores.prepare()
                users = UserImport(
                    node.services,
                    store=node.stores.user_imports,
                    key=root(settings).derive(KEY_PURPOSE),
                    roles=settings.administration.roles,
                    issuers={each.provider_id: each.issuer for each in settings.providers},
                )
                run = ImportRun(users, dry_run=dry_run, refusals=refusals)
                totals = await run.all(lines, ProgressBar(os.fstat(lines.fileno()).st_size))
    except OSError as error:
        print(f"cannot use {error.filename}: {(error.strerror or str(error)).lower()}", file=sys.stderr)
        return 1
    _summarise(totals, report, seconds=time.monotonic() - began, dry_run=dry_run)
    return int(totals.refused > 0)


class ImportRun:
    """One run of the command."""

    def __init__(self, users: UserImport, *, dry_run: bool, refusals: BinaryIO) -> None:
        self._users = users
        self._dry_run = dry_run
        self._refusals = refusals
        self._totals = Totals()

    async def all(self, file: BinaryIO, progress: ProgressBar) -> Totals:
        """Import every line. Raises `Unavailable` if MongoDB does not come back; a repeated run continues."""
        batch: list[Line] = []
        # Counted, because a pipe has no position.
        read = 0
        for number, raw in numbered_lines(file):
            read += len(raw or b"")
            self._totals.lines += 1
            line = self._read(number, raw)
            if line is None:
                continue
            batch.append(line)
            if len(batch) == BATCH:
                await self._add(batch)
                batch = []
                progress.show(read, self._totals.lines)
        await self._add(batch)
        progress.show(read, self._totals.lines)
        progress.end()
        if not self._dry_run:
            totals = self._totals
            await self._users.finished(
                created=totals.created, known=totals.known, refused=totals.refused, with_roles=totals.with_roles
            )
        return self._totals

    def _read(self, number: int, raw: bytes | None) -> Line | None:
        try:
            if raw is None:
                raise InvalidRequest(errors=[FieldError("", f"The line is longer than {MAX_LINE_BYTES} bytes.")])
            account = parse(ImportLine, _json(raw)).account
        except InvalidRequest as refusal:
            self._refuse([RefusedLine(number, refusal.errors)])
            return None
        self._totals.with_roles += bool(account.roles)
        return Line(number, raw, account)

    async def _add(self, batch: Sequence[Line]) -> None:
        for delay in (*RETRY_DELAYS, None):
            try:
                done = await self._users.add(batch, dry_run=self._dry_run)
                break
            except Unavailable:
                if delay is None:
                    raise
                await asyncio.sleep(delay)
        self._totals.add(done)
        self._write(done.refused)

    def _refuse(self, refused: Sequence[RefusedLine]) -> None:
        self._totals.refuse(refused)
        self._write(refused)

    def _write(self, refused: Sequence[RefusedLine]) -> None:
        for line in refused:
            errors = [{"field": each.field, "message": each.message} for each in line.errors]
            self._refusals.write(json.dumps({"line": line.number, "errors": errors}).encode() + b"\n")


def numbered_lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """The lines that are not blank, without surrounding space, by number; None for one that is too long."""
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(raw) > MAX_LINE_BYTES:
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(MAX_LINE_BYTES)
            yield number, None
            continue
        stripped = (raw.removeprefix(BOM) if number == 1 else raw).strip()
        if stripped:
            yield number, stripped


def _json(raw: bytes) -> object:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise InvalidRequest(errors=[FieldError("", "The line is not valid JSON.")]) from None


def _summarise(totals: Totals, report: Path, *, seconds: float, dry_run: bool) -> None:
    verb = "would import" if dry_run else "imported"
    print(f"{verb} {totals.created} accounts in {seconds:.1f} s; already imported: {totals.known}")
    if not totals.refused:
        report.unlink(missing_ok=True)
        return
    print(f"refused lines: {totals.refused}, listed in {report}")
    for reason, count in totals.reasons.most_common(REASONS_SHOWN):
        print(f"{count:8}  {reason}")
