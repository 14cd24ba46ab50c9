/** The cost profiles, bundled: the very files the service and the simulator read. */
import { type Profile, parseProfile } from "../costs/profile.ts";

const FILES = import.meta.glob("../../config/profiles/*.json", { eager: true, import: "default" });

export const PROFILES: ReadonlyMap<string, Profile> = new Map(
  Object.entries(FILES).map(([path, json]) => {
    const name = path.replace(/^.*\//, "").replace(/\.json$/, "");
    return [name, parseProfile(json, name)];
  }),
);

/** @throws for a name that is no file's: a mistake in this page, not of its user */
export function profile(name: string): Profile {
  const found = PROFILES.get(name);
  if (!found) throw new Error(`no profile '${name}'`);
  return found;
}
