import { defineConfig } from "vitest/config";
import { ClosingLine } from "./closing-line.ts";

export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    include: ["test/**/*.test.ts"],
    reporters: ["default", new ClosingLine()],
    testTimeout: 60_000,
    // Starting a service verifies and compiles its programs: seconds on a busy machine.
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
});
