"""A corpus of invalid access tokens, for testing every place that verifies tokens.

A `Genuine` token is altered in all ways known from attacks on JWT libraries, and in some that require our signing
key, so that a mistake in minting cannot become a hole in verification.
"""

import base64
import functools
import hmac
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from auth.crypto.signing_keys import KeyRing, OpenedKey

# RFC 8032, section 5.1: the order of the base point.
L = 2**252 + 27742317777372353535851937790883648493


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(value: Any) -> bytes:
    """Encode bytes unchanged, and other values as JSON with NaN and Infinity allowed."""
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


@functools.cache
def stranger() -> Ed25519PrivateKey:
    """A key pair that does not belong to the server."""
    return Ed25519PrivateKey.generate()


@functools.cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@functools.cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def certificate() -> str:
    """Return the foreign key's certificate in the format of `x5c`."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vigil")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(stranger().public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .sign(stranger(), None)
    )
    return base64.b64encode(made.public_bytes(ser.Encoding.DER)).decode()


@dataclass(frozen=True)
class Genuine:
    """A valid access token and the key that signed it, for forgeries that need it."""

    token: str
    key: OpenedKey
    next_key_id: str

    @property
    def header(self) -> dict[str, Any]:
        return dict(orjson.loads(unb64(self.token.split(".")[0])))

    @property
    def claims(self) -> dict[str, Any]:
        return dict(orjson.loads(unb64(self.token.split(".")[1])))

    @property
    def segments(self) -> list[str]:
        return self.token.split(".")

    @property
    def signature(self) -> bytes:
        return unb64(self.segments[2])

    def signed(
        self,
        *,
        header: Any = None,
        claims: Any = None,
        by: Ed25519PrivateKey | None = None,
        signature: bytes | None = None,
    ) -> str:
        """Build a token with this header and these claims, signed by our key or another."""
        first = self.segments[0] if header is None else b64(encoded(header))
        second = self.segments[1] if claims is None else b64(encoded(claims))
        made = (by or self.key.private).sign(f"{first}.{second}".encode()) if signature is None else signature
        return f"{first}.{second}.{b64(made)}"

    def with_header(self, *, by: Ed25519PrivateKey | None = None, **changes: Any) -> str:
        return self.signed(header=self.header | changes, by=by)

    def with_claims(self, *without: str, by: Ed25519PrivateKey | None = None, **changes: Any) -> str:
        claims = {name: value for name, value in (self.claims | changes).items() if name not in without}
        return self.signed(claims=claims, by=by)

    def with_parts(
        self, header: str | None = None, claims: str | None = None, signature: str | None = None
    ) -> str:
        """Replace whole segments of the token, keeping the rest and its signature."""
        parts = (None, claims, signature)
        return ".".join(old if new is None else new for old, new in zip(self.segments, parts, strict=True))


def genuine_of(token: str, ring: KeyRing) -> Genuine:
    """Build a `Genuine` from `token`, which was signed by the current key of `ring`."""
    key_ids = [jwk["kid"] for jwk in ring.jwks()["keys"] if jwk["kid"] != ring.current.key_id]
    return Genuine(token, ring.current, key_ids[-1])


@dataclass(frozen=True)
class Forgery:
    """One kind of forged token."""

    name: str
    make: Callable[[Genuine], str]


FORGERIES: list[Forgery] = []
# What a token can be spelled with; other characters, and length, may be read otherwise on the way to the check.
PLAIN = re.compile(r"[A-Za-z0-9._=-]{1,4000}")


def forge(name: str, make: Callable[[Genuine], str]) -> None:
    FORGERIES.append(Forgery(name, make))


def _no_algorithm() -> None:
    spellings = [
        "none",
        "None",
        "NONE",
        "nOnE",
        "none ",
        " none",
        "\tnone",
        "none\0",
        "NoNe\n",
        "ｎｏｎｅ",
        "n\u043ene",
    ]
    values: list[Any] = [*spellings, "", None, 0, False, True, [], ["EdDSA"], ["none"], {}, {"alg": "EdDSA"}]
    for alg in values:
        header = {"alg": alg, "typ": "at+jwt"}
        for signature_name, signature in (("no", b""), ("the old", None), ("a made-up", b"x" * 64)):
            forge(
                f"alg {alg!r} with {signature_name} signature",
                lambda g, header=header, signature=signature: g.signed(
                    header=header | {"kid": g.key.key_id},
                    signature=g.signature if signature is None else signature,
                ),
            )
    forge("alg missing", lambda g: g.signed(header={"kid": g.key.key_id, "typ": "at+jwt"}, signature=b""))
    forge("alg none in the very header order", lambda g: g.with_header(alg="none")[:-86])
    for alg in ("EDDSA", "eddsa", "Ed25519", "Ed448", "EdDSA ", "ES256K", "XEdDSA", "dir", "A128KW"):
        forge(f"our key under the name {alg!r}", lambda g, alg=alg: g.with_header(alg=alg))


def _public_key_as_secret() -> None:
    def forms(g: Genuine) -> dict[str, bytes]:
        raw = g.key.public
        public = Ed25519PublicKey.from_public_bytes(raw)
        pem = public.public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)
        return {
            "raw": raw,
            "PEM": pem,
            "PEM without its last newline": pem.rstrip(),
            "DER": public.public_bytes(ser.Encoding.DER, ser.PublicFormat.SubjectPublicKeyInfo),
            "OpenSSH": public.public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH),
            "JWK": orjson.dumps(g.key.jwk),
            "JWK with spaces": json.dumps(g.key.jwk).encode(),
            "JWKS": orjson.dumps({"keys": [g.key.jwk]}),
            "x in base64url": g.key.jwk["x"].encode(),
            "x in hexadecimal": raw.hex().encode(),
            "key id": g.key.key_id.encode(),
            "empty": b"",
            "zero": bytes(32),
        }

    def signed(g: Genuine, form: str, alg: str) -> str:
        digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[alg]
        first = b64(orjson.dumps(g.header | {"alg": alg}))
        second = g.segments[1]
        return f"{first}.{second}.{b64(hmac.digest(forms(g)[form], f'{first}.{second}'.encode(), digest))}"

    names = (
        "raw", "PEM", "PEM without its last newline", "DER", "OpenSSH", "JWK", "JWK with spaces", "JWKS",
        "x in base64url", "x in hexadecimal", "key id", "empty", "zero",
    )  # fmt: skip
    for form in names:
        forge(f"HS256 keyed with the public key, {form}", lambda g, form=form: signed(g, form, "HS256"))
    for alg in ("HS384", "HS512"):
        forge(f"{alg} keyed with the public key, PEM", lambda g, alg=alg: signed(g, "PEM", alg))


def _other_algorithms() -> None:
    def signed(g: Genuine, alg: str, key: Any) -> str:
        return jwt.encode(g.claims, key, algorithm=alg, headers=g.header | {"alg": alg})

    for alg in ("RS256", "RS512", "PS256"):
        forge(f"{alg} under our key id", lambda g, alg=alg: signed(g, alg, rsa_key()))
    forge("ES256 under our key id", lambda g: signed(g, "ES256", ec_key()))
    forge("EdDSA by a stranger under our key id", lambda g: g.signed(by=stranger()))
    forge("RSA signature under an EdDSA header", lambda g: g.with_parts(signature=b64(_rsa_signature(g))))


def _rsa_signature(g: Genuine) -> bytes:
    return rsa_key().sign(".".join(g.segments[:2]).encode(), padding.PKCS1v15(), hashes.SHA256())


def _keys_in_the_header() -> None:
    def jwk() -> dict[str, str]:
        x = b64(stranger().public_key().public_bytes_raw())
        return {"kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA", "kid": "mine"}

    url = "http://127.0.0.1:9/keys"
    members: dict[str, Callable[[], dict[str, Any]]] = {
        "jwk": lambda: {"jwk": jwk()},
        "jwk, its own kid": lambda: {"jwk": jwk(), "kid": "mine"},
        "jwk with a private part": lambda: {"jwk": jwk() | {"d": b64(stranger().private_bytes_raw())}},
        "jku": lambda: {"jku": url},
        "jku, its own kid": lambda: {"jku": url, "kid": "mine"},
        "jku to a file": lambda: {"jku": "file:///etc/passwd"},
        "x5u": lambda: {"x5u": url},
        "x5c": lambda: {"x5c": [certificate()]},
        "x5t": lambda: {"x5t": b64(bytes(20))},
        "x5t#S256": lambda: {"x5t#S256": b64(bytes(32))},
    }
    for name, member in members.items():
        forge(f"{name} of a stranger", lambda g, member=member: g.with_header(by=stranger(), **member()))
        if "kid" not in name:
            forge(f"{name} beside our own signature", lambda g, member=member: g.with_header(**member()))


def _key_ids() -> None:
    strange: dict[str, Any] = {
        "path traversal": "../../../../../../dev/null",
        "absolute path": "/proc/self/environ",
        "SQL": "x' UNION SELECT 'secret' -- ",
        "shell": "$(touch /tmp/pwned)",
        "100 kB": "k" * 100_000,
        "3 kB": "k" * 2000,
        "65 characters": "k" * 65,
        "NUL": "1-abc\0",
        "lone surrogate": "\ud800",
        "newline": "1-abc\n{}",
        "empty": "",
        "number": 1,
        "float": 1.5,
        "true": True,
        "null": None,
        "list": ["1-abc"],
        "object": {"$ne": None},
        "operator": "$ne",
        "prototype": "__proto__",
        "dunder": "__class__",
        "wildcard": "*",
    }
    for name, key_id in strange.items():
        forge(f"kid: {name}", lambda g, key_id=key_id: g.with_header(kid=key_id))
        forge(f"kid: {name}, by a stranger", lambda g, key_id=key_id: g.with_header(by=stranger(), kid=key_id))
    forge("kid missing", lambda g: g.signed(header={"alg": "EdDSA", "typ": "at+jwt"}))
    forge("kid in capitals", lambda g: g.with_header(kid=g.key.key_id.swapcase()))
    forge("kid with a space", lambda g: g.with_header(kid=g.key.key_id + " "))
    forge("kid of the next key", lambda g: g.with_header(kid=g.next_key_id))


def _header_members() -> None:
    changes: dict[str, dict[str, Any]] = {
        "typ JWT": {"typ": "JWT"},
        "typ in capitals": {"typ": "AT+JWT"},
        "typ in full": {"typ": "application/at+jwt"},
        "typ of an id token": {"typ": "id+jwt"},
        "typ of a logout token": {"typ": "logout+jwt"},
        "typ null": {"typ": None},
        "typ a list": {"typ": ["at+jwt"]},
        "cty JWT": {"cty": "JWT"},
        "crit exp": {"crit": ["exp"]},
        "crit of something unknown": {"crit": ["http://example.org/UNDEFINED"]},
        "crit empty": {"crit": []},
        "crit naming itself": {"crit": ["crit"]},
        "crit a string": {"crit": "exp"},
        "crit null": {"crit": None},
        "b64 false": {"b64": False},
        "b64 false and critical": {"b64": False, "crit": ["b64"]},
        "b64 true": {"b64": True},
        "b64 a number": {"b64": 0},
        "zip": {"zip": "DEF"},
        "enc": {"enc": "A128GCM"},
        "claims in the header": {"iss": "x", "sub": "x", "exp": 2**33},
        "one member too many": {"x": 1},
        "prototype": {"__proto__": {"alg": "none"}},
    }
    for name, change in changes.items():
        forge(f"our key, {name}", lambda g, change=change: g.with_header(**change))
    forge("our key, typ missing", lambda g: g.signed(header={"alg": "EdDSA", "kid": g.key.key_id}))
    texts: dict[str, Callable[[Genuine], str]] = {
        "in another order": lambda g: json.dumps(dict(reversed(g.header.items())), separators=(",", ":")),
        "with spaces": lambda g: json.dumps(g.header),
        "with a line break": lambda g: json.dumps(g.header, separators=(",", ":")) + "\n",
        "with escapes": lambda g: json.dumps(g.header, separators=(",", ":")).replace("alg", "\\u0061lg"),
        "alg twice": lambda g: json.dumps(g.header, separators=(",", ":")).replace("{", '{"alg":"none",', 1),
        "kid twice": lambda g: json.dumps(g.header, separators=(",", ":")).replace("}", ',"kid":"x"}'),
        "deep": lambda g: json.dumps(g.header)[:-1] + ',"x":' + "[" * 1200 + "]" * 1200 + "}",
        "deeper than any parser": lambda g: "[" * 2500,
        "a list": lambda g: "[]",
        "a string": lambda g: '"EdDSA"',
        "a number": lambda g: "1",
        "null": lambda g: "null",
        "no JSON": lambda g: "alg=EdDSA",
        "cut JSON": lambda g: json.dumps(g.header)[:-1],
        "two values": lambda g: json.dumps(g.header) * 2,
        "empty": lambda g: "",
        "with a byte order mark": lambda g: "\ufeff" + json.dumps(g.header, separators=(",", ":")),
    }
    for name, text in texts.items():
        forge(f"our key, header {name}", lambda g, text=text: g.signed(header=text(g).encode()))
    forge("our key, header not UTF-8", lambda g: g.signed(header=b'{"alg":"EdDSA","kid":"\xff\xfe"}'))
    forge("our key, header in UTF-16", lambda g: g.signed(header=json.dumps(g.header).encode("utf-16")))
    forge("our key, token in token", lambda g: g.signed(header=g.header | {"cty": "JWT"}, claims=g.token.encode()))


def _claims() -> None:
    odd_times: dict[str, Any] = {
        "a string": "1900000000",
        "words": "never",
        "a float": 1900000000.5,
        "a whole float": 1900000000.0,
        "negative": -1,
        "milliseconds": 1_900_000_000_000,
        "beyond the year 9999": 253_402_300_800,
        "2**63": 2**63,
        "2**64": 2**64,
        "1e400": b"1e400",
        "a thousand digits": b"9" * 1000,
        "NaN": b"NaN",
        "Infinity": b"Infinity",
        "-Infinity": b"-Infinity",
        "-0.0": b"-0.0",
        "true": True,
        "false": False,
        "null": None,
        "a list": [1900000000],
        "an object": {"$gt": 0},
    }
    for name in ("exp", "iat", "auth_time"):
        for kind, value in odd_times.items():
            forge(f"{name} {kind}", lambda g, name=name, value=value: _with_raw_claim(g, name, value))
    forge("iat in an hour", lambda g: g.with_claims(iat=g.claims["iat"] + 3600, exp=g.claims["exp"] + 3600))
    odd: dict[str, list[Any]] = {
        "gen": ["0", -1, 0.0, 1.5, True, None, [], {}, 2**32, 2**64, b"NaN"],
        "sub": [None, 1, True, [], ["x"], {"$ne": None}],
        "sid": [None, 1, [], {"$ne": None}],
        "jti": [None, 1, []],
        "roles": [None, "admin", {"admin": True}, ["user", 1], [None], [["admin"]], 1],
        "amr": [None, "pwd", {}, [1], True],
        "iss": [None, "", "https://evil.example", "HTTPS://ID.EXAMPLE.ORG", 1, [], {"$ne": 1}],
        "aud": [None, "", "other", "VIGIL", ["vigil"], ["vigil", "other"], [], {}, 1, {"$ne": 1}],
    }
    for name, values in odd.items():
        for value in values:
            shown = value.decode() if isinstance(value, bytes) else repr(value)
            forge(f"{name} {shown}", lambda g, name=name, value=value: _with_raw_claim(g, name, value))
    forge("iss with a slash", lambda g: g.with_claims(iss=g.claims["iss"] + "/"))
    for name in ("exp", "iat", "auth_time", *odd):
        forge(f"{name} missing", lambda g, name=name: g.with_claims(name))
    forge("iss and aud exchanged", lambda g: g.with_claims(iss=g.claims["aud"], aud=g.claims["iss"]))


def _with_raw_claim(g: Genuine, name: str, value: Any) -> str:
    """Build a token whose claim has a raw, possibly invalid JSON value, signed by our key."""
    if not isinstance(value, bytes):
        return g.with_claims(**{name: value})
    others = json.dumps({key: old for key, old in g.claims.items() if key != name}, separators=(",", ":"))
    return g.signed(claims=others[:-1].encode() + f',"{name}":'.encode() + value + b"}")


def _payloads() -> None:
    texts: dict[str, Callable[[Genuine], bytes]] = {
        "empty": lambda g: b"",
        "empty object": lambda g: b"{}",
        "list": lambda g: encoded([g.claims]),
        "string": lambda g: encoded(json.dumps(g.claims)),
        "number": lambda g: b"1",
        "null": lambda g: b"null",
        "NaN": lambda g: b"NaN",
        "no JSON": lambda g: b"sub=1",
        "cut": lambda g: encoded(g.claims)[:-1],
        "twice": lambda g: encoded(g.claims) * 2,
        "not UTF-8": lambda g: encoded(g.claims)[:-1] + b',"x":"\xff"}',
        "deep": lambda g: encoded(g.claims)[:-1] + b',"x":' + b"[" * 1200 + b"]" * 1200 + b"}",
        "deep and cut": lambda g: b'{"x":' + b"[" * 2500,
        "exp twice, the last a string": lambda g: encoded(g.claims)[:-1] + b',"exp":"never"}',
        "aud twice, the last another": lambda g: encoded(g.claims)[:-1] + b',"aud":"other"}',
        "sub twice, the last null": lambda g: encoded(g.claims)[:-1] + b',"sub":null}',
    }
    for name, text in texts.items():
        forge(f"our key, payload {name}", lambda g, text=text: g.signed(claims=text(g)))
    forge(
        "claims twice, by a stranger",
        lambda g: g.signed(claims=encoded(g.claims)[:-1] + b',"sub":"victim"}', by=stranger()),
    )
    for name, change in {
        "another user": {"sub": "victim"},
        "another session": {"sid": "0" * 32},
        "administrator": {"roles": ["admin"]},
        "a longer life": {"exp": 2**33},
    }.items():
        forge(
            f"{name} under the old signature",
            lambda g, change=change: g.with_parts(claims=b64(encoded(g.claims | change))),
        )


def _signatures() -> None:
    def malleable(g: Genuine, times: int) -> bytes:
        r, s = g.signature[:32], int.from_bytes(g.signature[32:], "little")
        return r + (s + times * L).to_bytes(32, "little")

    identity = b"\x01" + bytes(31)
    signatures: dict[str, Callable[[Genuine], bytes]] = {
        "S + L": lambda g: malleable(g, 1),
        "S + 7 L": lambda g: malleable(g, 7),
        "-S": lambda g: g.signature[:32] + (L - int.from_bytes(g.signature[32:], "little")).to_bytes(32, "little"),
        "all zero": lambda g: bytes(64),
        "all ones": lambda g: b"\xff" * 64,
        "R the identity, S zero": lambda g: identity + bytes(32),
        "R zero": lambda g: bytes(32) + g.signature[32:],
        "S zero": lambda g: g.signature[:32] + bytes(32),
        "S equal to L": lambda g: g.signature[:32] + L.to_bytes(32, "little"),
        "halves exchanged": lambda g: g.signature[32:] + g.signature[:32],
        "bytes reversed": lambda g: g.signature[::-1],
        "cut": lambda g: g.signature[:63],
        "half": lambda g: g.signature[:32],
        "one byte": lambda g: b"\0",
        "empty": lambda g: b"",
        "with a byte more": lambda g: g.signature + b"\0",
        "twice": lambda g: g.signature * 2,
        "of the payload alone": lambda g: g.key.private.sign(g.segments[1].encode()),
        "of the decoded payload": lambda g: g.key.private.sign(unb64(g.segments[1])),
        "of nothing": lambda g: g.key.private.sign(b""),
        "our public key": lambda g: g.key.public * 2,
        "random": lambda g: secrets.token_bytes(64),
    }
    for name, make in signatures.items():
        forge(f"signature {name}", lambda g, make=make: g.signed(signature=make(g)))
    for bit in (0, 7, 255, 256, 300, 448, 508, 511):
        forge(
            f"signature with bit {bit} flipped",
            lambda g, bit=bit: g.signed(
                signature=(int.from_bytes(g.signature, "little") ^ 1 << bit).to_bytes(64, "little")
            ),
        )
    forge("signature of another token of ours", lambda g: g.with_parts(signature=g.with_claims(x=1).split(".")[2]))


def _spellings() -> None:
    def spare_bits(g: Genuine) -> str:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        return g.token[:-1] + alphabet[alphabet.index(g.token[-1]) + 1]

    def in_segment(number: int, change: Callable[[str], str]) -> Callable[[Genuine], str]:
        return lambda g: ".".join(
            change(part) if place == number else part for place, part in enumerate(g.segments)
        )

    for number, where in enumerate(("header", "payload", "signature")):
        for name, mark in {
            "space": " ", "line break": "\n", "CR LF": "\r\n", "tab": "\t", "NUL": "\0", "=": "=", "==": "==",
            "!": "!", "!!!!": "!!!!", "%20": "%20", "a zero-width space": "\u200b", "a soft hyphen": "\u00ad",
        }.items():  # fmt: skip
            forge(f"{name} in the {where}", in_segment(number, lambda part, mark=mark: part[:8] + mark + part[8:]))
            forge(f"{name} after the {where}", in_segment(number, lambda part, mark=mark: part + mark))
        forge(
            f"{where} missing", lambda g, number=number: ".".join(g.segments[:number] + g.segments[number + 1 :])
        )
        forge(f"{where} empty", in_segment(number, lambda part: ""))
        forge(f"{where} cut by one character", in_segment(number, lambda part: part[:-1]))
        forge(f"{where} in lower case", in_segment(number, str.lower))
        forge(f"{where} twice", in_segment(number, lambda part: part * 2))
    for name, dot in {
        "one dot leader": "․", "ideographic full stop": "。", "full width": "．", "half width": "｡", "arabic": "۔",
        "middle dot": "·", "comma": ",", "colon": ":", "percent": "%2e", "two": "..", "slash": "/",
    }.items():  # fmt: skip
        forge(f"another dot: {name}", lambda g, dot=dot: g.token.replace(".", dot))
    forge("spare bits in the signature's last character", spare_bits)
    forge("letters that look alike", lambda g: g.token.replace("e", "\u0435"))
    forge("full-width letters", lambda g: g.token.replace("e", "\uff45"))
    forge("a dot before", lambda g: "." + g.token)
    forge("a dot after", lambda g: g.token + ".")
    forge("a segment more", lambda g: g.token + ".e30")
    forge("a segment before", lambda g: "e30." + g.token)
    forge(
        "the shape of a JWE",
        lambda g: ".".join((b64(b'{"alg":"dir","enc":"A128GCM"}'), "", b64(bytes(12)), "e30", b64(bytes(16)))),
    )
    forge("the shape of a JWE, our token inside", lambda g: ".".join([*g.segments, "AAAA", "AAAA"]))
    forge("JSON serialisation", _as_json)
    forge("two tokens", lambda g: f"{g.token},{g.token}")
    forge("two tokens run together", lambda g: g.token + g.token)
    forge("its own scheme before it", lambda g: "Bearer " + g.token)
    forge("in quotation marks", lambda g: f'"{g.token}"')
    forge("in brackets", lambda g: f"<{g.token}>")
    forge("whitespace around", lambda g: f" {g.token} ")
    forge("cut in the middle", lambda g: g.token[: len(g.token) // 2])
    forge("backwards", lambda g: g.token[::-1])
    forge("empty", lambda g: "")
    forge("blank", lambda g: " ")
    for text in (
        ".",
        "..",
        "...",
        "null",
        "undefined",
        "true",
        "0",
        "{}",
        "[object Object]",
        "\0",
        "a.b.c",
        "e30.e30.",
    ):
        forge(f"text {text!r}", lambda g, text=text: text)
    forge("a megabyte of signature", lambda g: g.token + "A" * 1_000_000)
    forge("a megabyte of payload", lambda g: g.signed(claims=g.claims | {"x": "A" * 1_000_000}))
    forge("a megabyte of dots", lambda g: "." * 1_000_000)
    forge("a little too long, signed by our key", lambda g: g.with_claims(x="A" * 4096))
    forge("a refresh token's shape", lambda g: "rt1." + "A" * 91)


def _as_json(g: Genuine) -> str:
    first, second, third = g.segments
    return json.dumps({"protected": first, "payload": second, "signature": third})


for make_some in (
    _no_algorithm, _public_key_as_secret, _other_algorithms, _keys_in_the_header, _key_ids, _header_members,
    _claims, _payloads, _signatures, _spellings,
):  # fmt: skip
    make_some()


def sent_over_a_network(genuine: Genuine) -> list[tuple[str, str]]:
    """Names and texts of the forgeries that are spelled unlike a token, and of every eighth of the others.

    All end in the check that tests/unit/test_tokens.py gives the whole list.
    """
    made = [(forgery.name, forgery.make(genuine)) for forgery in FORGERIES]
    plain = [each for each in made if PLAIN.fullmatch(each[1])]
    return [each for each in made if not PLAIN.fullmatch(each[1])] + plain[::8]
