"""Password hashes from the documentation and the tests of the systems that made them."""

import base64

import pytest
from werkzeug.security import generate_password_hash

from auth.core.errors import InvalidRequest
from auth.crypto.foreign_hashes import MAX_BCRYPT_COST, UnusableHash, read_foreign_hash
from auth.crypto.password_hashes import usable_password_hash
from auth.crypto.passwords import Passwords

# github.com/firebase/scrypt, README: the sample password and its project's parameters.
FIREBASE = (
    "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,"
    "sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==$"
    "42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ=="
)
SUPABASE = (
    "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,"
    "sk=ou9tdYTGyYm8kuR6Dt0Bp0kDuAYoXrK16mbZO4yGwAn3oLspjnN0/c41v8xZnO1n14J3MjKj1b2g6AUCAlFwMw==$"
    "C0sHCg9ek77hsg==$"
    "zKVTMvnWVw5BBOZNUdnsalx4c4c7y/w7IS5p6Ut2+CfEFFlz37J9huyQfov4iizN8dbjvEJlM5tQaJP84+hfTw=="
)
# RFC 7914, section 12, in PHC form.
RFC_7914_SALT = base64.b64encode(b"SodiumChloride").decode().rstrip("=")
RFC_7914_KEY = base64.b64encode(
    bytes.fromhex(
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
        "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
    )
).decode()
RFC_7914_PBKDF2_SALT = base64.b64encode(b"NaCl").decode().rstrip("=")
RFC_7914_PBKDF2_KEY = base64.b64encode(
    bytes.fromhex(
        "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
        "a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d"
    )
).decode()
PHP = "$2y$12$4Umg0rCJwMswRw/l.SwHvuQV01coP0eWmGzd61QH2RvAOMANUBGC."
ASPNET_DEFAULT = "AQAAAAEAACcQAAAAEAABAgMEBQYHCAkKCwwNDg+yWU7rLgUwPZb1Itsmra7cbxw2EFpwpVFIEtP+JIuUEw=="
DJANGO_SCRYPT = (
    "scrypt$16384$seasalt$8$1$"
    "Qj3+9PPyRjSJIebHnG81TMjsqtaIGxNQG/aEB/NYafTJ7tibgfYz71m0ldQESkXFRkdVCBhhY8mx7rQwite/Pw=="
)

VECTORS = {
    # Openwall's crypt_blowfish 1.3, wrapper.c.
    "bcrypt, 2a": ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    "bcrypt, 2a, longer": ("U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
    # The same file: 72 characters count, what follows does not.
    "bcrypt, 2a, 72 bytes": (
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored",
        "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
    ),
    # PHP manual, password_verify.
    "bcrypt, 2y": ("rasmuslerdorf", PHP),
    "scrypt": ("pleaseletmein", f"$scrypt$ln=14,r=8,p=1${RFC_7914_SALT}${RFC_7914_KEY}"),
    # Passlib's documentation, passlib.hash.scrypt.
    "scrypt, Passlib": (
        "password",
        "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
    ),
    # Django, tests/auth_tests/test_hashers.py.
    "scrypt, Django": ("lètmein", DJANGO_SCRYPT),
    "PBKDF2, Django": (
        "lètmein", "pbkdf2_sha256$600000$seasalt2$OSllgFdJjYQjb0RfMzrx8u0XYl4Fkt+wKpI1yq4lZlo=",
    ),
    "PBKDF2, Django, SHA-1": ("lètmein", "pbkdf2_sha1$1500000$seasalt2$ep4Ou2hnt2mlvMRsIjUln0Z5MYY="),
    "scrypt, Firebase": ("user1password", FIREBASE),
    # Supabase Auth, internal/crypto/password_test.go: the same form.
    "scrypt, Firebase in Supabase": (
        "mytestpassword",
        SUPABASE,
    ),
    # Passlib's documentation, passlib.hash.pbkdf2_sha256.
    "PBKDF2, Passlib": (
        "password", "$pbkdf2-sha256$8000$XAuBMIYQQogxRg$tRRlz8hYn63B9LYiCd6PRo6FMiunY9ozmMMI3srxeRE",
    ),
    # RFC 7914, section 11, in PHC form.
    "PBKDF2": (
        "Password",
        f"$pbkdf2-sha256$i=80000,l=64${RFC_7914_PBKDF2_SALT}${RFC_7914_PBKDF2_KEY}",
    ),
    # ASP.NET Core, src/Identity/test/Identity.Test/PasswordHasherTest.cs.
    "ASP.NET, default": ("my password", ASPNET_DEFAULT),
    "ASP.NET, SHA-1": ("my password", "AQAAAAAAAAD6AAAAEAhftMyfTJylOlZT+eEotFXd1elee8ih5WsjXaR3PA9M"),
    "ASP.NET, SHA-512": ("my password", "AQAAAAIAAAAyAAAAEOMwvh3+FZxqkdMBz2ekgGhwQ4B6pZWND6zgESBuWiHw"),
    "ASP.NET, SHA-256": (
        "my password",
        "AQAAAAEAA9CQAAAAIESkQuj2Du8Y+kbc5lcN/W/3NiAZFEm11P27nrSN5/tId+bR1SwV8CO1Jd72r4C08OLvplNlCDc3oQZ8efcW+jQ=",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VECTORS)
def test_a_hash_of_another_system_matches_its_password_and_no_other(name: str) -> None:
    password, text = VECTORS[name]
    found = read_foreign_hash(text)
    assert found is not None
    assert found.matches(password)
    assert not found.matches(password[1:])
    assert not found.matches("")


@pytest.mark.parametrize("method", ["scrypt:16384:8:1", "pbkdf2:sha256:10000", "pbkdf2:sha1:10000"])
def test_werkzeugs_own_hashes_match(method: str) -> None:
    text = generate_password_hash("lètmein", method=method)
    found = read_foreign_hash(usable_password_hash(text))
    assert found is not None
    assert found.matches("lètmein")
    assert not found.matches("letmein")


@pytest.mark.parametrize(
    "scheme", ["{bcrypt}", "{BCRYPT}", "{CRYPT}", "{BLF-CRYPT}", "{bcrypt@SpringSecurity_v5_8}"]
)
def test_the_name_of_a_scheme_in_braces_is_no_part_of_a_hash(scheme: str) -> None:
    assert usable_password_hash(scheme + PHP) == PHP


@pytest.mark.parametrize(
    "text", ["{bcrypt}", "{bcrypt}{bcrypt}" + PHP, "{SSHA}" + "A" * 40, "{}" + PHP, "bcrypt}" + PHP]
)
def test_what_has_only_the_name_of_a_scheme_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        usable_password_hash(text)


def test_djangos_names_of_the_algorithm_before_a_hash_are_known() -> None:
    assert read_foreign_hash("bcrypt$" + PHP) is not None
    argon2 = "$argon2id$v=19$m=102400,t=2,p=8$c29tZXNhbHRzb21l$" + "A" * 43
    assert usable_password_hash("argon2" + argon2) == argon2
    # SHA-256 in hexadecimal, then bcrypt (django.contrib.auth.hashers.BCryptSHA256PasswordHasher).
    import bcrypt

    digest = b"5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
    found = read_foreign_hash("bcrypt_sha256$" + bcrypt.hashpw(digest, bcrypt.gensalt(4)).decode())
    assert found is not None
    assert found.matches("password")


@pytest.mark.parametrize(
    "text",
    [
        f"$2b${MAX_BCRYPT_COST + 1}$" + "a" * 53, "$2b$31$" + "a" * 53, "$2b$99$" + "a" * 53, "$2b$00$" + "a" * 53,
        "$scrypt$ln=63,r=8,p=1$c2FsdHNhbHQ$" + "a" * 43, "$scrypt$ln=20,r=8,p=1$c2FsdHNhbHQ$" + "a" * 43,
        "$scrypt$ln=14,r=999999999,p=1$c2FsdHNhbHQ$" + "a" * 43, "$scrypt$ln=14,r=8,p=999$c2FsdHNhbHQ$" + "a" * 43,
        "$scrypt$ln=14,r=8,p=1$!$" + "a" * 43, "$scrypt$ln=14,r=8,p=1$c2FsdA$YQ",
        # Minutes of PBKDF2; an N that scrypt does not have for this r.
        "$scrypt$ln=1,r=1048576,p=1$c2FsdHNhbHQ$" + "a" * 43, "$scrypt$ln=1,r=1,p=1048576$c2FsdHNhbHQ$" + "a" * 43,
        "$scrypt$ln=10,r=8,p=129$c2FsdHNhbHQ$" + "a" * 43, "$scrypt$ln=16,r=1,p=2$c2FsdHNhbHQ$" + "a" * 43,
        "scrypt:16383:8:1$salt$" + "a" * 64, "scrypt:999999999:8:1$salt$" + "a" * 64, "scrypt:16384:8:1$salt$abc",
        "pbkdf2_sha256$999999999$salt$" + "a" * 43 + "=", "pbkdf2:sha256:2000001$salt$" + "a" * 64,
        "$pbkdf2-sha1$1999999$c2FsdHNhbHQ$" + "a" * 86,  # several blocks
        "AQAAAAEA////AAAAEAABAgMEBQYHCAkKCwwNDg+yWU7rLgUwPZb1Itsmra7cbxw2EFpwpVFIEtP+JIuUEw==",
        "AQAAAAcAACcQAAAAEAABAgMEBQYHCAkKCwwNDg+yWU7rLgUwPZb1Itsmra7cbxw2EFpwpVFIEtP+JIuUEw==",
        "AQAAAAEAACcQ/////wABAgME", "AQAAAAEAACcQ", "AQAAAA!",
        FIREBASE.replace("n=14", "n=40"), FIREBASE.replace("sk=jxspr8Ki", "sk=jxspr8K"), FIREBASE[:-20],
    ],
)  # fmt: skip
async def test_a_hash_that_is_damaged_or_costs_too_much_is_refused_unread_and_matches_nothing(text: str) -> None:
    with pytest.raises(UnusableHash):
        read_foreign_hash(text)
    with pytest.raises(InvalidRequest) as refusal:
        usable_password_hash(text)
    assert all(text not in error.message for error in refusal.value.errors)
    passwords = Passwords(workers=1)
    assert not (await passwords.verify(password="password", password_hash=text)).matches
    passwords.close()


ARGON2 = "$argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHQ$" + "A" * 43


@pytest.mark.parametrize(
    "text",
    [ARGON2.replace("m=", "m=0"), ARGON2.replace("t=3", "t=03"), ARGON2.replace("p=1", "p=01"), ARGON2[:-2],
     ARGON2[:-1] + "B", ARGON2.replace("c2FsdHNhbHQ", "c2FsdHNhbHR"), ARGON2.replace("c2FsdHNhbHQ", "A" * 13)],
)  # fmt: skip
def test_a_hash_of_argon2_that_no_login_could_verify_is_refused(text: str) -> None:
    assert usable_password_hash(ARGON2) == ARGON2
    with pytest.raises(InvalidRequest):
        usable_password_hash(text)


@pytest.mark.parametrize(
    "text", ["", "password", "$1$salt$hash", "$6$rounds=5000$salt$hash", "5f4dcc3b5aa765d61d8327deb882cf99",
             "$2a$09$" + "a" * 53,
             "pbkdf2:sha256:9999$salt$" + "a" * 64, "$scrypt$ln=13,r=8,p=1$c2FsdHNhbHQ$" + "a" * 43, "!" * 40],
)  # fmt: skip
def test_a_hash_that_is_unknown_or_too_easy_to_guess_is_not_taken_over(text: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        usable_password_hash(text)
    assert [error.field for error in refusal.value.errors] == ["passwordHash"]


async def test_a_hash_of_another_system_is_replaced_and_costs_as_much_as_ours() -> None:
    passwords = Passwords(workers=1)
    verified: list[str] = []
    matches = passwords._matches

    def counted(password_hash: str, encoded: bytes) -> bool:
        verified.append(password_hash)
        return matches(password_hash, encoded)

    passwords._matches = counted  # type: ignore[method-assign] # counts the decoys
    right = await passwords.verify(password="my password", password_hash=ASPNET_DEFAULT)
    assert (right.matches, right.needs_rehash) == (True, True)
    wrong = await passwords.verify(password="my passwords", password_hash=ASPNET_DEFAULT)
    assert (wrong.matches, wrong.needs_rehash) == (False, False)
    # One to measure ours, and one that makes up for 10,000 iterations, which are far cheaper, at each try.
    assert len(verified) == 3
    passwords.close()
