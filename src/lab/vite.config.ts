/** The lab page: built into dist/lab, served by the service under /lab/, working offline. */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const OUT = join(import.meta.dirname, "../../dist/lab");
/** Smaller files are sent as they are. */
const WORTH_BYTES = 1_024;

/** Compresses once, at build time; the server picks by Accept-Encoding. */
const precompress: Plugin = {
  name: "precompress",
  closeBundle() {
    for (const name of readdirSync(OUT, { recursive: true, encoding: "utf8" })) {
      const path = join(OUT, name);
      if (!/\.(js|css|html|svg)$/.test(name) || statSync(path).size < WORTH_BYTES) continue;
      const bytes = readFileSync(path);
      writeFileSync(`${path}.br`, brotliCompressSync(bytes));
      writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }));
    }
  },
};

export default defineConfig({
  root: import.meta.dirname,
  base: "/lab/",
  logLevel: "warn",
  plugins: [precompress],
  // The same JSX as tsconfig.json says.
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  worker: { format: "es" },
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: "es2022",
    // A strict Content-Security-Policy has no room for data: URLs or inlined modules.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
