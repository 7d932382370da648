"""The world around login approvals."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from support.approval_world import CodeFactor, LineInSight, MailsInSight, World
from support.nodes import ServiceUrls
from support.session_world import make_world

from auth.admission import Admission
from auth.approvals import ApprovalFactor, Approvals
from auth.audit import AuditLog
from auth.passwords import Passwords
from auth.rate_limits import RateLimits
from auth.second_factors import SecondFactors
from auth.settings import LimitSettings
from auth.step_up import StepUp
from auth.stores.approvals import Approvals as ApprovalStore
from auth.stores.challenges import Challenges
from auth.stores.mongo import Mongo
from auth.stores.users import Users


@pytest.fixture
async def mongo(services: ServiceUrls, database_name: str) -> AsyncIterator[Mongo]:
    """The default driver only: that both do the same is tests/stores' business."""
    connection = Mongo(services.mongo, database_name, "motor")
    yield connection
    await connection.close()


@pytest.fixture
async def world(mongo: Mongo, services: ServiceUrls, redis_prefix: str) -> AsyncIterator[World]:
    sessions = await make_world(mongo)
    database, metrics, clock = mongo.database, sessions.metrics, sessions.time
    users, challenges, store = Users(database), Challenges(database), ApprovalStore(database)
    for each in (users, challenges, store):
        await each.ensure_indexes()
    limits = RateLimits(
        settings=LimitSettings(), redis_url=services.redis, namespace=redis_prefix, metrics=metrics
    )
    audit = AuditLog(store=sessions.audit_events, keep=timedelta(days=90), metrics=metrics)
    code, line, mails, passwords = CodeFactor(), LineInSight(), MailsInSight(), Passwords(workers=1)
    factor = ApprovalFactor(store=store, sessions=sessions.store, presence=sessions.presence, clock=clock)
    factors = SecondFactors([code, factor])
    admission = Admission(
        users=users,
        sessions=sessions.sessions,
        second_factors=factors,
        challenges=challenges,
        notice=mails,
        limits=limits,
        audit=audit,
        metrics=metrics,
        clock=clock,
        require_verified_email=True,
    )
    step_up = StepUp(
        users=users,
        sessions=sessions.store,
        second_factors=factors,
        passwords=passwords,
        limits=limits,
        audit=audit,
        clock=clock,
    )
    mailer: Any = mails
    approvals = Approvals(
        store=store,
        challenges=challenges,
        users=users,
        admission=admission,
        step_up=step_up,
        sessions=sessions.sessions,
        line=line,
        devices=sessions.devices,
        locations=sessions.locations,
        mailer=mailer,
        limits=limits,
        audit=audit,
        metrics=metrics,
        clock=clock,
    )
    yield World(sessions, users, challenges, store, code, admission, step_up, approvals, line, mails, limits)
    await limits.close()
    passwords.close()
