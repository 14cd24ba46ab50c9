/** Which page is shown: the part of the address after `#/`. Back, forward and bookmarks work as expected. */
import { signal } from "@preact/signals";

export const PAGES = [
  { path: "live", title: "Live" },
  { path: "verifier", title: "Verifier" },
  { path: "what-if", title: "What if" },
  { path: "lessons", title: "Lessons" },
] as const;
export type PagePath = (typeof PAGES)[number]["path"];

/** A page and what follows it, as in `#/lessons/3`. */
export type Route = { readonly page: PagePath; readonly rest: string };

export function parseRoute(hash: string): Route {
  const [first = "", ...rest] = hash.replace(/^#\/?/, "").split("/");
  const page = PAGES.find((p) => p.path === first)?.path ?? "live";
  return { page, rest: rest.join("/") };
}

export const route = signal<Route>(parseRoute(location.hash));

addEventListener("hashchange", () => {
  route.value = parseRoute(location.hash);
});
