import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Call, KeyHistory } from "../../loadtest/coherence/linearizability.ts";
import { type Answer, type Operation, REFUSED, type State, step } from "../../loadtest/coherence/model.ts";
import { DamagedValue, namesIn, recordOf } from "../../loadtest/coherence/values.ts";

const READ: Operation = { kind: "read" };
const set = (value: string): Operation => ({ kind: "set", value });
const STORED: Answer = { wrote: "stored" };

type Step = {
  readonly call?: Operation;
  readonly ret?: Answer;
  readonly lose?: true;
  readonly end?: true;
  readonly of: string;
};
const call = (of: string, operation: Operation): Step => ({ of, call: operation });
const ret = (of: string, answer: Answer): Step => ({ of, ret: answer });

function judge(steps: readonly Step[], initial: State = null): string | null {
  const history = new KeyHistory("k", initial);
  const calls = new Map<string, Call>();
  for (const step of steps) {
    if (step.call) calls.set(step.of, history.call(step.call));
    else if (step.lose) history.lose(calls.get(step.of) as Call);
    else if (step.end) history.end(calls.get(step.of) as Call);
    else history.return(calls.get(step.of) as Call, step.ret);
  }
  history.check();
  return history.violation;
}

const HISTORIES: readonly (readonly [string, boolean, readonly Step[]])[] = [
  [
    "a read after a write sees it",
    true,
    [call("w", set("1")), ret("w", STORED), call("r", READ), ret("r", "1")],
  ],
  [
    "a read after a write must not see what was before",
    false,
    [call("w", set("1")), ret("w", STORED), call("r", READ), ret("r", null)],
  ],
  [
    "a read beside a write may see either",
    true,
    [call("w", set("1")), call("r", READ), ret("r", null), ret("w", STORED)],
  ],
  [
    "once the new value was seen, the old one is gone, though the write has not returned",
    false,
    [call("w", set("1")), call("r", READ), ret("r", "1"), call("s", READ), ret("s", null), ret("w", STORED)],
  ],
  [
    "two reads beside one write agree on its moment",
    true,
    [call("w", set("1")), call("r", READ), call("s", READ), ret("r", "1"), ret("s", null), ret("w", STORED)],
  ],
  [
    "a lost write may have taken effect",
    true,
    [call("w", set("1")), { of: "w", lose: true }, call("r", READ), ret("r", "1")],
  ],
  [
    "a lost write may not have",
    true,
    [call("w", set("1")), { of: "w", lose: true }, call("r", READ), ret("r", null)],
  ],
  [
    "a lost write takes effect late",
    true,
    [
      call("w", set("1")),
      { of: "w", lose: true },
      call("r", READ),
      ret("r", null),
      call("s", READ),
      ret("s", "1"),
    ],
  ],
  [
    "but not after its end",
    false,
    [
      call("w", set("1")),
      { of: "w", lose: true },
      call("r", READ),
      ret("r", null),
      { of: "w", end: true },
      call("q", READ),
      ret("q", null),
      call("s", READ),
      ret("s", "1"),
    ],
  ],
  ["a value nobody wrote is none", false, [call("r", READ), ret("r", "9")]],
  [
    "of two adds at once one wins",
    false,
    [
      call("a", { kind: "add", value: "1" }),
      call("b", { kind: "add", value: "2" }),
      ret("a", STORED),
      ret("b", STORED),
    ],
  ],
  [
    "an answer decides how a pending operation was done, also when it comes last",
    false,
    [
      call("d", { kind: "delete" }),
      call("w", set("1")),
      ret("w", STORED),
      call("r", READ),
      ret("r", null),
      ret("d", { wrote: "not-found" }),
    ],
  ],
  [
    "an item ends once",
    false,
    [
      call("w", set("<1>")),
      ret("w", STORED),
      call("e", { kind: "expire", value: "<1>" }),
      call("r", READ),
      ret("r", null),
      call("s", READ),
      ret("s", "<1>"),
      ret("e", undefined),
    ],
  ],
];

describe("the checker of histories", () => {
  test.each(HISTORIES)("%s", (_, isFine, steps) => {
    const violation = judge(steps);
    if (isFine) expect(violation).toBeNull();
    else expect(violation).toMatch(/no order of its operations explains/);
  });

  test("judges only as far as answers are known", () => {
    const history = new KeyHistory("k", null);
    const write = history.call(set("1"));
    const read = history.call(READ);
    history.return(read, "2");
    history.check();
    expect(history.violation).toBeNull();
    history.return(write, STORED);
    history.check();
    expect(history.violation).not.toBeNull();
  });

  test("agrees with trying every order, on small random histories", () => {
    const verdicts = { fine: 0, broken: 0 };
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat(999)), (stream) => {
        const draw = (n: number): number => stream.next().value % n;
        const operations = drawHistory(draw);
        const history = new KeyHistory("k", null);
        const calls: Call[] = [];
        for (const { at, of } of eventsOf(operations)) {
          const { operation, answer } = operations[of] as Done;
          if (at === "call") calls[of] = history.call(operation);
          else history.return(calls[of] as Call, answer);
        }
        history.check();
        const isFine = someOrderExplains(operations, null);
        verdicts[isFine ? "fine" : "broken"]++;
        expect(history.violation === null).toBe(isFine);
      }),
      { numRuns: 3_000 },
    );
    expect(Math.min(verdicts.fine, verdicts.broken)).toBeGreaterThan(100);
  });
});

type Done = {
  readonly operation: Operation;
  readonly answer: Answer;
  readonly from: number;
  readonly to: number;
};

/** Five operations at random times, with answers some of which fit. */
function drawHistory(draw: (n: number) => number): Done[] {
  return Array.from({ length: 5 }, (_, i) => {
    const from = draw(40) + i / 10;
    const to = from + 1 + draw(25) + i / 100;
    const made: readonly (readonly [Operation, readonly Answer[]])[] = [
      [READ, [null, "0", "1", "2", "3", "4"]],
      [READ, [null, "0", "1", "2", "3", "4"]],
      [set(String(i)), [STORED, { wrote: "created" }, { wrote: "exists" }]],
      [{ kind: "delete" }, [{ wrote: "deleted" }, { wrote: "not-found" }]],
      [{ kind: "add", value: String(i) }, [STORED, { wrote: "not-stored" }]],
    ];
    const [operation, answers] = made[draw(made.length)] as (typeof made)[number];
    return { operation, answer: answers[draw(answers.length)], from, to };
  });
}

function eventsOf(operations: readonly Done[]) {
  return operations
    .flatMap(({ from, to }, of) => [
      { at: "call" as const, of, time: from },
      { at: "return" as const, of, time: to },
    ])
    .sort((a, b) => a.time - b.time);
}

function someOrderExplains(left: readonly Done[], state: State): boolean {
  if (left.length === 0) return true;
  const firstReturn = Math.min(...left.map(({ to }) => to));
  return left.some((done) => {
    if (done.from > firstReturn) return false;
    const after = step(state, done.operation, done.answer);
    return (
      after !== REFUSED &&
      someOrderExplains(
        left.filter((other) => other !== done),
        after,
      )
    );
  });
}

describe("values tell on themselves", () => {
  const whole = recordOf("3.14", 200) + recordOf("15.9", 20);
  test("records are told apart again", () => {
    expect(namesIn(whole)).toBe("<3.14><15.9>");
    expect(whole.length).toBeGreaterThan(210);
  });
  test.each([
    ["cut short", whole.slice(0, -1)],
    ["with a byte changed", `${whole.slice(0, 90)}!${whole.slice(91)}`],
    ["with another's end", recordOf("3.14", 200).slice(0, 100) + recordOf("3.15", 200).slice(100)],
  ])("a value %s is noticed", (_, value) => {
    expect(() => namesIn(value)).toThrow(DamagedValue);
  });
});
