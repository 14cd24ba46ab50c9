/** What a lesson is: a short text with live controls beside it, five minutes each. */
import type { ComponentType } from "preact";

export type Lesson = {
  readonly title: string;
  /** One sentence for the list. */
  readonly summary: string;
  readonly Text: ComponentType;
  readonly Controls: ComponentType;
};
