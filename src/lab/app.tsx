/** The frame around every page: a header with the four pages, the connection's state, light or dark. */
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Live } from "./pages/live.tsx";
import { ThemeSwitch } from "./parts/theme-switch.tsx";
import { PAGES, type PagePath, route } from "./router.ts";

/** Live is the landing page and comes with the first load; the others are fetched when they are opened. */
const LAZY: Readonly<Record<Exclude<PagePath, "live">, () => Promise<ComponentType>>> = {
  verifier: () => import("./pages/verifier.tsx").then((m) => m.Verifier),
  "what-if": () => import("./pages/what-if.tsx").then((m) => m.WhatIf),
  lessons: () => import("./pages/lessons.tsx").then((m) => m.Lessons),
};

export function App() {
  const { page } = route.value;
  const title = PAGES.find((p) => p.path === page)?.title ?? "";
  useEffect(() => {
    document.title = `${title} · bmc-emulator lab`;
  }, [title]);
  return (
    <>
      <button type="button" class="skip" onClick={skip}>
        Skip to the page
      </button>
      <header class="top">
        <span class="brand">bmc-emulator lab</span>
        <nav aria-label="Pages">
          {PAGES.map((p) => (
            <a key={p.path} href={`#/${p.path}`} aria-current={p.path === page ? "page" : undefined}>
              {p.title}
            </a>
          ))}
        </nav>
        <ThemeSwitch />
      </header>
      <main id="main" tabIndex={-1}>
        {page === "live" ? <Live /> : <Lazy key={page} load={LAZY[page]} />}
      </main>
    </>
  );
}

/** No link: `#main` would be taken for the address of a page. */
function skip(): void {
  document.getElementById("main")?.focus();
}

function Lazy({ load }: { load: () => Promise<ComponentType> }) {
  // In an object: a component is a function, and setState would call it.
  const [state, setState] = useState<{ Page: ComponentType } | { error: string } | null>(null);
  useEffect(() => {
    load().then(
      (Page) => setState({ Page }),
      (error: unknown) => setState({ error: String(error) }),
    );
  }, [load]);
  if (state === null) return <p class="loading">Loading…</p>;
  if ("error" in state) return <p role="alert">This page could not be loaded: {state.error}</p>;
  return <state.Page />;
}
