/** The lab in a real browser: Debian's chromium through playwright-core, against the built page. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pino } from "pino";
import {
  type Browser,
  type BrowserContextOptions,
  chromium,
  type Locator,
  type Page,
  type Response,
} from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { serveConfig } from "../../src/cli/serve.ts";
import { Service } from "../../src/cli/service.ts";

const CHROMIUM = "/usr/bin/chromium";
const BUILT = new URL("../../dist/lab/", import.meta.url);
const missing = !existsSync(CHROMIUM)
  ? `${CHROMIUM} is not installed`
  : existsSync(new URL("index.html", BUILT))
    ? null
    : "the page is not built (npm run build)";
const PAGES = ["live", "verifier", "what-if", "lessons/2", "lessons/5"] as const;
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Others may want this machine too. */
const SLOW = { timeout: 40_000 };
const textOf = async (locator: Locator) => (await locator.textContent()) ?? "";

describe.skipIf(missing !== null)(`the lab in a browser${missing ? ` (skipped: ${missing})` : ""}`, () => {
  let browser: Browser;
  let service: Service;
  let url: string;
  const faults: string[] = [];

  beforeAll(async () => {
    const config = serveConfig({ port: "0", "costs-scale": "0" }, {});
    service = new Service(config, { logger: pino({ level: "silent" }) });
    ({ url } = await service.listen());
    browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    });
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    await service.close();
  });

  async function open(hash: string, options: BrowserContextOptions = {}): Promise<Page> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 720 }, ...options });
    const page = await context.newPage();
    faults.length = 0;
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") faults.push(message.text());
    });
    page.on("pageerror", (error) => faults.push(error.message));
    await page.goto(`${url}/lab/#/${hash}`);
    await page.locator("h1").waitFor();
    if (hash.startsWith("live")) await page.getByText("Since the start").waitFor();
    if (hash === "lessons/2") await page.getByText(/^Rejected: a loop/).waitFor();
    if (hash === "lessons/5") await page.getByRole("rowheader", { name: "p99" }).waitFor();
    if (hash.startsWith("what-if")) await page.locator(".what-if-verdict h2").waitFor();
    if (hash.startsWith("verifier")) await page.locator(".verdict h2.good, .verdict h2.bad").waitFor();
    return page;
  }

  const LOOKS = [
    ["light, 1280 pixels", { colorScheme: "light" }],
    ["dark, 1280 pixels", { colorScheme: "dark" }],
    ["light, 390 pixels", { colorScheme: "light", viewport: { width: 390, height: 844 } }],
  ] as const;
  describe.each(PAGES)("%s", (path) => {
    it.each(LOOKS)(
      "%s: no console error, nothing wider than the page, no serious axe fault",
      async (_, look) => {
        const page = await open(path, look);
        const [wide, room] = await page.evaluate(() => [
          document.documentElement.scrollWidth,
          document.documentElement.clientWidth,
        ]);
        expect(wide).toBeLessThanOrEqual(room ?? 0);
        await page.evaluate(AXE);
        const serious = await page.evaluate(async () => {
          const { axe } = globalThis as unknown as {
            axe: {
              run(): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }>;
            };
          };
          const { violations } = await axe.run();
          return violations
            .filter(({ impact }) => impact === "serious" || impact === "critical")
            .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`);
        });
        expect(serious).toEqual([]);
        expect(faults).toEqual([]);
        await page.context().close();
      },
    );
  });

  it("live numbers equal /metrics", async () => {
    for (let i = 0; i < 5; i++) {
      await fetch(`${url}/kv/live${i}`, { method: "PUT", body: `value ${i}` });
      for (let n = 0; n < 3; n++) await (await fetch(`${url}/kv/live${i}`)).text();
    }
    const page = await open("live");
    const metrics = await (await fetch(`${url}/metrics`)).text();
    const metric = (name: string) => {
      const rows = [...metrics.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? ([0-9.e+]+)$`, "gm"))];
      expect(rows.length).toBeGreaterThan(0);
      return rows.reduce((sum, [, value]) => sum + Number(value), 0);
    };
    const shown = (name: string) =>
      textOf(page.locator(".live-counts dt", { hasText: name }).locator("xpath=following-sibling::dd[1]"));
    expect(Number(await shown("fills"))).toBe(metric("bmc_hot_fills_total"));
    expect(Number((await shown("hot map")).split(" ")[0])).toBe(metric("bmc_hot_entries"));
    await page.context().close();
  });

  it("an infinite loop is rejected with its reason", async () => {
    const page = await open("verifier/infinite-loop");
    const verdict = page.locator(".verdict");
    expect(await textOf(verdict.locator("h2"))).toBe("Rejected: a loop comes round in the very same state");
    expect(await textOf(verdict)).toContain("infinite loop detected at insn");
    expect(await page.getByRole("button", { name: "Run", exact: true }).isDisabled()).toBe(true);
    await page.context().close();
  });

  it("the walk is stepped by keys", async () => {
    const page = await open("verifier/packet-bounds-fixed");
    const current = page.locator(".walk output");
    await page.getByRole("button", { name: /^Step forward/ }).focus();
    const [, count] = (await textOf(current)).split(" of ");
    await page.keyboard.press("ArrowRight");
    expect(await textOf(current)).toBe(`2 of ${count}`);
    expect(await page.locator(".walk .is-changed th").allInnerTexts()).toEqual(["R2"]);
    await page.keyboard.press("ArrowLeft");
    expect(await textOf(current)).toBe(`1 of ${count}`);
    await page.getByRole("slider", { name: "Walk: step" }).focus();
    await page.keyboard.press("End");
    expect(await textOf(current)).toBe(`${count} of ${count}`);
    await page.context().close();
  });

  it("a repaired program is accepted and answers a packet", async () => {
    const page = await open("verifier/null-pointer");
    expect(await textOf(page.locator(".verdict h2"))).toMatch(/^Rejected/);
    await page.locator(".cm-content").click();
    await page.keyboard.press("Control+a");
    await page.keyboard.insertText("r0 = 3\nexit\n");
    await page.getByRole("button", { name: "Verify" }).click();
    await page.locator(".verdict h2.good").waitFor();
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await page.getByText("XDP_TX").waitFor();
    expect(await textOf(page.locator(".packet-run [role=status]"))).toContain("after 2 instructions");
    await page.context().close();
  });

  it("the shipped fast path answers a GET from the hot map", async () => {
    const page = await open("verifier/http_kv_verdict");
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await page.getByText("HTTP/1.1 200 OK".slice(0, 8)).first().waitFor();
    const { length } = await textOf(page.locator(".packet-run pre.bytes").first());
    expect(length).toBeGreaterThan(100);
    await page.context().close();
  });

  it("a text that is no program is told by line", async () => {
    const page = await open("verifier/first");
    await page.locator(".cm-content").click();
    await page.keyboard.press("Control+a");
    await page.keyboard.insertText("r0 = rr\nexit\n");
    await page.getByRole("button", { name: "Verify" }).click();
    await page.getByText("Line 1:").waitFor();
    await page.context().close();
  });

  it("an object file dropped onto the page is opened, its C lines beside the walk", async () => {
    const page = await open("verifier/first");
    const object = readFileSync(new URL("../../src/programs/http_kv.bpf.o", import.meta.url), "base64");
    const dropped = await page.evaluateHandle((base64) => {
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], "http_kv.bpf.o"));
      return transfer;
    }, object);
    await page.dispatchEvent("main", "drop", { dataTransfer: dropped });
    const choice = page.getByLabel("Program", { exact: true }).locator("option");
    await expect.poll(() => choice.allInnerTexts(), SLOW).toContain("http_kv_verdict");
    await page.locator(".verdict h2.good").waitFor(SLOW);
    await page.getByRole("slider", { name: "Walk: step" }).focus();
    await page.keyboard.press("ArrowRight");
    await page.locator(".walk .step-source").first().waitFor();
    await page.context().close();
  }, 60_000);

  it("a walk that takes too long is stopped, and the next program is verified", async () => {
    const page = await open("verifier/first");
    await page.clock.install();
    const type = async (text: string) => {
      await page.locator(".cm-content").click();
      await page.keyboard.press("Control+a");
      await page.keyboard.insertText(text);
      await page.getByRole("button", { name: "Verify" }).click();
    };
    const body = "r2 = r1\n".repeat(40);
    await type(`.type xdp\nr1 = 0\nloop: r1 += 1\n${body}if r1 < 20000 goto loop\nr0 = 2\nexit\n`);
    await page.getByText("Verifying…").waitFor();
    await page.clock.fastForward(20_000);
    await page.getByText("stopped after 20 seconds").waitFor(SLOW);
    await type("r0 = 2\nexit\n");
    await page.locator(".verdict h2.good").waitFor(SLOW);
    await page.context().close();
  }, 60_000);

  it("a program is attached, serves, and gives way again; a stopped server shows, and is found again", async () => {
    const serve = async (port: string) => {
      const config = serveConfig({ port, "costs-scale": "0", "lab-write": true }, {});
      const made = new Service(config, { logger: pino({ level: "silent" }) });
      return { made, ...(await made.listen()) };
    };
    const first = await serve("0");
    const context = await browser.newContext({ viewport: { width: 1280, height: 720 } });
    const page = await context.newPage();
    await page.goto(`${first.url}/lab/#/verifier/first`);
    const attach = page.getByRole("button", { name: "Attach" });
    await page.getByText("A program of type xdp needs memcached").waitFor(SLOW);
    expect(await attach.isDisabled()).toBe(true);
    await page.locator(".cm-content").click();
    await page.keyboard.press("Control+a");
    await page.keyboard.insertText('.type "sk_skb/stream_verdict"\nr0 = 1\nexit\n');
    await page.getByRole("button", { name: "Verify" }).click();
    await page.getByText("It will serve before the HTTP server").waitFor(SLOW);
    await attach.click();
    await page.getByText("Attached before the HTTP server").waitFor(SLOW);
    await page.getByRole("link", { name: "Live" }).click();
    const programs = page.locator(".programs");
    await programs.getByText("from the lab").waitFor(SLOW);
    await programs.getByRole("button", { name: "Restore sk_skb" }).click();
    await programs.getByText("from the lab").waitFor({ state: "detached", ...SLOW });
    const state = page.locator(".connection");
    await first.made.close();
    await expect.poll(() => textOf(state), SLOW).toContain("stopped");
    const second = await serve(String(first.port));
    await expect.poll(() => textOf(state), SLOW).toBe("live");
    await page.getByRole("button", { name: "Clear both tiers" }).click();
    await expect.poll(() => textOf(page.locator(".controls [role=alert]"))).toBe("");
    await context.close();
    await second.made.close();
  }, 90_000);

  it("a published experiment is simulated beside its points", async () => {
    const page = await open("what-if");
    await page.getByLabel("Published").selectOption({ label: "50 K fast and 5 K slow requests/s" });
    const shown = page.getByRole("region", { name: "The published experiment, simulated" });
    await shown.getByText("wire and client").waitFor(SLOW);
    await page.context().close();
  }, 60_000);

  it("the sliders move the curve and the verdict", async () => {
    const page = await open("what-if");
    const curve = page.getByRole("img", { name: /over the hit ratio/ });
    const before = await curve.getAttribute("aria-label");
    const verdict = page.locator(".what-if-verdict h2");
    expect(await textOf(verdict)).toMatch(/solution/);
    await page.getByRole("slider", { name: "Reads" }).fill("0.3");
    await expect.poll(() => curve.getAttribute("aria-label")).not.toBe(before);
    await page.getByRole("slider", { name: "Hit ratio" }).fill("0");
    await expect.poll(() => textOf(verdict)).toMatch(/trap/);
    await page.context().close();
  });

  it("transfers at most 300 KB for Live, and the editor only when it is opened", async () => {
    const page = await (await browser.newContext()).newPage();
    const files: Response[] = [];
    page.on("response", (response) => {
      if (response.url().startsWith(`${url}/lab/`)) files.push(response);
    });
    await page.goto(`${url}/lab/#/live`);
    await page.getByText("Since the start").waitFor(SLOW);
    const sizes = await Promise.all(files.map((response) => response.request().sizes()));
    const bytes = sizes.reduce((sum, { responseBodySize }) => sum + responseBodySize, 0);
    expect(files.length).toBeGreaterThanOrEqual(3);
    expect(bytes).toBeGreaterThan(10_000);
    expect(bytes).toBeLessThanOrEqual(300_000);
    const loaded = files.length;
    await page.getByRole("link", { name: "Verifier" }).click();
    await page.locator(".cm-content").waitFor(SLOW);
    expect(files.length).toBeGreaterThan(loaded);
    await page.context().close();
  }, 60_000);

  it.each(PAGES)(
    "%s: Tab reaches every control, and shows where it is",
    async (path) => {
      const page = await open(path);
      const wanted = await page.evaluate(() => {
        const controls = document.querySelectorAll<HTMLElement>(
          "a[href], button, input, select, textarea, summary, [contenteditable=true]",
        );
        const reachable = [...controls].filter(
          (control) => control.checkVisibility() && !control.matches(":disabled"),
        );
        for (const [index, control] of reachable.entries()) control.dataset.walk = String(index);
        return reachable.length;
      });
      const seen = new Set<string>();
      const unseen: string[] = [];
      // The page goes on living: what comes and goes meanwhile takes a few steps more.
      for (let step = 0; step < 2 * wanted + 20 && seen.size < wanted; step++) {
        await page.keyboard.press("Tab");
        const at = await page.evaluate(() => {
          const control = document.activeElement as HTMLElement;
          // The editor lives in a shadow tree of its own.
          const inner = control.shadowRoot?.activeElement ?? control;
          const editor = inner.closest(".cm-editor") ?? inner;
          const shown = [control, editor].some((e) => getComputedStyle(e).outlineStyle !== "none");
          return { walk: control.dataset.walk, shown, html: control.outerHTML.slice(0, 100) };
        });
        if (at.walk !== undefined) seen.add(at.walk);
        if (!at.shown && !at.html.startsWith("<body")) unseen.push(at.html);
      }
      const missed = await page.evaluate(
        (found) =>
          [...document.querySelectorAll<HTMLElement>("[data-walk]")]
            .filter((control) => !found.includes(control.dataset.walk ?? ""))
            .map((control) => control.outerHTML.slice(0, 100)),
        [...seen],
      );
      expect({ missed, unseen }).toEqual({ missed: [], unseen: [] });
      await page.context().close();
    },
    60_000,
  );

  it("the way to the packet is one button from the editor", async () => {
    const page = await open("verifier/first");
    await page.getByRole("button", { name: "To the packet" }).click();
    await expect
      .poll(() => page.getByRole("button", { name: "Run", exact: true }).boundingBox())
      .not.toBeNull();
    const box = await page.getByRole("button", { name: "Run", exact: true }).boundingBox();
    expect((box?.y ?? 1e9) + (box?.height ?? 0)).toBeLessThanOrEqual(720);
    await page.context().close();
  });

  it("the skip button goes to the page, not to another one", async () => {
    const page = await open("what-if");
    await page.getByRole("button", { name: "Skip to the page" }).focus();
    await page.keyboard.press("Enter");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("main");
    expect(await textOf(page.locator("h1"))).toBe("What if");
    await page.context().close();
  });
});
