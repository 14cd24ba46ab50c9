/** Going through steps one by one: buttons, a slider and keys. Both the walk and a run use it. */
import type { ComponentChildren } from "preact";

type Props = {
  readonly label: string;
  readonly count: number;
  readonly at: number;
  readonly onMove: (at: number) => void;
  /** Where Page Up and Page Down lead from here: the begin of the path before or after. */
  readonly landmarks?: readonly number[];
  readonly children: ComponentChildren;
};

export function Stepper({ label, count, at, onMove, landmarks = [], children }: Props) {
  const move = (to: number) => onMove(Math.max(0, Math.min(count - 1, to)));
  const keys: Readonly<Record<string, () => void>> = {
    ArrowLeft: () => move(at - 1),
    ArrowRight: () => move(at + 1),
    Home: () => move(0),
    End: () => move(count - 1),
    PageUp: () => move(landmarks.findLast((mark) => mark < at) ?? 0),
    PageDown: () => move(landmarks.find((mark) => mark > at) ?? count - 1),
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const action = keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  };
  const button = (text: string, name: string, key: string, isEnd: boolean) => (
    <button type="button" aria-label={name} title={name} disabled={isEnd} onClick={keys[key]}>
      {text}
    </button>
  );
  return (
    // The buttons and the slider inside bubble their keys up here.
    <fieldset class="stepper" aria-label={label} onKeyDown={onKeyDown}>
      <p class="walk-bar">
        {button("|◀", "First step (Home)", "Home", at === 0)}
        {button("◀", "Step back (left arrow)", "ArrowLeft", at === 0)}
        {button("▶", "Step forward (right arrow)", "ArrowRight", at === count - 1)}
        {button("▶|", "Last step (End)", "End", at === count - 1)}
        <input
          type="range"
          aria-label={`${label}: step`}
          min={0}
          max={count - 1}
          value={at}
          onInput={(event) => move(event.currentTarget.valueAsNumber)}
        />
        <output class="number">
          {at + 1} of {count}
        </output>
      </p>
      {children}
      <p class="keys why">
        Keys, with a button or the slider in focus: <kbd>←</kbd> <kbd>→</kbd> a step, <kbd>Home</kbd>{" "}
        <kbd>End</kbd> first and last
        {landmarks.length > 0 && (
          <>
            , <kbd>Page Up</kbd> <kbd>Page Down</kbd> a path
          </>
        )}
        .
      </p>
    </fieldset>
  );
}
