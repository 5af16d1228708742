// Stands for modules of Node.js that the generated client names and a page never calls.

export default undefined;
export const URL = globalThis.URL;
