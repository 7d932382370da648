"""The form of typed codes, checked before an answer counts as a try. Pure.

A code that no user can have is a slip, not a guess: refusing it without counting tells an attacker nothing.
"""

from auth.core.errors import FieldError, InvalidRequest
from auth.core.models import FactorAnswer
from auth.factors import recovery_codes, totp

_FORMS = {
    totp.METHOD: (totp.is_code, f"The code has {totp.DIGITS} digits."),
    recovery_codes.METHOD: (
        recovery_codes.is_code,
        f"A recovery code has {recovery_codes.GROUPS} groups of {recovery_codes.GROUP_LENGTH} letters and digits.",
    ),
}


def require_code_form(answer: FactorAnswer) -> None:
    """Raise `InvalidRequest` if the answer's method takes a code and this one has another form."""
    is_code, rule = _FORMS.get(answer.method, (None, ""))
    if is_code is not None and (answer.code is None or not is_code(answer.code)):
        raise InvalidRequest(errors=[FieldError("code", rule)])
