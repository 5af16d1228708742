// The page's end of a channel: `fetch`, `kubectl` and calls over a MessagePort.

import type { FromWorker, ToWorker } from "./messages";

/** Unread bytes of one answer beyond which its reader counts as gone; watches must be read. */
const MAX_UNREAD = 16 * 1024 * 1024;

/** How a kubectl command is run. */
export interface KubectlOptions {
  stdin?: string;
  files?: Record<string, string>;
  onStdout?: (text: string) => void;
  onStderr?: (text: string) => void;
  signal?: AbortSignal;
}

/** What waits for messages that carry its number. */
interface Waiting {
  take(message: FromWorker): void;
  fail(error: Error): void;
}

type Port = Pick<MessagePort, "postMessage" | "addEventListener">;

/** Requests and commands over one channel. */
export class Channel {
  readonly #waiting = new Map<number, Waiting>();
  #next = 1;
  #dead: Error | undefined;

  /** `other` gets messages that answer no request. */
  constructor(private readonly port: Port, private readonly other: (message: FromWorker) => void = () => undefined) {
    port.addEventListener("message", (event) => {
      const message = (event as MessageEvent<FromWorker>).data;
      if ("id" in message) this.#waiting.get(message.id)?.take(message);
      else this.other(message);
    });
  }

  /** The Fetch API's `fetch`, answered by the cluster. Of a URL only path and query count. */
  async fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
    const base = "https://kubernetes.default.svc";
    const request = input instanceof Request ? new Request(input, init) : new Request(new URL(input, base), init);
    const url = new URL(request.url);
    let headers = "";
    request.headers.forEach((value, name) => (headers += `${name}: ${value}\n`));
    const body = new Uint8Array(await request.arrayBuffer());
    request.signal.throwIfAborted();
    return this.#answer(request.signal, request.method === "HEAD", (id) => ({
      type: "request",
      id,
      method: request.method,
      target: url.pathname + url.search,
      headers,
      body,
    }));
  }

  /** Runs one kubectl command (`argv` without "kubectl") and gives its exit code. */
  kubectl(argv: string[], options: KubectlOptions = {}): Promise<number> {
    return new Promise((resolve, reject) => {
      options.signal?.throwIfAborted();
      const id = this.#next++;
      const settle = this.#await(id, {
        take: (message) => {
          if (message.type === "print") (message.stream === "stdout" ? options.onStdout : options.onStderr)?.(message.text);
          else if (message.type === "exit") settle(() => resolve(message.code));
          else if (message.type === "done") settle(() => reject(new Error(message.error)));
        },
        fail: (error) => settle(() => reject(error)),
      });
      // As a shell reports a command that was interrupted.
      const abort = () => settle(() => (this.#send({ type: "close", id }), resolve(130)));
      options.signal?.addEventListener("abort", abort, { once: true });
      this.#send({ type: "kubectl", id, argv, stdin: options.stdin ?? "", files: options.files ?? {} });
    });
  }

  /** Sends a message that is answered by `done`. */
  call<T>(message: (id: number) => ToWorker): Promise<T> {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      const settle = this.#await(id, {
        take: (answer) => {
          if (answer.type !== "done") return;
          settle(() => (answer.error === undefined ? resolve(answer.value as T) : reject(new Error(answer.error))));
        },
        fail: (error) => settle(() => reject(error)),
      });
      this.#send(message(id));
    });
  }

  /** Ends everything that waits, now and later. */
  fail(error: Error): void {
    this.#dead = error;
    for (const waiting of [...this.#waiting.values()]) waiting.fail(error);
  }

  #answer(signal: AbortSignal, headOnly: boolean, message: (id: number) => ToWorker): Promise<Response> {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      let stream!: ReadableStreamDefaultController<Uint8Array>;
      const hangUp = () => settle(() => this.#send({ type: "close", id }));
      const body = new ReadableStream<Uint8Array>(
        { start: (controller) => void (stream = controller), cancel: hangUp },
        new ByteLengthQueuingStrategy({ highWaterMark: MAX_UNREAD }),
      );
      const fail = (error: unknown) => {
        reject(error);
        stream.error(error);
      };
      const settle = this.#await(id, {
        take: (part) => {
          if (part.type === "head") resolve(response(part.status, part.headers, headOnly ? null : body));
          else if (part.type === "end") settle(() => stream.close());
          else if (part.type === "body" && !headOnly) {
            stream.enqueue(part.bytes);
            if ((stream.desiredSize ?? 1) <= 0) {
              hangUp();
              stream.error(new Error("this answer was not read fast enough"));
            }
          }
        },
        fail: (error) => settle(() => fail(error)),
      });
      signal.addEventListener("abort", () => settle(() => (this.#send({ type: "close", id }), fail(signal.reason))), { once: true });
      this.#send(message(id));
    });
  }

  // Registers `waiting`; what comes back takes it away and runs an action, the first time only.
  #await(id: number, waiting: Waiting): (action: () => void) => void {
    this.#waiting.set(id, waiting);
    if (this.#dead) queueMicrotask(() => waiting.fail(this.#dead!));
    return (action) => {
      if (this.#waiting.delete(id)) action();
    };
  }

  #send(message: ToWorker): void {
    this.port.postMessage(message);
  }
}

function response(status: number, lines: string, body: ReadableStream | null): Response {
  const headers = new Headers();
  for (const line of lines.split("\n")) {
    const at = line.indexOf(":");
    if (at > 0) headers.append(line.slice(0, at), line.slice(at + 1).trim());
  }
  return new Response([101, 204, 205, 304].includes(status) ? null : body, { status, headers });
}
