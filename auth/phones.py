"""What is done with phones, made together: both operations read numbers by one set of rules, and share codes."""

from collections.abc import Collection

from auth.admission import Admission
from auth.audit import AuditLog
from auth.clock import Clock
from auth.metrics import Metrics
from auth.own_phone import OwnPhone, PhoneNotice
from auth.phone_codes import CodeTexter, PhoneCodes
from auth.phone_login import PhoneLogin
from auth.phone_numbers import PhoneRules
from auth.rate_limits import RateLimits
from auth.step_up import StepUp
from auth.stores.challenges import Challenges
from auth.stores.one_time_tokens import OneTimeTokens
from auth.stores.users import Users
from auth.ways_in import WaysIn


class Phones:
    """Logging in by phone, and one's own number. `key` is what codes are digested with."""

    def __init__(
        self,
        *,
        countries: Collection[str],
        users: Users,
        challenges: Challenges,
        tokens: OneTimeTokens,
        texter: CodeTexter,
        notice: PhoneNotice,
        admission: Admission,
        step_up: StepUp,
        ways_in: WaysIn,
        limits: RateLimits,
        audit: AuditLog,
        metrics: Metrics,
        key: bytes,
        clock: Clock,
    ) -> None:
        rules = PhoneRules(countries)
        codes = PhoneCodes(
            challenges=challenges,
            tokens=tokens,
            texter=texter,
            limits=limits,
            audit=audit,
            key=key,
            clock=clock,
        )
        self.login = PhoneLogin(
            rules=rules,
            codes=codes,
            users=users,
            admission=admission,
            limits=limits,
            audit=audit,
            metrics=metrics,
            clock=clock,
        )
        self.own = OwnPhone(
            rules=rules,
            codes=codes,
            users=users,
            ways_in=ways_in,
            step_up=step_up,
            notice=notice,
            limits=limits,
            audit=audit,
            clock=clock,
        )
