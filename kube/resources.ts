/** Descriptors and the parts we use of the built-in kinds. Fields as in the Kubernetes API, times as strings. */
export type { Condition, LabelSelector, ObjectReference, ResourceRequirements } from "./resources/common.ts";
export * from "./resources/core.ts";
export * from "./resources/extensions.ts";
export * from "./resources/groups.ts";
export * from "./resources/pods.ts";
export * from "./resources/reviews.ts";
export * from "./resources/services.ts";
