/** A labelled range whose value is read out beside it. */
type Props = {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step?: number;
  /** How the value reads, unit included. */
  readonly format?: (value: number) => string;
  readonly onInput: (value: number) => void;
};

export function Slider({ label, value, min, max, step = 1, format = String, onInput }: Props) {
  return (
    <label class="slider">
      <span>{label}</span>
      <input
        type="range"
        min={min}
        max={max}
        step={step}
        value={value}
        aria-valuetext={format(value)}
        onInput={(e) => onInput(e.currentTarget.valueAsNumber)}
      />
      <output>{format(value)}</output>
    </label>
  );
}
