/** An event that a plan wants recorded on its object; `kubectl describe` shows them as a story. */
export interface PlannedEvent {
  readonly type: "Normal" | "Warning";
  /** CamelCase, KubeVirt's where it has one. */
  readonly reason: string;
  readonly message: string;
}
