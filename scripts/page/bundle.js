/**
 * Bundles the page of client-demo/ into client-demo/bundle/: `make page`.
 *
 *     node scripts/page/bundle.js [FOLDER]    writes the bundle, to another folder if one is named
 *
 * Files are named by their content, so that browsers may keep them for ever, and there is a copy of each for every
 * encoding: `br/` and `gzip/`. `manifest.json` has the SHA-256 of every source: the server serves the bundle only while
 * it matches them (auth/http/pages/bundle.py). The output depends on nothing but the sources and the version of esbuild.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

const PAGE = resolve(fileURLToPath(import.meta.url), "../../../client-demo");
const ADDRESS = "/demo/bundle";
/** What the page needs, by client-demo/README.md: dialogs. */
const BROWSERS = ["chrome90", "firefox98", "safari15.4"];

/** Replaces text that must be there exactly once: a source that has changed shall fail the build, not the page. */
function replaceOnce(text, what, by) {
  if (text.split(what).length !== 2) throw new Error(`expected once: ${what}`);
  return text.replace(what, () => by);
}

async function bundle() {
  const { metafile, outputFiles } = await build({
    absWorkingDir: PAGE,
    entryPoints: ["app.js", "app.css"],
    outdir: "bundle",
    bundle: true,
    splitting: true,
    format: "esm",
    minify: true,
    target: BROWSERS,
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    metafile: true,
    write: false,
  });
  const files = new Map(outputFiles.map(({ path, contents }) => [basename(path), Buffer.from(contents)]));
  files.set("index.html", Buffer.from(index(metafile.outputs)));
  return { files, sources: [...Object.keys(metafile.inputs), "index.html"] };
}

/** The page with the addresses of the bundle. What the first script imports is loaded beside it. */
function index(outputs) {
  const built = (source) => Object.keys(outputs).find((name) => outputs[name].entryPoint === source);
  const addressOf = (name) => `${ADDRESS}/${basename(name)}`;
  const script = built("app.js");
  const preloads = outputs[script].imports.filter(({ kind }) => kind === "import-statement")
    .map(({ path }) => `  <link rel="modulepreload" href="${addressOf(path)}">\n`);
  const source = readFileSync(join(PAGE, "index.html"), "utf8").replace(/ *<link rel="modulepreload".*\n/g, "");
  const styled = replaceOnce(source, "/demo/app.css", addressOf(built("app.css")));
  const scripted = replaceOnce(styled, "/demo/app.js", addressOf(script));
  return replaceOnce(scripted, '  <script type="module"', `${preloads.join("")}  <script type="module"`);
}

const sha256 = (content) => createHash("sha256").update(content).digest("hex");

const folder = resolve(process.argv[2] ?? join(PAGE, "bundle"));
const { files, sources } = await bundle();
rmSync(folder, { recursive: true, force: true });
for (const encoding of ["br", "gzip"]) mkdirSync(join(folder, encoding), { recursive: true });
for (const [name, content] of files) {
  writeFileSync(join(folder, name), content);
  writeFileSync(join(folder, "br", name), brotliCompressSync(content));
  writeFileSync(join(folder, "gzip", name), gzipSync(content, { level: 9 }));
}
const digests = Object.fromEntries(sources.sort().map((name) => [name, sha256(readFileSync(join(PAGE, name)))]));
writeFileSync(join(folder, "manifest.json"), `${JSON.stringify({ sources: digests }, null, 2)}\n`);
for (const name of readdirSync(join(folder, "br"))) {
  const kilobytes = (readFileSync(join(folder, "br", name)).length / 1000).toFixed(1);
  console.log(`${name}  ${kilobytes} kB compressed`);
}
