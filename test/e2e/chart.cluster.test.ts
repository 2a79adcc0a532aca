/** What the chart refuses, and what it gives to the programs it installs. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { parse, parseAllDocuments } from "yaml";
import { CONFIG_KEY, DEFAULT_CONFIGURATION } from "../../api/configuration.ts";
import { SUBRESOURCES_GROUP } from "../../api/names.ts";
import { parseConfiguration } from "../../operator/configuration/parse.ts";
import { REFUSED_NAMES, SERVED } from "../../operator/subresources/catalog.ts";
import { kubeconfigPath, ROOT } from "../harness/cluster.ts";
import { clusterTool } from "../harness/command.ts";

const env = { ...process.env, KUBECONFIG: kubeconfigPath() };
const NAMESPACE = "virtpod";
const helmPath = clusterTool("helm");

function run(program: string, args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: ROOT, env, encoding: "utf8" });
  return { status, text: `${stdout}${stderr}` };
}

const helm = (...args: readonly string[]) => run(helmPath, args);

describe("the chart", () => {
  it("has no lint", () => {
    const { status, text } = helm("lint", "--strict", "charts/virtpod");
    assert.equal(status, 0, text);
  });

  const mistakes: readonly (readonly [string, string])[] = [
    ["image.tag=a b", "/image/tag"],
    ["operator.replica=3", "replica"],
    ["operator.replicas=0", "/operator/replicas"],
    ["logLevel=loud", "/logLevel"],
    ["cpuAllocationRatio=0", "/cpuAllocationRatio"],
    ["cpuBurst.clusterStrategy.policy=always", "/cpuBurst/clusterStrategy/policy"],
    ["cpuBurst.clusterStrategy.percents=1", "percents"],
    ["image.pullPolicy=Sometimes", "/image/pullPolicy"],
  ];
  for (const [value, words] of mistakes) {
    it(`refuses ${value}, and says where`, () => {
      const { status, text } = helm("template", "virtpod", "charts/virtpod", "--set-string", value);
      assert.notEqual(status, 0);
      assert.ok(text.includes(words), text);
    });
  }

  it("writes a configuration that the operator takes, with its own defaults for defaults", () => {
    const render = (...values: readonly string[]) => {
      const { text } = helm(
        "template",
        "virtpod",
        "charts/virtpod",
        "--show-only",
        "templates/config.yaml",
        ...values,
      );
      return parseConfiguration(parse(text).data[CONFIG_KEY]);
    };
    assert.deepEqual(render(), DEFAULT_CONFIGURATION);
    const strategies = [
      { name: "a", nodeSelector: { matchLabels: { pool: "a" } }, policy: "auto", percent: 7 },
    ];
    const { cpuBurst, memoryOvercommit } = render(
      "--set-json",
      `cpuBurst.nodeStrategies=${JSON.stringify(strategies)}`,
      "--set",
      "memoryOvercommit=150",
    );
    assert.deepEqual(cpuBurst.nodeStrategies, strategies);
    assert.equal(memoryOvercommit, 150);
  });

  it("mounts no API token into the agent", () => {
    const { text } = helm("template", "virtpod", "charts/virtpod", "--show-only", "templates/agent.yaml");
    assert.match(text, /automountServiceAccountToken: false/);
    assert.doesNotMatch(text, /containerPort|hostNetwork/);
  });
});

describe("the roles", () => {
  interface Rule {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly verbs: readonly string[];
  }
  const { text } = helm(
    "template",
    "virtpod",
    "charts/virtpod",
    "--show-only",
    "templates/clusterroles.yaml",
  );
  const roles = parseAllDocuments(text).map(
    (document) => document.toJS() as { kind: string; metadata: { name: string }; rules?: readonly Rule[] },
  );
  const may = (role: string, group: string, resource: string, verb: string) =>
    roles
      .find(({ kind, metadata }) => kind === "ClusterRole" && metadata.name === `kubevirt.io:${role}`)
      ?.rules?.some(
        ({ apiGroups, resources, verbs }) =>
          apiGroups.includes(group) && resources.includes(resource) && verbs.includes(verb),
      ) === true;

  /** What changes nothing and leads into no guest. */
  const FOR_VIEWERS = /expand|guestosinfo|userlist|filesystemlist|network|usage/;

  for (const [group, served] of Object.entries(SERVED)) {
    for (const { name, verb } of served) {
      it(`let admin and edit ${verb} ${name}${FOR_VIEWERS.test(name) ? ", and view" : " alone"}`, () => {
        assert.deepEqual(
          ["admin", "edit", "view"].map((role) => may(role, group, name, verb)),
          [true, true, FOR_VIEWERS.test(name)],
        );
      });
    }
  }

  it("let somebody ask for all that is refused by name", () => {
    const unasked = REFUSED_NAMES.filter(
      (name) =>
        !["admin", "migrate"].some((role) =>
          ["get", "update"].some((verb) => may(role, SUBRESOURCES_GROUP, name, verb)),
        ),
    );
    assert.deepEqual(unasked, []);
  });
});

describe("an installed service account", () => {
  const may = (account: string, ...what: readonly string[]) =>
    run("kubectl", ["auth", "can-i", ...what, `--as=system:serviceaccount:${NAMESPACE}:${account}`])
      .status === 0;

  const needs: readonly (readonly string[])[] = [
    ["create", "pods", "--namespace=default"],
    ["patch", "virtualmachines.kubevirt.io", "--namespace=default"],
    ["update", "virtualmachineinstances.kubevirt.io", "--subresource=status", "--namespace=default"],
    ["get", "secrets/virtpod-ca", `--namespace=${NAMESPACE}`],
    ["create", "tokenreviews.authentication.k8s.io"],
    ["watch", "persistentvolumeclaims", "--namespace=default"],
    ["watch", "events", "--namespace=default"],
  ];
  for (const need of needs) {
    it(`of the operator may ${need.join(" ")}`, () => assert.ok(may("virtpod-operator", ...need)));
  }

  const excess: readonly (readonly string[])[] = [
    ["get", "secrets", "--namespace=default"],
    ["get", "secrets/other", `--namespace=${NAMESPACE}`],
    ["list", "secrets", `--namespace=${NAMESPACE}`],
    ["create", "pods", "--subresource=exec", "--namespace=default"],
    ["create", "clusterrolebindings.rbac.authorization.k8s.io"],
    ["patch", "nodes"],
    ["create", "persistentvolumeclaims", "--namespace=default"],
    ["patch", "persistentvolumeclaims", "--namespace=default"],
    ["delete", "persistentvolumeclaims", "--namespace=default"],
    ["get", "configmaps", "--namespace=default"],
    ["patch", "customresourcedefinitions.apiextensions.k8s.io"],
    ["patch", "apiservices/v1.apps"],
  ];
  for (const right of excess) {
    it(`of the operator may not ${right.join(" ")}`, () => assert.ok(!may("virtpod-operator", ...right)));
  }

  for (const right of [
    ["get", "pods"],
    ["list", "nodes"],
    ["get", "virtualmachineinstances.kubevirt.io"],
    ["get", "secrets"],
  ]) {
    it(`of the agent may not ${right.join(" ")}`, () => assert.ok(!may("virtpod-agent", ...right)));
  }
});
