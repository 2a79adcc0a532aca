/** `spec.domain.devices`: watchdog, TPM, pointers, graphics adapter and sound card. */
import { Type } from "typebox";
import { choice, later, laterUnless, listByKey, name, object } from "./schema.ts";

export const watchdogSchema = object(
  {
    name: name("Name of the watchdog."),
    i6300esb: Type.Optional(
      object(
        {
          action: Type.Optional(
            choice(["reset", "poweroff", "shutdown"], {
              description:
                "What happens to a guest that has stopped feeding its watchdog. shutdown asks it to power off. Default: reset.",
            }),
          ),
        },
        { description: "Intel's 6300ESB." },
      ),
    ),
  },
  {
    description: "A watchdog that the guest has to feed once it has opened it. Default: none.",
    refused: { diag288: later("object", "use i6300esb") },
    rules: [
      {
        rule: "has(self.i6300esb)",
        message: "a watchdog needs a model: i6300esb",
        reason: "FieldValueRequired",
      },
    ],
  },
);

export const tpmSchema = object(
  { enabled: Type.Optional(Type.Boolean({ description: "Whether the guest has it. Default: true." })) },
  {
    description: "A TPM 2.0, made anew with each pod: what the guest keeps in it is lost with that.",
    refused: { persistent: laterUnless(false, "the TPM's state is lost with the pod") },
  },
);

const inputSchema = object({
  name: name("Name of the device."),
  type: choice(["tablet"], { description: "tablet: a pointer with absolute coordinates." }),
  bus: Type.Optional(choice(["usb", "virtio"], { description: "Bus that it is attached to. Default: usb." })),
});

export const inputsSchema = listByKey(inputSchema, "name", {
  maxItems: 4,
  description: "Pointers, beside the PS/2 mouse. Default: none.",
});

export const videoSchema = object(
  {
    type: Type.Optional(
      choice(["vga", "bochs", "virtio", "cirrus", "ramfb"], {
        description: "Graphics adapter. Default: vga.",
      }),
    ),
  },
  { description: "What VNC shows. Not with autoattachGraphicsDevice: false." },
);

export const soundSchema = object(
  {
    name: name("Name of the sound card."),
    model: Type.Optional(choice(["ich9", "ac97"], { description: "Sound card. Default: ich9." })),
  },
  {
    description: "A sound card that is heard by nobody, for guests that want one. Default: none.",
  },
);
