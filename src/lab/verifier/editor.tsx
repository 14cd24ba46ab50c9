/**
 * The assembly editor: CodeMirror 6 with a small mode for eBPF assembly, errors and the current
 * instruction marked by line. It owns its document; the page is told of changes and may replace it.
 */
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { HighlightStyle, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { EditorState, RangeSetBuilder, StateEffect, StateField } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "preact/hooks";
import { tokenOf } from "./language.ts";

export type Marks = {
  /** 1-based lines. */
  readonly errors: readonly number[];
  readonly current: number | null;
};

type Props = {
  readonly text: string;
  readonly marks: Marks;
  readonly onChange: (text: string) => void;
};

const setMarks = StateEffect.define<Marks>();
const errorLine = Decoration.line({ class: "line-error" });
const currentLine = Decoration.line({ class: "line-current" });

const marksField = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    for (const effect of transaction.effects) {
      if (effect.is(setMarks)) return decorate(transaction.state, effect.value);
    }
    return marks.map(transaction.changes);
  },
  provide: (field) => EditorView.decorations.from(field),
});

function decorate(state: EditorState, { errors, current }: Marks): DecorationSet {
  const builder = new RangeSetBuilder<Decoration>();
  const lines = [...new Set([...errors, ...(current === null ? [] : [current])])].sort((a, b) => a - b);
  for (const number of lines) {
    if (number < 1 || number > state.doc.lines) continue;
    const { from } = state.doc.line(number);
    builder.add(from, from, errors.includes(number) ? errorLine : currentLine);
  }
  return builder.finish();
}

/** Colours come from the page's variables, so that light and dark follow by themselves. */
const colours = HighlightStyle.define([
  { tag: tags.comment, color: "var(--ink-soft)", fontStyle: "italic" },
  { tag: tags.keyword, color: "var(--accent)" },
  { tag: tags.variableName, color: "var(--cold)" },
  { tag: tags.number, color: "var(--hot)" },
  { tag: tags.labelName, color: "var(--good)" },
  { tag: tags.meta, color: "var(--good)" },
]);

const look = EditorView.theme({
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "var(--paper)", fontSize: "0.9rem" },
  ".cm-scroller": { fontFamily: "var(--mono)" },
  ".cm-content": { caretColor: "var(--ink)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  ".cm-gutters": { backgroundColor: "var(--panel)", color: "var(--ink-soft)", border: "none" },
  ".line-current": { backgroundColor: "var(--changed)" },
  ".line-error": { boxShadow: "inset 4px 0 var(--bad)", backgroundColor: "var(--changed)" },
});

const assembly = StreamLanguage.define({ token: tokenOf });

export function Editor({ text, marks, onChange }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const changed = useRef(onChange);
  changed.current = onChange;

  useEffect(() => {
    if (!host.current) return;
    // In a shadow root CodeMirror adopts its style sheets; in the document it would add a <style>, which
    // the page's Content-Security-Policy forbids.
    const root = host.current.shadowRoot ?? host.current.attachShadow({ mode: "open" });
    const made = new EditorView({
      parent: root,
      root,
      state: EditorState.create({
        doc: text,
        extensions: [
          lineNumbers(),
          history(),
          keymap.of([...defaultKeymap, ...historyKeymap]),
          assembly,
          syntaxHighlighting(colours),
          marksField,
          look,
          EditorView.contentAttributes.of({
            "aria-label": "eBPF assembly",
            spellcheck: "false",
            tabindex: "0",
          }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) changed.current(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = made;
    return () => made.destroy();
  }, []);

  useEffect(() => {
    const editor = view.current;
    if (!editor || editor.state.doc.toString() === text) return;
    editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: text } });
  }, [text]);

  useEffect(() => {
    const editor = view.current;
    if (!editor) return;
    const { current } = marks;
    const line =
      current !== null && current <= editor.state.doc.lines ? editor.state.doc.line(current) : null;
    editor.dispatch({
      effects: [
        setMarks.of(marks),
        ...(line ? [EditorView.scrollIntoView(line.from, { y: "nearest" })] : []),
      ],
    });
  }, [marks]);

  return <div class="editor" ref={host} />;
}
