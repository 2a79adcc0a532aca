/** The version of all of virtpod's programs; `package.json` and the chart carry the same (a test compares them). */
export const VERSION = "0.1.0";
