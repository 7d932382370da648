"""A TypeScript client that is generated from /openapi.json needs no cast to log in, refresh and give a factor."""

import asyncio
import json
import shutil
from pathlib import Path

import aiohttp
from support.clients import PASSWORD, Api
from support.commands import node_packages
from support.nodes import Node
from support.secured import secure


async def test_a_generated_client_narrows_a_login_and_leaves_out_what_is_optional(
    node: Node, api: Api, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    packages = await asyncio.to_thread(node_packages, "typescript-client")
    for file in ("client.ts", "tsconfig.json", "package.json"):
        shutil.copy(packages.parent / file, tmp_path)
    (tmp_path / "node_modules").symlink_to(packages)
    async with http.get(f"{node.url}/openapi.json") as document:
        (tmp_path / "openapi.json").write_bytes(await document.read())
    await run(tmp_path, "node_modules/.bin/openapi-typescript", "openapi.json", "-o", "api.d.ts")
    await run(tmp_path, "node_modules/.bin/tsc", "--project", ".")
    email, secured = await api.register(), await secure(api)
    said = await run(
        tmp_path, "node", "client.js", node.url, email, secured.email, PASSWORD, await secured.app.code()
    )
    assert json.loads(said) == {"one": "rotated", "two": ["pwd", "otp", "mfa"], "wrong": "invalid_credentials"}


async def run(folder: Path, *command: str) -> str:
    """What a command prints; it has to succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()
