/** A Kubernetes cluster in a Web Worker of this page. */

/** How a cluster is set up when it is new. Left-out fields have the defaults of Kubernetes or those named here. */
export interface ClusterConfig {
  /** Seed of all randomness in the cluster: names, uids, jitter. Default: random. Below 2^53. */
  seed?: number;
  /** Nodes that exist from the start, with simulated containers. Default: 0. */
  simulated_nodes?: number;
  /** Addresses of Services. Default: 10.96.0.0/16. */
  service_cidr?: string;
  /** Addresses of pods. Default: 10.244.0.0/16. */
  cluster_cidr?: string;
  /** DNS domain. Default: cluster.local. */
  cluster_domain?: string;
  /** Revisions kept for watches and reads in the past. Default: 10,000. */
  history_limit?: number;
  /** Addresses for Services of type LoadBalancer, as CIDRs with commas between them. Default: none, and such Services wait. */
  load_balancer_ip_range?: string;
  /** Whether there is a default StorageClass, `standard`, with a built-in provisioner. Default: false. */
  default_storage_class?: boolean;
  /** Whether the built-in controllers run. Default: true. */
  controllers?: boolean;
  /** Whether the built-in scheduler runs. Default: true. */
  scheduler?: boolean;
}

export interface OpenOptions {
  /** Name under which the cluster is kept in IndexedDB; null: in memory only. Default: null. */
  name?: string | null;
  /** Set-up of a new cluster; one that is restored keeps its own. */
  config?: ClusterConfig;
  /** Who makes the requests that have no Authorization header. Default: kubernetes-admin in system:masters. */
  user?: { name: string; groups: string[] };
  /** Virtual seconds per real second. Default: 1; at most 10,000. */
  speed?: number;
  /** Whether the clock stands still at first. Default: false. */
  paused?: boolean;
  /** Where worker.js is, if not beside this module. */
  worker?: string | URL;
  /** Where core.wasm is, if not beside this module. */
  wasm?: string | URL;
}

export interface KubectlOptions {
  /** What `-f -` reads. */
  stdin?: string;
  /** What `-f NAME` reads. */
  files?: Record<string, string>;
  /** Gets pieces of standard output as they are printed. */
  onStdout?: (text: string) => void;
  /** Gets pieces of standard error as they are printed. */
  onStderr?: (text: string) => void;
  /** Interrupts the command as Ctrl-C does; its exit code is then 130. */
  signal?: AbortSignal;
}

/** A reading of the cluster's clock. */
export interface ClockState {
  /** Virtual time, milliseconds since 1970. */
  now: number;
  /** Real time of this reading, milliseconds since 1970. */
  at: number;
  /** Virtual seconds per real second. */
  speed: number;
  /** Whether it stands still. */
  paused: boolean;
}

/** What any holder of a channel can do. */
export interface Channel {
  /**
   * The Fetch API's `fetch`, answered by this cluster: pass it to any Kubernetes client. Of a URL only path and query
   * count. Bodies stream; a watch that is not read (more than 16 MiB wait) is cut off, as a server would do it.
   */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /** Runs one kubectl command (`argv` without "kubectl"); resolves to its exit code. */
  kubectl(argv: string[], options?: KubectlOptions): Promise<number>;
}

/**
 * An open cluster. Events: `clock` (detail: ClockState) when the clock was changed or had to wait for a busy core;
 * `crashed` (detail: Error) when the control plane stopped because of a bug. What was journaled is intact then, and
 * the same name can be opened again.
 */
export interface Cluster extends Channel, EventTarget {
  /** How many objects came from IndexedDB; 0 for a new cluster. */
  readonly restored: number;
  /** Whether this cluster is being kept in IndexedDB. */
  readonly persistent: boolean;
  /** The last reading of the clock. */
  readonly clock: ClockState;
  /** The cluster's time. */
  now(): Date;
  /** Stops the clock. Requests are still answered. */
  pause(): Promise<void>;
  /** Lets the clock go on. */
  resume(): Promise<void>;
  /** Sets how many virtual seconds pass in a real one. */
  speed(factor: number): Promise<void>;
  /** Moves the clock ahead; what falls due on the way happens at its own time. */
  step(milliseconds: number): Promise<void>;
  /** A channel for another frame or worker, which calls `connect` on it. Transfer it. */
  port(): MessagePort;
  /** Resolves when everything that happened until now is in IndexedDB. */
  flush(): Promise<void>;
  /** Deletes what is in IndexedDB and closes the cluster. */
  reset(): Promise<void>;
  /** Replays a recorded trace on a fresh core; resolves to the encoded outputs, to be compared with those elsewhere. */
  runTrace(bytes: Uint8Array): Promise<Uint8Array>;
  /** Ends the worker. Requests that wait are rejected. */
  close(): void;
}

/** Opens a cluster, or goes on with the one kept under `options.name`. */
export function open(options?: OpenOptions): Promise<Cluster>;

/** Speaks to a cluster of another frame over a channel from its `Cluster.port()`. */
export function connect(port: MessagePort): Channel;

/** What a clock shows now, given an earlier reading. */
export function clockNow(clock: ClockState): number;
