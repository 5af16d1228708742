// The journal in IndexedDB: the newest value of every key, and how far the cluster had come.
//
// Records are appended in batches, each batch in one transaction and all batches in order, so what a closed tab leaves
// behind is always a state the cluster was in. A batch waits up to FLUSH_MS: a tab that dies may lose that much.

const FLUSH_MS = 150;

/** What is known about a journaled cluster besides its objects. */
export interface Progress {
  /** Highest revision made durable. */
  revision: number;
  /** Virtual time then, microseconds. */
  now: number;
  /** The configuration the cluster was made with. */
  config: Record<string, unknown>;
}

interface Entry {
  revision: number;
  value: Uint8Array;
}

/** The journal of one cluster. One worker at a time holds it. */
export class Journal {
  #waiting = new Map<string, Entry | null>();
  #revision = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing: Promise<void> = Promise.resolve();
  #closed = false;

  private constructor(
    private readonly db: IDBDatabase,
    private readonly release: () => void,
    private readonly now: () => number,
    public config: Record<string, unknown>,
  ) {}

  /** Opens the journal called `name`; `null` where there is no storage or another tab holds this cluster. */
  static async open(name: string, config: Record<string, unknown>, now: () => number): Promise<Journal | null> {
    try {
      const release = await exclusive(`wasmkube:${name}`);
      if (!release) return null;
      const request = indexedDB.open(`wasmkube:${name}`, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("objects");
        request.result.createObjectStore("progress");
      };
      return new Journal(await settled(request), release, now, config);
    } catch (error) {
      console.warn("wasmkube: no journal:", error);
      return null;
    }
  }

  /** Hands every object to `take`, in the order of revisions, and says how far the cluster had come. */
  async restore(take: (revision: number, key: string, value: Uint8Array) => void): Promise<Progress | null> {
    const read = this.db.transaction(["objects", "progress"], "readonly");
    const objects = read.objectStore("objects");
    const [keys, entries, progress] = await Promise.all([
      settled(objects.getAllKeys()) as Promise<string[]>,
      settled(objects.getAll()) as Promise<Entry[]>,
      settled(read.objectStore("progress").get("progress")) as Promise<Progress | undefined>,
    ]);
    if (!progress) return null;
    this.#revision = progress.revision;
    this.config = progress.config;
    keys
      .map((key, at) => ({ key, entry: entries[at]! }))
      .sort((a, b) => a.entry.revision - b.entry.revision)
      .forEach(({ key, entry }) => take(entry.revision, key, entry.value));
    return progress;
  }

  /** Appends a change; `value` null means the object is gone. */
  append(revision: number, key: string, value: Uint8Array | null): void {
    if (this.#closed) return;
    this.#revision = Math.max(this.#revision, revision);
    this.#waiting.set(key, value && { revision, value });
    this.#timer ??= setTimeout(() => void this.flush(), FLUSH_MS);
  }

  /** Resolves when everything appended until now is durable. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting.size > 0 && !this.#closed) {
      const batch = this.#waiting;
      const progress: Progress = { revision: this.#revision, now: this.now(), config: this.config };
      this.#waiting = new Map();
      this.#writing = this.#writing.then(() => this.#write(batch, progress));
    }
    return this.#writing;
  }

  /** Deletes everything and lets go of the cluster's name. */
  async forget(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#writing.catch(() => undefined);
    const name = this.db.name;
    this.db.close();
    await settled(indexedDB.deleteDatabase(name));
    this.release();
  }

  async #write(batch: Map<string, Entry | null>, progress: Progress): Promise<void> {
    const write = this.db.transaction(["objects", "progress"], "readwrite", { durability: "relaxed" });
    const objects = write.objectStore("objects");
    for (const [key, entry] of batch) entry ? objects.put(entry, key) : objects.delete(key);
    write.objectStore("progress").put(progress, "progress");
    await new Promise<void>((resolve, reject) => {
      write.oncomplete = () => resolve();
      write.onabort = write.onerror = () => reject(write.error);
    });
  }
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

// Two tabs must not write one journal. The lock is held until `release` is called or the worker ends.
function exclusive(name: string): Promise<(() => void) | null> {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(name, { ifAvailable: true }, (lock) => {
        if (!lock) return resolve(null);
        return new Promise<void>((release) => resolve(release));
      })
      .catch(reject);
  });
}
