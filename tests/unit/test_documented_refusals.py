"""What an endpoint's operations raise is what its documentation lists.

The operations say what they raise in their docstrings; an endpoint must list all that those it calls do.
"""

import ast
import inspect
import re
import textwrap
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from support.route_table import ENDPOINTS, ROUTES

from auth.core import errors
from auth.core.errors import AuthError, SessionLimitReached
from auth.http.pages import openapi
from auth.http.routes.login_answer import LOGIN_REFUSALS
from auth.http.routing import Endpoint, endpoints_of
from auth.http.schemas.common import LoginAnswer
from auth.login.admission import Admission
from auth.login.providers.links import LinkedIdentities
from auth.login.providers.login import ProviderLogin

ROWS = [(type(routes), row) for routes in ROUTES for row, _ in endpoints_of(routes)]


def said_to_raise(operation: Any) -> set[type[AuthError]]:
    """The refusals that a docstring names after `Raises`."""
    text = operation.__doc__ or ""
    found: set[type[AuthError]] = set()
    for sentences in re.findall(r"Raises\b.*", " ".join(text.split())):
        for name in re.findall(r"`(\w+)`", sentences):
            error = getattr(errors, name, None)
            if isinstance(error, type) and issubclass(error, AuthError):
                found.add(error)
    return found


def source_of(routes: type, name: str) -> ast.Module:
    return ast.parse(textwrap.dedent(inspect.getsource(getattr(routes, name))))


def passed_over_by(routes: type, name: str) -> set[str]:
    """The codes of refusals that an endpoint catches and makes nothing of."""
    handlers = [node for node in ast.walk(source_of(routes, name)) if isinstance(node, ast.ExceptHandler)]
    names = {
        found.id
        for handler in handlers
        if handler.type is not None and isinstance(handler.body[0], ast.Pass)
        for found in ast.walk(handler.type)
        if isinstance(found, ast.Name)
    }
    return {getattr(errors, each).code for each in names}


def called_by(routes: type, name: str) -> Iterator[Any]:
    """The operations' methods that an endpoint calls: `self._login.login(…)`, by the types of `__init__`."""
    types = typing.get_type_hints(routes.__init__)  # it is the class's own
    for node in ast.walk(source_of(routes, name)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
            owner = types.get(node.value.attr.removeprefix("_"))
            method = getattr(owner, node.attr, None)
            if inspect.isfunction(method):
                yield method


def listed(row: Endpoint) -> set[str]:
    """Every code that the document lists for an endpoint."""
    operation = openapi.build([row])["paths"][row.paths[0]][row.method.lower()]
    return {
        code
        for response in operation["responses"].values()
        for code in response["content"]["application/json"].get("examples", {})
    }


@pytest.mark.parametrize(("routes", "row"), ROWS, ids=lambda each: getattr(each, "name", ""))
def test_an_endpoint_lists_all_that_its_operations_raise(routes: type, row: Endpoint) -> None:
    for operation in called_by(routes, row.name):
        raised = {error.code for error in said_to_raise(operation)}
        assert raised - passed_over_by(routes, row.name) <= listed(row), operation.__qualname__


def test_the_operations_of_endpoints_are_found() -> None:
    found = [operation for routes, row in ROWS for operation in called_by(routes, row.name)]
    assert len(found) >= len(ENDPOINTS) * 0.8
    assert sum(bool(said_to_raise(operation)) for operation in found) > 20


@pytest.mark.parametrize("operation", [Admission.admit, Admission.finish])
def test_whatever_ends_a_login_is_listed_for_every_way_in(operation: Any) -> None:
    everywhere = {error.code for error in LOGIN_REFUSALS}
    assert SessionLimitReached in LOGIN_REFUSALS
    login_methods = [row for row in ENDPOINTS if LoginAnswer in row.answers]
    assert len(login_methods) >= 4
    for row in login_methods:
        assert everywhere <= listed(row), row.path
    of_its_own: set[type[errors.AuthError]] = {
        errors.RateLimited,
        errors.Unavailable,
        errors.InvalidToken,
        errors.InvalidCode,
        errors.InvalidRequest,
    }
    assert said_to_raise(operation) - of_its_own <= set(LOGIN_REFUSALS)


@pytest.mark.parametrize("operation", [ProviderLogin.log_in, LinkedIdentities.link])
def test_whatever_ends_a_visit_to_a_provider_is_among_the_codes_of_its_redirect(operation: Any) -> None:
    raised = said_to_raise(operation)
    assert raised
    assert raised <= set(openapi.VISIT_REFUSALS)
    told = openapi.OUTSIDE["/api/auth/oauth/{provider}/callback"]["get"]["responses"]["303"]["description"]
    assert all(f"`{error.code}`" in told for error in raised)
