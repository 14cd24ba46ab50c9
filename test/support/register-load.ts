/**
 * Clients that write and read registers through several nodes and check as they go. Each key has one writer, whose
 * values count up. Then linearizable means: a read returns no less than what any write acknowledged, or any
 * read returned, before it began; and no more than was ever written.
 */
type Register = { written: number; floor: number; acknowledged: number };
type Node = { readonly url: string };
type Answer = { readonly status: number; readonly text: string; readonly retryAfter: string | null };

export class RegisterLoad {
  /** What the load saw. `unclear`: neither done nor a 503 that says when to come again; `broken`: no answer. */
  readonly seen = { reads: 0, hot: 0, writes: 0, refused: 0, broken: 0, stale: 0, unclear: [] as string[] };
  readonly registers = new Map<string, Register>();
  readonly #nodes: readonly Node[];
  readonly #clients: Promise<void>[] = [];
  #isOver = false;

  constructor(nodes: readonly Node[], keys: readonly string[]) {
    this.#nodes = nodes;
    keys.forEach((key, i) => {
      this.registers.set(key, { written: 0, floor: 0, acknowledged: 0 });
      this.#clients.push(this.#write(key, nodes[i % nodes.length]!));
      for (const node of nodes) this.#clients.push(this.#readOn(key, node));
    });
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#clients);
  }

  /** Acknowledged writes that are not there, read through every node. */
  async lost(): Promise<string[]> {
    const lost: string[] = [];
    for (const [key, { acknowledged }] of this.registers) {
      for (const node of this.#nodes) {
        const { status, text } = await this.#ask(node, key);
        if (!(status === 200 && Number(text) >= acknowledged) && acknowledged > 0) {
          lost.push(`${key}: ${status} ${text}, acknowledged ${acknowledged}`);
        }
      }
    }
    return lost;
  }

  async #write(key: string, node: Node): Promise<void> {
    const register = this.registers.get(key)!;
    while (!this.#isOver) {
      const value = ++register.written;
      const { status } = await this.#ask(node, key, String(value));
      if (status === 201 || status === 204) {
        this.seen.writes++;
        register.acknowledged = value;
        register.floor = Math.max(register.floor, value);
      }
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
  }

  async #readOn(key: string, node: Node): Promise<void> {
    while (!this.#isOver) {
      await this.read(key, node);
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  }

  async read(key: string, node: Node): Promise<void> {
    const register = this.registers.get(key)!;
    const { floor } = register;
    const { status, text } = await this.#ask(node, key);
    if (status !== 200 && status !== 404) return;
    const value = status === 200 ? Number(text) : 0;
    this.seen.reads++;
    if (value < floor || value > register.written) this.seen.stale++;
    register.floor = Math.max(register.floor, value);
  }

  async #ask(node: Node, key: string, body?: string): Promise<Answer> {
    const heard = await fetch(`${node.url}/kv/${key}`, body === undefined ? {} : { method: "PUT", body })
      .then(async (response) => ({ response, text: await response.text() }))
      .catch(() => null);
    if (heard === null) {
      this.seen.broken++;
      return { status: 0, text: "", retryAfter: null };
    }
    const { status, headers } = heard.response;
    const answer = { status, text: heard.text, retryAfter: headers.get("retry-after") };
    if (headers.get("cache-status")?.startsWith("bmc-hot; hit")) this.seen.hot++;
    if (status === 503 && answer.retryAfter !== null) this.seen.refused++;
    else if (![200, 201, 204, 404].includes(status)) this.seen.unclear.push(`${status} ${answer.text}`);
    return answer;
  }
}
