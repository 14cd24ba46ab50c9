/** What is shipped is pinned, runs nothing while it is installed, and can be listed. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const ROOT = new URL("../../", import.meta.url);
const json = (name: string) => JSON.parse(readFileSync(new URL(name, ROOT), "utf8"));

type Locked = {
  readonly version?: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
};
const locked = Object.entries(json("package-lock.json").packages as Record<string, Locked>).filter(
  ([path, { dev }]) => path !== "" && dev !== true,
);
const nameOf = (path: string): string =>
  path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);

describe("what is shipped", () => {
  test.each(locked)("%s is pinned by its hash and has no install script", (_, entry) => {
    expect(entry.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(entry.integrity).toMatch(/^sha512-/);
    expect(entry.hasInstallScript).toBeUndefined();
  });

  test("its own start needs no script of the package: prepare is for clones alone", () => {
    const { scripts } = json("package.json") as { scripts: Record<string, string> };
    for (const name of ["preinstall", "install", "postinstall"]) expect(scripts[name]).toBeUndefined();
  });

  // All packages, not --omit dev: npm then forgets those that a development tool needs, too.
  test("npm run sbom lists every package of it, marked as not only for development", () => {
    const { status, stdout, stderr } = spawnSync("npm", ["run", "-s", "sbom"], {
      cwd: ROOT,
      encoding: "utf8",
      maxBuffer: 1 << 26,
    });
    expect(status, stderr).toBe(0);
    const bom = JSON.parse(stdout) as { bomFormat: string; components: Component[] };
    expect(bom.bomFormat).toBe("CycloneDX");
    const shipped = bom.components.filter(({ properties = [] }) => !properties.some(isDevelopment));
    const listed = new Set(shipped.map(({ "bom-ref": ref }) => ref));
    for (const [path, { version }] of locked) expect(listed).toContain(`${nameOf(path)}@${version}`);
    expect(listed.size).toBe(locked.length);
  });
});

type Component = {
  readonly "bom-ref": string;
  readonly properties?: readonly { readonly name: string; readonly value: string }[];
};

function isDevelopment({ name, value }: { name: string; value: string }): boolean {
  return name === "cdx:npm:package:development" && value === "true";
}
