/** The floors of the house (docs/architecture.md): arrows run downward only. */
const room = (name) => `^src/${name}/`;
const only = (name, allowed, comment) => ({
  name: `${name}-floor`,
  severity: "error",
  comment,
  from: { path: room(name) },
  to: {
    path: "^src/",
    pathNot: [room(name), ...allowed.map((a) => (a.endsWith(".ts") ? `^src/${a}$` : room(a)))],
  },
});

module.exports = {
  forbidden: [
    only("bpf", [], "The machine knows nothing of caching, HTTP or Node: the lab runs it in a browser."),
    only("costs", [], "The cost model is pure data and arithmetic, so the simulator and the service agree."),
    only("tiers", ["bpf", "costs"], "A tier knows maps and stores, not who asks."),
    only("metrics", ["tiers", "bpf", "costs"], "Metrics read the tiers; they steer nothing."),
    only(
      "hooks",
      ["tiers", "bpf", "costs", "metrics"],
      "A hook sees bytes and programs, not protocols' servers.",
    ),
    only("http", ["tiers", "bpf", "costs", "metrics", "hooks"], "A protocol server never reaches a sibling."),
    only(
      "memcached",
      ["tiers", "bpf", "costs", "metrics", "hooks"],
      "A protocol server never reaches a sibling.",
    ),
    only(
      "lab",
      ["bpf", "costs", "sim", "programs"],
      "The page runs in a browser and talks to the service by HTTP only; the shipped objects are its data.",
    ),
    only("sim", ["tiers", "bpf", "costs"], "The simulator uses the map semantics and the costs, no sockets."),
    {
      name: "bpf-is-browser-safe",
      severity: "error",
      comment: "src/bpf and src/costs and src/sim run in a web worker too: no Node built-in, no package.",
      from: { path: "^src/(bpf|costs|sim)/" },
      to: { dependencyTypes: ["core", "npm"] },
    },
    {
      name: "engines-do-not-meet",
      severity: "error",
      comment: "Verifier, JIT and interpreter are three readings of one ISA; they meet in kernel.ts only.",
      from: { path: "^src/bpf/(verifier|jit)/" },
      to: { path: "^src/bpf/(verifier|jit)/|^src/bpf/(interpreter|stepper)", pathNot: "^src/bpf/$1/" },
    },
    {
      name: "the-interpreter-stands-alone",
      severity: "error",
      comment: "The reference must not lean on what it judges.",
      from: { path: "^src/bpf/(interpreter|stepper)" },
      to: { path: "^src/bpf/(verifier|jit)/" },
    },
    {
      name: "isa-is-a-leaf",
      severity: "error",
      comment: "The instruction set is data; everything reads it, it reads nothing.",
      from: { path: "^src/bpf/isa\\.ts$" },
      to: { path: "^src/" },
    },
    {
      name: "nobody-imports-the-cli",
      severity: "error",
      comment: "The command line is the roof.",
      from: { path: "^src/", pathNot: "^src/cli(\\.ts$|/)" },
      to: { path: "^src/cli(\\.ts$|/)" },
    },
    {
      name: "no-cycles",
      severity: "error",
      comment: "A cycle at run time is two files that are one; types may refer to each other.",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "resolvable",
      severity: "error",
      comment: "An import that does not resolve is a typing mistake.",
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"] },
  },
};
