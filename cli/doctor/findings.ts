/** Why a virtual machine doesn't run: from facts to findings, the root of the trouble first. Pure. */
import { SUBRESOURCES_GROUP } from "../../api/names.ts";
import { type Facts, timeOf } from "./facts.ts";
import type { Examination, Finding } from "./finding.ts";
import { claims, deletion, existence, guest, instance, restarts, wantedState } from "./machine.ts";
import { containers, node, pod, scheduling } from "./pod.ts";

/** From the outside in: what is found first may explain what follows. */
const EXAMINATIONS: readonly Examination[] = [
  installation,
  existence,
  wantedState,
  deletion,
  claims,
  restarts,
  pod,
  scheduling,
  containers,
  node,
  instance,
  guest,
];

export function findingsOf(facts: Facts): readonly Finding[] {
  const found = EXAMINATIONS.flatMap((examine) => examine(facts)).filter((finding) => finding !== undefined);
  const codes = new Set<string>();
  const once = found.filter(({ code, what }) => {
    const key = `${code} ${what}`;
    if (codes.has(key)) return false;
    codes.add(key);
    return true;
  });
  const rank = { error: 0, warning: 1, note: 2 } as const;
  return once.toSorted((a, b) => rank[a.level] - rank[b.level]);
}

function installation({ isInstalled, operatorProblem }: Facts): readonly (Finding | undefined)[] {
  if (!isInstalled)
    return [
      {
        level: "error",
        code: "NotInstalled",
        what: "the cluster knows no VirtualMachines",
        todo: "install virtpod: helm install virtpod charts/virtpod",
      },
    ];
  return [
    operatorProblem === undefined
      ? undefined
      : {
          level: "error",
          code: "OperatorAway",
          what: `no operator of virtpod can be reached: ${operatorProblem}`,
          todo: `see kubectl get pods -n virtpod and kubectl describe apiservice v1.${SUBRESOURCES_GROUP}`,
        },
  ];
}

/** The newest first. */
export function newestEvents({ events }: Facts, count: number): Facts["events"] {
  return events.toSorted((a, b) => timeOf(b) - timeOf(a)).slice(0, count);
}
