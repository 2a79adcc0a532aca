/** The commands that there are. What a command does is loaded when it is asked for: this must be quick. */
import { Command } from "commander";
import { VERSION } from "../api/version.ts";
import { declareAccess } from "./declarations/access.ts";
import { declareGuest } from "./declarations/guest.ts";
import { declareInformation } from "./declarations/information.ts";
import { declareManifests } from "./declarations/manifests.ts";
import { declareMeasurements } from "./declarations/measurements.ts";
import { declareMissing } from "./declarations/missing.ts";
import { declareScreen } from "./declarations/screen.ts";
import { declareState } from "./declarations/state.ts";

/**
 * @param name as the person calls it: `virtpod` or `kubectl virtpod`
 * @param path of the environment: where programs are looked for
 */
export function buildProgram(name: string, path: string): Command {
  const program = new Command(name)
    .description("Hold virtual machines that run on Kubernetes")
    .option("--kubeconfig <file>", "kubeconfig to use instead of KUBECONFIG and ~/.kube/config")
    .option("--context <name>", "context of the kubeconfig")
    .option("-n, --namespace <name>", "namespace; the context's when absent")
    .version(VERSION, "--client-version", "print this program's version")
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .showHelpAfterError("(run with --help for the flags)");
  declareState(program);
  declareAccess(program);
  declareScreen(program, path);
  declareGuest(program);
  declareManifests(program);
  declareInformation(program);
  declareMeasurements(program);
  declareMissing(program);
  return program;
}
