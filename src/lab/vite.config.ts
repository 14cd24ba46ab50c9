/** The lab page: built into dist/lab, served by the service under /lab/, working offline. */
import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  base: "/lab/",
  logLevel: "warn",
  // The same JSX as tsconfig.json says.
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  worker: { format: "es" },
  build: {
    outDir: "../../dist/lab",
    emptyOutDir: true,
    target: "es2022",
    // A strict Content-Security-Policy has no room for data: URLs or inlined modules.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
