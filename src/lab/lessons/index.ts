/** The six lessons, in the order a class takes them. */
import { copying } from "./copying.tsx";
import { hooksCompared } from "./hooks-compared.tsx";
import type { Lesson } from "./lesson.ts";
import { slowerRequests } from "./slower-requests.tsx";
import { theVerifier } from "./the-verifier.tsx";
import { twoCopies } from "./two-copies.tsx";
import { whyInTheKernel } from "./why-in-the-kernel.tsx";

export const LESSONS: readonly Lesson[] = [
  whyInTheKernel,
  theVerifier,
  hooksCompared,
  copying,
  slowerRequests,
  twoCopies,
];
