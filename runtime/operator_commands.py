"""One-shot operator commands beside running nodes: roles, second factors, sessions, signing keys.

Commands that need a node import it when they run, since that import loads the whole server.
"""

import sys
from datetime import datetime, timedelta

from auth.core.clock import utc_now
from auth.core.text import email_key
from auth.crypto.root_secret import RootSecret
from auth.crypto.sealing import SealBroken
from auth.crypto.signing_keys import KeyRing
from auth.crypto.tokens import LEEWAY
from auth.platform.settings.settings import Settings
from auth.stores.schema import MIGRATIONS, VERSION
from auth.stores.stores import Stores
from runtime.provision import root, services

# A line of progress after as many more accounts.
PROGRESS_ACCOUNTS = 250
ENDED = "ended {done.sessions} sessions of {done.accounts} accounts"


async def grant(settings: Settings, email: str, role: str) -> int:
    """Give an account a role; sockets on running nodes use it immediately."""
    if role not in settings.administration.roles:
        print(f"there is no role {role}; roles are: {', '.join(settings.administration.roles)}", file=sys.stderr)
        return 1
    from runtime.command_node import command_node

    async with command_node(settings) as node:
        await node.jobs.start(work=False)
        user = await node.operations.roles.grant(email, role)
    if user is None:
        print(f"there is no account with the address {email}", file=sys.stderr)
        return 1
    print(f"{user.email} has the roles: {', '.join(user.roles)}")
    return 0


async def remove_factors(settings: Settings, email: str) -> int:
    """Remove an account's second factors, end its sessions on running nodes immediately, and notify the user."""
    from runtime.command_node import command_node

    async with command_node(settings) as node:
        node.outbound.start_publishing()
        await node.jobs.start(work=False)
        removal = await node.operations.factor_removal.by_operator(email_key(email) or "")
    if removal is None:
        print(f"there is no account with the address {email}", file=sys.stderr)
        return 1
    print(f"removed: {', '.join(removal.removed) or 'nothing'}; sessions ended: {removal.revoked.count}")
    if removal.kept:
        print(
            "a passkey was kept: it is the only login method until the user sets a password by email",
            file=sys.stderr,
        )
        return 1
    return 0


async def revoke_user(settings: Settings, id_or_email: str) -> int:
    """End all sessions of an account; sockets on running nodes are notified immediately."""
    from runtime.command_node import command_node

    async with command_node(settings) as node:
        node.outbound.start_publishing()
        done = await node.operations.mass_revocation.of_user(id_or_email)
    if done is None:
        print(f"there is no account with the id or address {id_or_email}", file=sys.stderr)
        return 1
    print(ENDED.format(done=done))
    return 0


async def revoke_all(settings: Settings, *, begun_by: datetime | None) -> int:
    """End the sessions of all accounts that were started by `begun_by`, by default by now; print the progress."""
    from auth.sessions.mass_revocation import MassRevoked
    from runtime.command_node import command_node

    told = 0

    def tell(done: MassRevoked) -> None:
        nonlocal told
        if done.accounts >= told + PROGRESS_ACCOUNTS:
            told = done.accounts
            print(f"{ENDED.format(done=done)} so far", flush=True)

    async with command_node(settings) as node:
        node.outbound.start_publishing()
        done = await node.operations.mass_revocation.of_all(begun_by=begun_by or utc_now(), progress=tell)
    print(ENDED.format(done=done))
    return 0


async def reset_keys(settings: Settings) -> int:
    """End all sessions and generate new signing keys; sockets on running nodes are notified immediately."""
    from runtime.command_node import command_node

    async with command_node(settings) as node:
        await node.stores.prepare()
        node.outbound.start_publishing()
        done = await node.operations.mass_revocation.reset_keys()
    print(f"{ENDED.format(done=done)}; signing with {node.keys.current.key_id}")
    return 0


async def migrate(settings: Settings, *, dry_run: bool) -> int:
    """Bring the database to the current version while nodes run; print what is changed."""
    async with services(settings, borrow=True) as (mongo_url, _):
        stores = Stores(settings, mongo_url)
        version = await stores.schema.check()
        if not dry_run:
            await stores.prepare()
        for step in (step for step in MIGRATIONS if step.version > version):
            print(
                f"{step.version}: {step.what}; documents to change: {await stores.schema.outdated(step)}",
                flush=True,
            )
            changed = 0
            while not dry_run and (count := await stores.schema.change_some(step)):
                changed += count
                print(f"changed {changed}", flush=True)
            if not dry_run:
                await stores.schema.reached(step.version)
        await stores.mongo.close()
    print(f"the database has the schema {version if dry_run else VERSION}; the current one is {VERSION}")
    return 0


async def rotate_keys(settings: Settings) -> int:
    """Sign access tokens with the next key from now on."""
    async with services(settings, borrow=True) as (mongo_url, _):
        stores = Stores(settings, mongo_url)
        await stores.prepare()
        life = timedelta(seconds=settings.tokens.access_token_seconds) + LEEWAY
        ring = KeyRing.under(root(settings), stores.signing_keys, token_life=life, clock=utc_now)
        key_id = await ring.rotate()
        await stores.mongo.close()
    print(f"signing with {key_id}")
    return 0


async def reseal(settings: Settings) -> int:
    """Seal anew under the root secret what is sealed under the second one, while nodes run; print how much."""
    from auth.factors.totp import factor_seal, seal_context

    secrets = root(settings)
    async with services(settings, borrow=True) as (mongo_url, _):
        stores = Stores(settings, mongo_url)
        await stores.schema.check()
        keys = await KeyRing.under(secrets, stores.signing_keys, token_life=LEEWAY, clock=utc_now).reseal()
        seal, last, factors, broken = factor_seal(secrets), "", 0, 0
        while page := await stores.factor_secrets.sealed_after(last):
            for user_id, sealed in page:
                try:
                    renewed = seal.renew(sealed, context=seal_context(user_id))
                except SealBroken:
                    broken += 1
                    continue
                if renewed is not None:
                    factors += await stores.factor_secrets.replace_seal(user_id, sealed=sealed, renewed=renewed)
            last = page[-1][0]
        hooks, lost = await _reseal_webhooks(stores, secrets)
        await stores.mongo.close()
    print(f"sealed anew: {keys} signing keys, {factors} authenticator apps, {hooks} webhooks")
    if broken:
        print(f"sealed under neither secret: {broken} authenticator apps, which no longer work", file=sys.stderr)
    if lost:
        print(f"sealed under neither secret: {lost} webhooks, which no longer work", file=sys.stderr)
    return int(broken + lost > 0)


async def _reseal_webhooks(stores: Stores, secrets: RootSecret) -> tuple[int, int]:
    """Seal the secrets of webhooks anew; how many webhooks were, and how many could not be opened."""
    from auth.backends.webhook_requests import seal_context, webhook_seal

    seal, renewed, broken = webhook_seal(secrets), 0, 0
    for webhook in await stores.webhooks.all():
        context, sealed = seal_context(webhook.webhook_id), webhook.sealed_secrets
        try:
            anew = [seal.renew(each, context=context) or each for each in sealed]
        except SealBroken:
            broken += 1
            continue
        if tuple(anew) != sealed:
            renewed += await stores.webhooks.replace_secrets(webhook.webhook_id, sealed, anew)
    return renewed, broken
