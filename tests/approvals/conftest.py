"""The operations and test doubles for login approvals."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from support.approval_world import CodeFactor, RecordingLine, RecordingMailer, World
from support.nodes import ServiceUrls
from support.session_world import make_world, stand_in_services

from auth.alerts.approvals import ApprovalFactor, Approvals
from auth.audit import AuditLog
from auth.clients.known_devices import KnownDevices
from auth.crypto.passwords import Passwords
from auth.factors.password_guesses import PasswordGuesses
from auth.factors.registry import SecondFactors
from auth.factors.step_up import StepUp
from auth.login.admission import Admission
from auth.platform.rate_limits import RateLimits
from auth.platform.settings.settings import LimitSettings
from auth.stores.approvals import ApprovalStore
from auth.stores.challenges import Challenges
from auth.stores.mongo import Mongo
from auth.stores.one_time_tokens import OneTimeTokens
from auth.stores.users.store import Users


@pytest.fixture
async def world(mongo: Mongo, services: ServiceUrls, redis_prefix: str) -> AsyncIterator[World]:
    sessions = await make_world(mongo)
    database, metrics, clock = mongo.database, sessions.metrics, sessions.time
    users, challenges, store = Users(database), Challenges(database), ApprovalStore(database)
    limits = RateLimits(
        settings=LimitSettings(), redis_url=services.redis, namespace=redis_prefix, metrics=metrics
    )
    audit = AuditLog(store=sessions.audit_events, keep=timedelta(days=90), metrics=metrics, clock=clock)
    code, line, mails, passwords = CodeFactor(), RecordingLine(), RecordingMailer(), Passwords(workers=1)
    factor = ApprovalFactor(store=store, sessions=sessions.store, presence=sessions.presence, clock=clock)
    factors = SecondFactors([code, factor])
    shared = stand_in_services(users=users, audit=audit, limits=limits, mailer=mails, metrics=metrics, clock=clock)
    admission = Admission(
        shared,
        sessions=sessions.sessions,
        second_factors=factors,
        challenges=challenges,
        require_verified_email=True,
    )
    step_up = StepUp(
        shared,
        sessions=sessions.store,
        second_factors=factors,
        passwords=passwords,
        guesses=PasswordGuesses(shared, devices=KnownDevices(b"", clock), tokens=OneTimeTokens(mongo.database)),
    )
    approvals = Approvals(
        shared,
        store=store,
        challenges=challenges,
        admission=admission,
        step_up=step_up,
        sessions=sessions.sessions,
        line=line,
        devices=sessions.devices,
        locations=sessions.locations,
    )
    yield World(sessions, users, challenges, store, code, admission, step_up, approvals, line, mails, limits)
    await limits.close()
    passwords.close()
