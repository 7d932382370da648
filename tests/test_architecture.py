"""The rules of docs/architecture.md that a program can check: who may import whom, and what good code here is.

A limit says what the code keeps to today; where a file is excused, the reason stands beside it.
"""

import ast
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MOST_LINES = 450
MOST_FUNCTION_LINES = 60
# They may not grow further.
LONG_FILES = {
    "operations.py": (480, "every operation is made here, in the order in which they need each other"),
}
LONG_FUNCTIONS: dict[str, tuple[int, str]] = {
    "operations.py:Operations.__init__": (
        120,
        "each operation made once, in the order they need each other",
    ),
}

# Everything that is a database's or a broker's own.
MONGO_DRIVERS = {"pymongo", "motor", "bson", "gridfs"}
TRANSPORTS = {"aiohttp", "socketio", "engineio"}
# A private MongoDB and Redis, as child processes.
EMBEDDING = {"embedded", "child_servers"}
PURE = ("auth.models", "auth.errors", "auth.events", "auth.risk", "auth.rotation")
# Redis is no store here but a queue and a counter; these are its owners in `auth`, and who shows the queue's page.
REDIS_OWNERS = {"auth.http.jobs_dashboard", "auth.jobs", "auth.rate_limits", "auth.redis_pipe", "auth.redis_wire"}
OPERATIONS = (
    "auth.account_deletion",
    "auth.account_locks",
    "auth.accounts",
    "auth.administration",
    "auth.admission",
    "auth.alerts",
    "auth.approvals",
    "auth.audit",
    "auth.devices",
    "auth.email_change",
    "auth.entry",
    "auth.jobs",
    "auth.keys",
    "auth.locations",
    "auth.linked_identities",
    "auth.login",
    "auth.own_data",
    "auth.passkeys",
    "auth.password_change",
    "auth.password_reset",
    "auth.oauth.claims",
    "auth.oauth.exchange",
    "auth.oauth.flow",
    "auth.oauth.flows",
    "auth.oauth.github",
    "auth.oauth.id_tokens",
    "auth.oauth.kept",
    "auth.oauth.openid",
    "auth.oauth.provider",
    "auth.oauth.providers",
    "auth.oauth.settings",
    "auth.own_phone",
    "auth.passwords",
    "auth.phone_codes",
    "auth.phone_login",
    "auth.phone_numbers",
    "auth.phones",
    "auth.profile",
    "auth.provider_login",
    "auth.rate_limits",
    "auth.recovery_codes",
    "auth.registration",
    "auth.roles",
    "auth.relying_party",
    "auth.second_factors",
    "auth.session_endings",
    "auth.session_terms",
    "auth.sessions",
    "auth.step_up",
    "auth.sweeps",
    "auth.tokens",
    "auth.totp",
    "auth.two_factor",
    "auth.ways_in",
)


@dataclass(frozen=True)
class Module:
    """One source file, parsed."""

    name: str
    path: Path

    @property
    def file(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def tree(self) -> ast.Module:
        return parsed(self.path)

    @property
    def imports(self) -> set[str]:
        """Every module imported anywhere in the file, functions and type-checking blocks included."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.file}:{node.lineno}: import by the full name"
                base = node.module or ""
                # `from auth.http import x` may name a module as well as something in one.
                found |= {base} | {
                    f"{base}.{alias.name}" for alias in node.names if is_module(f"{base}.{alias.name}")
                }
        return found


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()


def modules(*packages: str) -> list[Module]:
    found = []
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found.append(Module(name, path))
    return found


NAMES = ("server", "node", "operations", "stores", "embedded", "child_servers", "workers")
TOP = [Module(name, ROOT / f"{name}.py") for name in NAMES]
PRODUCT = [*modules("auth", "realtime"), *TOP]
SOURCES = [*PRODUCT, *modules("client-demo")]


def of(package: str) -> list[Module]:
    return [module for module in PRODUCT if module.name == package or module.name.startswith(package + ".")]


def named(*names: str) -> list[Module]:
    found = [module for module in PRODUCT if module.name in names]
    assert len(found) == len(names), "a module was renamed: name it here again"
    return found


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def forbidden(modules: list[Module], packages: set[str]) -> list[str]:
    return [
        f"{module.file} imports {name}" for module in modules for name in module.imports if within(name, packages)
    ]


# Who may import whom ---------------------------------------------------------------------------------------


def test_there_is_something_to_check() -> None:
    assert len(of("auth")) > 40
    assert len(of("realtime")) > 15
    assert "auth.errors" in Module("x", ROOT / "auth/tokens.py").imports


@pytest.mark.parametrize("name", PURE)
def test_the_heart_needs_only_the_standard_library_and_itself(name: str) -> None:
    (module,) = named(name)
    for imported in module.imports:
        assert imported.partition(".")[0] in sys.stdlib_module_names or imported in PURE, imported


def test_operations_know_no_transport_and_no_driver() -> None:
    assert forbidden(named(*OPERATIONS), TRANSPORTS | MONGO_DRIVERS) == []


def test_what_judges_a_provider_asks_nobody_itself() -> None:
    """What goes out goes through one client, with its limits of time and size: auth/http/outgoing.py."""
    asking = {"aiohttp", "httpx", "requests", "urllib3", "urllib.request", "http.client", "socket"}
    others = [module for module in of("auth") if module.name != "auth.http.outgoing"]
    clients = [
        f"{module.file}:{node.lineno}"
        for module in others
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in {"ClientSession", "PyJWKClient"}
    ]
    assert clients == []
    assert forbidden(of("auth.oauth"), asking) == []


def test_only_the_queue_the_limits_and_the_pipe_speak_to_redis_in_auth() -> None:
    others = [module for module in of("auth") if module.name not in REDIS_OWNERS]
    assert forbidden(others, {"redis", "hiredis", "saq"}) == []


def test_only_the_stores_know_mongodbs_driver() -> None:
    others = [module for module in PRODUCT if not module.name.startswith("auth.stores")]
    # The embedded services start a mongod, and must ask it to form a replica set.
    assert forbidden([module for module in others if module.name not in EMBEDDING], MONGO_DRIVERS) == []


def test_stores_know_nothing_of_operations_or_transports() -> None:
    """`auth.keys` is there for the key's own shape, the rest is errors, models and settings."""
    allowed = {
        "auth.accounts", "auth.clock", "auth.errors", "auth.keys", "auth.mail.message", "auth.models",
        "auth.paging", "auth.settings", "auth.stores",
    }  # fmt: skip
    for module in of("auth.stores"):
        ours = {name for name in module.imports if within(name, {"auth", "realtime", "server"})} - {"auth"}
        assert all(within(name, allowed) for name in ours), (module.file, ours)
    assert forbidden(of("auth.stores"), TRANSPORTS) == []


def test_only_http_and_the_live_side_know_their_transports() -> None:
    others = [module for module in of("auth") if not module.name.startswith("auth.http")]
    assert forbidden(others, TRANSPORTS) == []
    assert forbidden(of("auth.http"), {"socketio", "engineio"}) == []


def test_http_knows_no_store() -> None:
    """A route calls an operation; the outbox page of a development server is handed in as a protocol."""
    assert forbidden(of("auth.http"), {"auth.stores"}) == []


def test_auth_knows_nothing_of_the_live_side() -> None:
    assert forbidden(of("auth"), {"realtime"}) == []


def test_the_live_side_knows_nothing_of_http_routes_or_stores() -> None:
    assert forbidden(of("realtime"), {"auth.http", "auth.stores"} | MONGO_DRIVERS) == []


def test_nothing_imports_the_composition_root() -> None:
    roots = {"server", "node", "operations", "stores"}
    assert forbidden([module for module in SOURCES if module.name not in roots], roots) == []
    assert forbidden(of("auth") + of("realtime"), {*EMBEDDING, "workers"}) == []


def test_no_two_modules_need_each_other() -> None:
    """A cycle of imports is one module in several files."""
    graph = {
        module.name: {name for name in module.imports if name != module.name and is_module(name)}
        for module in PRODUCT
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path[path.index(name) :], name))
        if name in done or name not in graph:
            return
        for needed in sorted(graph[name]):
            visit(needed, (*path, name))
        done.add(name)

    for name in graph:
        visit(name, ())


# What async code must not do -------------------------------------------------------------------------------

BLOCKING_MODULES = {"requests", "urllib.request", "http.client", "smtplib", "subprocess", "sqlite3"}
BLOCKING_CALLS = {
    "open", "input", "time.sleep", "os.system", "os.popen", "os.waitpid", "socket.create_connection",
    "socket.getaddrinfo", "socket.gethostbyname", "subprocess.run", "subprocess.check_output",
}  # fmt: skip
BLOCKING_METHODS = {"read_text", "read_bytes", "write_text", "write_bytes"}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def awaited_code(tree: ast.Module) -> Iterator[ast.AST]:
    """What runs on the event loop for certain: bodies of coroutines, without the functions defined in them."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.AsyncFunctionDef):
            continue
        waiting: list[ast.AST] = list(function.body)
        while waiting:
            node = waiting.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            yield node
            waiting += ast.iter_child_nodes(node)


def test_coroutines_call_nothing_that_blocks() -> None:
    found = []
    for module in SOURCES:
        for node in awaited_code(module.tree):
            if not isinstance(node, ast.Call):
                continue
            name = dotted(node.func)
            if name in BLOCKING_CALLS or name.rpartition(".")[2] in BLOCKING_METHODS:
                found.append(f"{module.file}:{node.lineno}: {name}")
    assert found == []


def test_nothing_sleeps_but_the_event_loop() -> None:
    """`time.sleep` anywhere in what serves requests would stop every socket of the node."""
    found = [
        f"{module.file}:{node.lineno}"
        for module in [*of("auth"), *of("realtime")]
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and dotted(node.func) in {"time.sleep", "sleep"}
    ]
    assert found == []
    assert forbidden([*of("auth"), *of("realtime")], BLOCKING_MODULES) == []


def test_whatever_catches_everything_says_why() -> None:
    """A broad `except` hides defects, unless somebody has thought about what it is for."""
    silent = []
    for module in SOURCES:
        lines = module.text.splitlines()
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.ExceptHandler):
                continue
            above, line = lines[node.lineno - 2].strip(), lines[node.lineno - 1]
            is_broad = node.type is None or dotted(node.type) in {"Exception", "BaseException"}
            if isinstance(node.body[-1], ast.Raise):
                continue  # it cleans up, and catches nothing
            if is_broad and "#" not in line and not above.startswith("#"):
                silent.append(f"{module.file}:{node.lineno}")
    assert silent == []


def test_no_module_does_anything_when_it_is_imported() -> None:
    """No globals that connect, read or start: the composition root makes everything (style.md, 1)."""
    for module in [*of("auth"), *of("realtime")]:
        for statement in module.tree.body:
            for node in (
                ast.walk(statement) if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr) else ()
            ):
                if isinstance(node, ast.Call):
                    name = dotted(node.func)
                    assert name not in {"open", "asyncio.run", "print"}, (module.file, name)
                    assert name.rpartition(".")[2] not in BLOCKING_METHODS, (module.file, name)


# How it reads ----------------------------------------------------------------------------------------------

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def definitions(tree: ast.AST, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Definition]]:
    """Classes, functions and methods with their dotted names; not what is defined inside a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Definition):
            yield ".".join((*path, node.name)), node
            if isinstance(node, ast.ClassDef):
                yield from definitions(node, (*path, node.name))


def says_what_it_is(module: Module, name: str, node: Definition) -> bool:
    """Whether it has a docstring, or what here stands for one."""
    if ast.get_docstring(node) or any(part.startswith("_") for part in name.split(".")):
        return True
    if isinstance(node, ast.ClassDef):
        # A refusal's sentence for people is its description.
        return any(
            isinstance(line, ast.Assign) and dotted(line.targets[0]) == "default_message" for line in node.body
        )
    decorators = {dotted(each.func if isinstance(each, ast.Call) else each) for each in node.decorator_list}
    # An endpoint's summary is in its decorator; `of` makes a view of its model; an override says it once.
    overridden = module.name.endswith(("openapi", "asyncapi")) and name.startswith("PlainSchema.")
    return "endpoint" in decorators or node.name == "of" or overridden


@pytest.mark.parametrize("module", SOURCES, ids=lambda module: module.file)
def test_everything_public_says_what_it_is(module: Module) -> None:
    assert ast.get_docstring(module.tree), "the module"
    silent = [name for name, node in definitions(module.tree) if not says_what_it_is(module, name, node)]
    assert silent == []


@pytest.mark.parametrize("module", SOURCES, ids=lambda module: module.file)
def test_files_and_functions_are_short_enough_to_read(module: Module) -> None:
    most, _ = LONG_FILES.get(module.file, (MOST_LINES, ""))
    assert len(module.text.splitlines()) <= most
    for name, node in definitions(module.tree):
        if not isinstance(node, ast.ClassDef):
            allowed, _ = LONG_FUNCTIONS.get(f"{module.file}:{name}", (MOST_FUNCTION_LINES, ""))
            assert (node.end_lineno or 0) - node.lineno + 1 <= allowed, name


def test_nothing_is_excused_that_needs_no_excuse() -> None:
    files = {module.file: len(module.text.splitlines()) for module in SOURCES}
    assert all(files[name] > MOST_LINES for name in LONG_FILES)
    lengths = {
        f"{module.file}:{name}": (node.end_lineno or 0) - node.lineno + 1
        for module in SOURCES
        for name, node in definitions(module.tree)
    }
    assert all(lengths[name] > MOST_FUNCTION_LINES for name in LONG_FUNCTIONS)


def test_lua_scripts_stand_in_their_own_files_and_say_what_they_take() -> None:
    scripts = list((ROOT / "realtime").rglob("*.lua")) + list((ROOT / "auth").rglob("*.lua"))
    assert scripts
    for script in scripts:
        lines = script.read_text().splitlines()
        head = "\n".join(itertools.takewhile(lambda line: line.startswith("--"), lines))
        body = "\n".join(lines).removeprefix(head)
        assert head, script.name
        for taken in ("KEYS", "ARGV"):
            assert taken in head or taken not in body, f"{script.name} does not say what its {taken} are"
