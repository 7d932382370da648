"""The actor of a revocation in a document: of a session (`revokedBy`), or of an account's pending revocation."""

from collections.abc import Mapping
from typing import Any

from auth.core.models import Actor
from auth.stores.mongo import Document


def actor_document(actor: Actor) -> Document:
    """The document that `actor_of` reads."""
    return {"kind": actor.kind, "sessionId": actor.session_id, "act": actor.act, "message": actor.message}


def actor_of(document: Mapping[str, Any]) -> Actor:
    """The actor in a document; those written before version 0.3 have neither `act` nor `message`."""
    return Actor(document["kind"], document["sessionId"], document.get("act"), document.get("message"))
