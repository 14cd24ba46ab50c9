/**
 * The verifier's log (level 2) as steps one can walk to and fro. The log says what each instruction changed;
 * the state at a step is that of its path's start with all changes since applied.
 */

export type WalkStep = {
  /** `start` and `resume` begin a path; `safe` ends one that joined a state walked before. */
  readonly kind: "start" | "insn" | "resume" | "safe";
  readonly insn: number;
  /** The instruction a path came from. */
  readonly from: number | null;
  readonly text: string;
  readonly source: string | null;
  /** What changed, as in `R1=ctx() fp-8=mmmmmmmm`; at a path's begin all there is. */
  readonly changes: string;
  /** After a call or a return: what every frame holds. */
  frames?: string[];
};

/** A name (`R1`, `fp-8`) and the value the verifier knows. */
export type Values = ReadonlyMap<string, string>;
export type FrameView = { readonly index: number; readonly values: Values };
export type StateView = {
  readonly frames: readonly FrameView[];
  /** Names in the last frame that this step changed. */
  readonly changed: ReadonlySet<string>;
};

const INSN = /^(\d+): (\([0-9a-f]{2}\) .*?)(?:\s+; (.*))?$/;
const SAFE = /^(?:from (-?\d+) to )?(\d+): safe$/;
const RESUME = /^from (-?\d+) to (\d+)(.*)$/;
const START = /^(\d+)((?: frame\d+)?:(?: .*)?)$/;
const FRAME = /^ frame\d+: /;

export function parseWalk(log: readonly string[]): WalkStep[] {
  const steps: WalkStep[] = [];
  let source: string | null = null;
  const add = (kind: WalkStep["kind"], insn: string, from: string | undefined, text: string, changes = "") =>
    steps.push({ kind, insn: Number(insn), from: from ? Number(from) : null, text, source, changes });
  for (const line of log) {
    if (line.startsWith("; ")) {
      source = line.slice(2);
      continue;
    }
    if (FRAME.test(line)) {
      const last = steps.at(-1);
      if (last) {
        last.frames ??= [];
        last.frames.push(line);
      }
      continue;
    }
    const insn = INSN.exec(line);
    if (insn) {
      add("insn", insn[1] ?? "", undefined, insn[2] ?? "", insn[3]);
      continue;
    }
    const safe = SAFE.exec(line);
    if (safe) {
      add("safe", safe[2] ?? "", safe[1], "a state walked before covers this one: nothing new can happen");
      continue;
    }
    const resume = RESUME.exec(line);
    if (resume) {
      source = null;
      add("resume", resume[2] ?? "", resume[1], "the other side of a branch", resume[3]);
      continue;
    }
    const start = START.exec(line);
    if (start && line.includes("R10=")) add("start", start[1] ?? "", undefined, "start", start[2]);
  }
  return steps;
}

/** The state after step `at`. */
export function stateAt(steps: readonly WalkStep[], at: number): StateView {
  let begin = at;
  while (begin > 0 && !isBegin(steps[begin])) begin--;
  let frames: { index: number; values: Map<string, string> }[] = [];
  let changed = new Set<string>();
  for (let i = begin; i <= at; i++) {
    const step = steps[i];
    if (!step || step.kind === "safe") {
      changed = new Set();
      continue;
    }
    if (isBegin(step)) {
      const index = Number(/^ frame(\d+):/.exec(step.changes)?.[1] ?? 0);
      frames = [{ index, values: new Map(assignments(step.changes)) }];
      changed = new Set();
      continue;
    }
    if (step.frames) {
      frames = step.frames.map((line, index) => {
        const values = new Map(assignments(line));
        // The lines of a call list registers only; a frame that goes on keeps its stack.
        for (const [name, value] of frames.find((frame) => frame.index === index)?.values ?? []) {
          if (name.startsWith("fp")) values.set(name, value);
        }
        return { index, values };
      });
      changed = new Set(frames.at(-1)?.values.keys());
      continue;
    }
    const values = frames.at(-1)?.values;
    if (!values) continue;
    if (step.text.startsWith("(85) call bpf_")) for (const reg of CLOBBERED) values.delete(reg);
    const news = assignments(step.changes);
    for (const [name, value] of news) values.set(name, value);
    changed = new Set(news.map(([name]) => name));
  }
  return { frames, changed };
}

/** A helper leaves these unreadable. */
const CLOBBERED = ["R1", "R2", "R3", "R4", "R5"] as const;

export function isBegin(step: WalkStep | undefined): boolean {
  return step?.kind === "start" || step?.kind === "resume";
}

/** `R1=scalar(…,var_off=(0x0; 0xff)) fp-8=?` taken apart; values may contain spaces. */
export function assignments(text: string): [name: string, value: string][] {
  return [...text.matchAll(/(?:^|\s)(R\d+|fp-\d+|refs)=(.*?)(?=\s(?:R\d+|fp-\d+|refs)=|$)/g)].map(
    ([, name = "", value = ""]) => [name, value],
  );
}
