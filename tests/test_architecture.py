"""The rules of docs/architecture.md that a program can check: who may import whom, and what good code here is.

A limit says what the code keeps to today; where a file is excused, the reason stands beside it.
"""

import ast
import importlib
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aiohttp import web

ROOT = Path(__file__).resolve().parents[1]

MOST_LINES = 450
MOST_FUNCTION_LINES = 60
# They may not grow further.
LONG_FILES = {
    "auth/platform/settings/settings.py": (560, "every setting, declared once with its words"),
    "auth/operations.py": (480, "each operation made once, in the order they need each other"),
}
LONG_FUNCTIONS: dict[str, tuple[int, str]] = {
    "auth/operations.py:make_operations": (184, "each operation made once, in the order they need each other"),
}

# Methods of a class, its private ones too.
MOST_METHODS = 20
LARGE_CLASSES: dict[str, tuple[int, str]] = {
    "auth/sessions/sessions.py:Sessions": (
        27,
        "every way a session begins, goes on and ends, each of a few lines",
    ),
    "auth/backends/webhooks.py:Webhooks": (22, "each act twice: for administrators, and for the operator"),
    "auth/stores/sessions/store.py:SessionStore": (32, "every update of one collection, which must agree"),
    "realtime/engine/connection.py:EngineSocket": (40, "one connection's state, over both transports"),
    "realtime/engine/server.py:EngineServer": (30, "what HTTP asks of the engine, and what the engine asks of us"),
    "realtime/engine/websocket.py:WebSocket": (32, "a protocol of asyncio, whose callbacks are many"),
}
# Two that a transport names as its contract does, or that stand for one thing on either side of a floor.
SAME_NAMES = {
    "ApprovalRequest", "Connection", "MfaRequired", "Refused", "Registration", "RolesChanged",
    "Rooms", "SecurityAlert", "SessionRevoked", "StepUp", "TokenExpired",
}  # fmt: skip

# From the ground up; folders of one floor do not know each other, and nothing imports a floor above its own.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("auth.core",),
    ("auth.platform", "auth.crypto"),
    ("auth.clients", "auth.stores"),
    ("auth.notifications", "auth.audit"),
    ("auth.services",),
    ("auth.sessions",),
    ("auth.factors",),
    ("auth.accounts", "auth.admin", "auth.backends"),
    ("auth.login",),
    ("auth.alerts",),
    ("auth.operations",),
    ("auth.http",),
    ("realtime.application", "realtime.engine"),
    ("realtime.protocol", "realtime.event_queue", "realtime.application_url"),
    ("realtime.hub",),
    ("realtime.broker",),
    ("realtime.delivery",),
    ("realtime.gateway",),
    ("realtime.live",),
    ("runtime",),
    ("server",),
)
FLOOR_OF = {folder: number for number, floor in enumerate(FLOORS) for folder in floor}
# Folders of `auth` that hold features; each of their files is what a user can do, or a part of it.
FEATURES = (
    "auth.sessions",
    "auth.factors",
    "auth.accounts",
    "auth.admin",
    "auth.backends",
    "auth.login",
    "auth.alerts",
)

# Everything that is a database's or a broker's own.
MONGO_DRIVERS = {"pymongo", "motor", "bson", "gridfs"}
REDIS_DRIVERS = {"redis", "hiredis", "saq"}
TRANSPORTS = {"aiohttp", "socketio", "engineio"}
HTTP_CLIENT = "auth.platform.http_client"


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


PRODUCT = [*modules("auth", "realtime", "runtime"), Module("server", ROOT / "server.py")]
SOURCES = [*PRODUCT, *modules("client-demo")]


def of(*packages: str) -> list[Module]:
    return [module for module in PRODUCT if within(module.name, packages)]


def each_of(modules: list[Module]) -> Callable[[Callable[[Module], None]], Callable[[], None]]:
    """Make one test of a rule for one module. It names every module that breaks the rule."""

    def decorate(rule: Callable[[Module], None]) -> Callable[[], None]:
        def test() -> None:
            broken = []
            for module in modules:
                try:
                    rule(module)
                except AssertionError as why:
                    broken.append(f"{module.file}: {why}")
            assert broken == []

        test.__name__, test.__doc__ = rule.__name__, rule.__doc__
        return test

    return decorate


def within(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def forbidden(modules: list[Module], packages: Iterable[str]) -> list[str]:
    return [
        f"{module.file} imports {name}" for module in modules for name in module.imports if within(name, packages)
    ]


# Who may import whom ---------------------------------------------------------------------------------------


def folder_of(name: str) -> str | None:
    """The folder or file of `FLOORS` that a module of ours belongs to; none for the packages themselves."""
    return next((folder for folder in FLOOR_OF if within(name, {folder})), None)


def test_there_is_something_to_check() -> None:
    assert len(of("auth")) > 100
    assert len(of("realtime")) > 30
    assert "auth.core.errors" in Module("x", ROOT / "auth/crypto/tokens.py").imports


def test_every_module_has_its_floor() -> None:
    assert {module.name for module in PRODUCT if folder_of(module.name) is None} == {"auth", "realtime"}
    assert {folder for folder in FLOOR_OF if not of(folder)} == set()


@each_of(PRODUCT)
def test_imports_run_downward_only(module: Module) -> None:
    mine = folder_of(module.name)
    for name in module.imports:
        theirs = folder_of(name)
        if mine is not None and theirs is not None and mine != theirs:
            assert FLOOR_OF[theirs] < FLOOR_OF[mine], f"{module.file} imports {name}"


def test_the_core_needs_no_library_that_does_anything() -> None:
    """Types and pure rules: the standard library, and pydantic for what clients are shown."""
    allowed = {*sys.stdlib_module_names, "auth", "pydantic", "pydantic_core", "email_validator", "idna"}
    for module in of("auth.core"):
        assert {name.partition(".")[0] for name in module.imports} <= allowed, module.file


def test_only_http_the_live_side_and_the_http_client_know_their_transports() -> None:
    others = [module for module in of("auth") if not within(module.name, {"auth.http", HTTP_CLIENT})]
    assert forbidden(others, TRANSPORTS) == []
    assert forbidden(of("auth.http"), {"socketio", "engineio"}) == []


def test_what_goes_out_goes_through_one_client() -> None:
    """With its limits of time and size."""
    asking = {"httpx", "requests", "urllib3", "urllib.request", "http.client"}
    clients = [
        f"{module.file}:{node.lineno}"
        for module in of("auth")
        if module.name != HTTP_CLIENT
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in {"ClientSession", "PyJWKClient"}
    ]
    assert clients == []
    assert forbidden(of("auth"), asking) == []


def test_features_speak_to_no_driver() -> None:
    assert forbidden(of(*FEATURES, "auth.operations"), MONGO_DRIVERS | REDIS_DRIVERS) == []


def test_only_the_platform_the_queue_and_its_page_speak_to_redis_in_auth() -> None:
    owners = {"auth.platform", "auth.notifications.job_queue", "auth.http.pages.jobs_dashboard"}
    assert forbidden([module for module in of("auth") if not within(module.name, owners)], REDIS_DRIVERS) == []


def test_only_the_stores_know_mongodbs_driver() -> None:
    # The embedded services start a mongod, and must ask it to form a replica set.
    allowed = {"auth.stores", "runtime.embedded"}
    others = [module for module in PRODUCT if not within(module.name, allowed)]
    assert forbidden(others, MONGO_DRIVERS) == []


def test_cookies_are_read_by_our_own_reader_alone() -> None:
    """aiohttp's splits at blanks, and takes the last of a name: what a sibling host sets would pass for ours."""
    reading = [
        f"{module.file}:{node.lineno}"
        for module in [*of("auth"), *of("realtime")]
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Attribute) and (node.attr == "cookies" or dotted(node) == "hdrs.COOKIE"))
        or (isinstance(node, ast.Constant) and node.value == "Cookie")
    ]
    parsers = {"http.cookies", "http.cookiejar", "aiohttp._cookie_helpers", "aiohttp.helpers"}
    assert [place for place in reading if not place.startswith("auth/http/cookies.py:")] == []
    assert forbidden([*of("auth"), *of("realtime")], parsers) == []


def test_http_knows_no_store() -> None:
    """A route calls an operation; the outbox page of a development server is handed in as a protocol."""
    assert forbidden(of("auth.http"), {"auth.stores"}) == []


def test_the_live_side_knows_of_http_how_a_request_is_read_and_of_mongodb_its_stores() -> None:
    """A handshake's caller and cookies are read by HTTP's rules, a backend's acts by those of the server API."""
    assert forbidden(of("realtime"), MONGO_DRIVERS) == []
    reading = {
        "realtime.gateway.handshake imports auth.http.context",
        "realtime.gateway.handshake imports auth.http.cookies",
        "realtime.application_url.answers imports auth.http.schemas.client_events",
        "realtime.application_url.application imports auth.http.schemas.client_events",
    }
    known = {
        f"{module.name} imports {name}"
        for module in of("realtime")
        for name in module.imports
        if within(name, {"auth.http"})
    }
    assert known == reading


def test_no_object_declares_what_somebody_else_is_to_give_it() -> None:
    """What an object needs, its constructor takes: no attribute of `self` is declared without a value."""
    found = [
        f"{module.file}:{node.lineno}"
        for module in PRODUCT
        for node in ast.walk(module.tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute) and node.value is None
    ]
    assert found == []


# The only modules that touch what a library keeps to itself; tests/unit/test_engine_versions.py watches it.
PRIVATE_PARTS = {
    "auth.http.edge.aiohttp_private": {"aiohttp"},
    "realtime.engine.library_private": {"aiohttp", "engineio", "socketio"},
}


def test_private_parts_of_the_libraries_are_imported_in_one_place_each() -> None:
    found = []
    for module in PRODUCT:
        own = PRIVATE_PARTS.get(module.name, set())
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.ImportFrom | ast.Import):
                continue
            base = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                name = f"{base}.{alias.name}".strip(".")
                library = name.partition(".")[0]
                is_private = library in {"engineio", "socketio"} or any(p.startswith("_") for p in name.split("."))
                if library in TRANSPORTS and library not in own and is_private:
                    found.append(f"{module.file}:{node.lineno}: {name}")
    assert found == []


def private_names(*classes: type) -> set[str]:
    return {
        name
        for each in classes
        for base in each.__mro__
        if base.__module__.partition(".")[0] in TRANSPORTS
        for name in vars(base)
        if name.startswith("_") and not name.startswith("__")
    }


AIOHTTPS = (web.RequestHandler, web.Server, web.AppRunner, web.Request, web.Response, web.Application)


@each_of([each for each in of("auth.http", "realtime.engine") if each.name not in PRIVATE_PARTS])
def test_private_parts_of_the_libraries_are_used_nowhere_else(module: Module) -> None:
    """Neither of an object of a library's, nor, by the same name, in a class that extends one of a library's."""
    loaded = importlib.import_module(module.name)
    found = []
    for definition in (node for node in module.tree.body if isinstance(node, ast.ClassDef)):
        theirs = private_names(getattr(loaded, definition.name))
        for node in ast.walk(definition):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in theirs:
                found.append(f"{node.lineno}: {node.name}")
            if isinstance(node, ast.Attribute) and is_self(node.value) and node.attr in theirs:
                found.append(f"{node.lineno}: {node.attr}")
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and not is_self(node.value) and node.attr in private_names(*AIOHTTPS):
            found.append(f"{node.lineno}: {node.attr}")
    assert found == []


def is_self(node: ast.expr) -> bool:
    """`self`, `cls` or `super()`: what is looked at with the class's own names."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in {"self", "cls"}


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


@each_of(SOURCES)
def test_everything_public_says_what_it_is(module: Module) -> None:
    assert ast.get_docstring(module.tree), "the module"
    silent = [name for name, node in definitions(module.tree) if not says_what_it_is(module, name, node)]
    assert silent == []


@each_of(SOURCES)
def test_files_and_functions_are_short_enough_to_read(module: Module) -> None:
    most, _ = LONG_FILES.get(module.file, (MOST_LINES, ""))
    assert len(module.text.splitlines()) <= most
    for name, node in definitions(module.tree):
        if not isinstance(node, ast.ClassDef):
            allowed, _ = LONG_FUNCTIONS.get(f"{module.file}:{name}", (MOST_FUNCTION_LINES, ""))
            assert (node.end_lineno or 0) - node.lineno + 1 <= allowed, name


def classes() -> dict[str, ast.ClassDef]:
    return {
        f"{module.file}:{name}": node
        for module in PRODUCT
        for name, node in definitions(module.tree)
        if isinstance(node, ast.ClassDef)
    }


def methods_of(node: ast.ClassDef) -> int:
    return sum(isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) for each in node.body)


def test_classes_are_small_enough_to_know() -> None:
    sizes = {name: methods_of(node) for name, node in classes().items()}
    allowed = {name: most for name, (most, _) in LARGE_CLASSES.items()}
    assert {name: size for name, size in sizes.items() if size > allowed.get(name, MOST_METHODS)} == {}
    assert {name for name in LARGE_CLASSES if sizes.get(name, 0) <= MOST_METHODS} == set()


def test_a_name_is_that_of_one_class() -> None:
    """Whoever searches for it finds what is meant."""
    names = Counter(name.rpartition(":")[2] for name in classes())
    assert {name for name, count in names.items() if count > 1} <= SAME_NAMES
    assert {name for name in SAME_NAMES if names[name] < 2} == set()


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
