/** Commands about manifests. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { CreateVmFlags } from "../commands/create-vm.ts";
import type { ExpandFlags } from "../commands/expand.ts";
import { declare, each, flagsOf, wholeSeconds } from "./command.ts";

/** virtctl's flags for what this API has no field for, and what to do instead. */
const NOT_YET: readonly (readonly [flag: string, isSwitch: boolean, why: string])[] = [
  ["instancetype", false, "there are no instance types yet: use --memory"],
  ["infer-instancetype", true, "there are no instance types yet: use --memory"],
  ["infer-instancetype-from", false, "there are no instance types yet: use --memory"],
  ["preference", false, "there are no preferences yet"],
  ["infer-preference", true, "there are no preferences yet"],
  ["infer-preference-from", false, "there are no preferences yet"],
  ["volume-import", false, "there are no data volumes: name the claim that one fills with --volume-pvc"],
  ["volume-datasource", false, "there are no data volumes: name the claim that one fills with --volume-pvc"],
  ["volume-clone-pvc", false, "there are no data volumes: name the claim that one fills with --volume-pvc"],
  ["volume-blank", false, "there are no data volumes: make a claim and name it with --volume-pvc"],
];

export function declareManifests(program: Command): void {
  const create = program.command("create").description("Write a manifest to standard output");
  const vm = declare(create, "vm", "Write a VirtualMachine's manifest to standard output", [
    "vm --name web --memory 1Gi --volume-containerdisk src:registry.example/debian:13",
    'vm --name web --volume-pvc src:web-root --user me --ssh-key "$(cat ~/.ssh/id_ed25519.pub)" | kubectl apply -f -',
  ])
    .option("--name <name>", "the machine's name; one that is made up when absent")
    .option("--run-strategy <strategy>", "Always, RerunOnFailure, Manual, Once or Halted", "Always")
    .option(
      "--termination-grace-period <seconds>",
      "seconds that the guest has to power off",
      wholeSeconds,
      180,
    )
    .option("--memory <quantity>", "the guest's memory", "512Mi")
    .option("--volume-containerdisk <params>", "disk in an image; src:IMAGE,name:NAME,bootorder:N", each)
    .option("--volume-pvc <params>", "disk on a claim; src:CLAIM,name:NAME,bootorder:N", each)
    .option("--volume-sysprep <params>", "Windows' answer files; src:NAME,type:configmap|secret")
    .option("--user <name>", "the user of cloud-init")
    .option("--password-file <file>", "file with that user's password")
    .option("--ssh-key <key>", "public key of that user's; may be repeated", each)
    .option("--ga-manage-ssh", "let the guest's agent write authorized keys where SELinux forbids it")
    .option(
      "--access-cred <params>",
      "Secret with keys or passwords; type:ssh|password,src:SECRET,method:ga|nocloud|configdrive,user:NAME",
      each,
    )
    .option("--cloud-init <kind>", "nocloud, configdrive or none; nocloud when it is needed")
    .option("--cloud-init-user-data <base64>", "the whole user data")
    .option("--cloud-init-network-data <base64>", "the whole network data")
    .addOption(new Option("-o, --output <format>", "as what").choices(["yaml", "json"]).default("yaml"));
  for (const [flag, isSwitch, why] of NOT_YET) vm.addOption(refused(flag, isSwitch, why));
  vm.action(async () => {
    const { createVm } = await import("../commands/create-vm.ts");
    await createVm(flagsOf<CreateVmFlags>(vm));
  });
  declareExpand(program);
}

function declareExpand(program: Command): void {
  const expand = declare(
    program,
    "expand",
    "Show a virtual machine with its instance type and preference, once there are any, written out",
    ["expand --vm web", "expand --file web.yaml -o json"],
  )
    .addOption(new Option("--vm <name>", "a virtual machine of the cluster").conflicts("file"))
    .addOption(new Option("-f, --file <file>", "a manifest; - is standard input"))
    .addOption(new Option("-o, --output <format>", "as what").choices(["yaml", "json"]).default("yaml"))
    .action(async () => {
      const commands = await import("../commands/expand.ts");
      await commands.expand(flagsOf<ExpandFlags>(expand));
    });
}

function refused(flag: string, isSwitch: boolean, why: string): Option {
  const option = new Option(`--${flag} ${isSwitch ? "[value]" : "<value>"}`, why).hideHelp();
  // A switch without a value would else not be parsed.
  if (isSwitch) option.preset("true");
  return option.argParser(() => {
    throw new InvalidArgumentError(why);
  });
}
