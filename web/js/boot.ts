// Starts the page: the cluster's worker and the page's wasm load at the same time.

import init from "wasmkube-app";
import { crashed, opening } from "./page";

opening.catch((error) => console.error(error));
init({ module_or_path: new URL("./app.wasm", import.meta.url) }).catch((error) => crashed(String(error)));
