/**
 * The verifier's log (level 2) as steps one can walk to and fro. The log says what each instruction named
 * and what that holds afterwards; the state at a step is that of its path's start with all since applied.
 */

export type WalkStep = {
  /** `start` and `resume` begin a path; `safe` ends one that joined a state walked before. */
  readonly kind: "start" | "insn" | "resume" | "safe";
  readonly insn: number;
  /** The instruction a path came from. */
  readonly from: number | null;
  readonly text: string;
  readonly source: string | null;
  /** What the instruction names, as in `R1=ctx() fp-8=mmmmmmmm`; at a path's begin all there is. */
  readonly changes: string;
  /** After a call: caller and callee; after a return: the caller. Frames above the last are gone. */
  frames?: FrameLine[];
};

type FrameLine = { readonly index: number; readonly text: string };

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
const FRAME = /^(?: frame(\d+):)? (.*)$/;
const FRAME_HEADING = /^(caller|callee|returning from callee|to caller at \d+):$/;

export function parseWalk(log: readonly string[]): WalkStep[] {
  const steps: WalkStep[] = [];
  let source: string | null = null;
  let heading = "";
  /** The whole state also stands after a call and at each new path: only the first begins something. */
  let isStart = true;
  const add = (kind: WalkStep["kind"], insn: string, from: string | undefined, text: string, changes = "") =>
    steps.push({ kind, insn: Number(insn), from: from ? Number(from) : null, text, source, changes });
  for (const line of log) {
    if (line.startsWith("; ")) {
      source = line.slice(2);
      continue;
    }
    const frame = heading && FRAME.exec(line);
    if (frame) {
      if (heading !== "returning from callee") {
        const last = steps.at(-1);
        if (last)
          last.frames = [...(last.frames ?? []), { index: Number(frame[1] ?? 0), text: frame[2] ?? "" }];
      }
      heading = "";
      continue;
    }
    heading = FRAME_HEADING.exec(line)?.[1] ?? "";
    if (heading) continue;
    if (line.startsWith("Validating ")) isStart = true;
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
      // Back from a function: told by the lines above.
      if (steps.at(-1)?.frames) continue;
      add("resume", resume[2] ?? "", resume[1], "the other side of a branch", resume[3]);
      continue;
    }
    const start = START.exec(line);
    if (start && isStart && line.includes("R10=")) {
      add("start", start[1] ?? "", undefined, "start", start[2]);
      isStart = false;
    }
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
      const index = Number(/ frame(\d+):/.exec(step.changes)?.[1] ?? 0);
      frames = [{ index, values: new Map(assignments(step.changes)) }];
      changed = new Set();
      continue;
    }
    if (step.frames) {
      for (const { index, text } of step.frames) {
        frames = [
          ...frames.filter((frame) => frame.index < index),
          { index, values: new Map(assignments(text)) },
        ];
      }
      changed = new Set(frames.at(-1)?.values.keys());
      continue;
    }
    const values = frames.at(-1)?.values;
    if (!values) continue;
    if (step.text.startsWith("(85) call bpf_")) for (const reg of CLOBBERED) values.delete(reg);
    const news = assignments(step.changes);
    changed = new Set(news.filter(([name, value]) => values.get(name) !== value).map(([name]) => name));
    for (const [name, value] of news) values.set(name, value);
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
