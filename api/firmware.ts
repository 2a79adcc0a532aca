/** `spec.domain.firmware`: what the guest boots with. */
import { Type } from "typebox";
import { imageReference, later, laterUnless, object } from "./schema.ts";
import { imagePullPolicySchema, imagePullSecretSchema } from "./volumes.ts";

const imagePath = (description: string) =>
  Type.String({
    minLength: 1,
    maxLength: 1024,
    pattern: "^/",
    description,
    "x-kubernetes-validations": [
      { rule: "!self.split('/').exists(part, part == '..')", message: "the path must not contain .." },
    ],
  });

const kernelBootSchema = object(
  {
    kernelArgs: Type.Optional(
      Type.String({
        maxLength: 2048,
        description: "Kernel command line. Default: none. x86 Linux reads 2048 bytes.",
      }),
    ),
    container: object(
      {
        image: imageReference("Container image that holds the kernel and the initramfs."),
        imagePullSecret: Type.Optional(imagePullSecretSchema),
        imagePullPolicy: Type.Optional(imagePullPolicySchema),
        kernelPath: imagePath("Absolute path of the kernel inside the image, e.g. /boot/vmlinuz."),
        initrdPath: Type.Optional(
          imagePath("Absolute path of the initramfs inside the image. Default: none."),
        ),
      },
      { description: "Where the kernel comes from." },
    ),
  },
  { description: "Boot a kernel from a container image, without a boot loader." },
);

const bootloaderSchema = object(
  {
    bios: Type.Optional(
      object(
        {
          useSerial: Type.Optional(
            Type.Boolean({
              description: "Show the BIOS on the serial console, which the guest must have. Default: false.",
            }),
          ),
        },
        { description: "SeaBIOS. Default." },
      ),
    ),
    efi: Type.Optional(
      object(
        {
          secureBoot: Type.Optional(
            Type.Boolean({
              description: "Boot signed boot loaders only. Needs features.smm. Default: true.",
            }),
          ),
        },
        {
          description: "UEFI. Its variables are lost with the pod.",
          refused: { persistent: laterUnless(false, "EFI variables are lost with the pod") },
        },
      ),
    ),
  },
  {
    description: "Firmware that the guest boots with. Default: bios.",
    rules: [
      {
        rule: "!(has(self.bios) && has(self.efi))",
        message: "a guest boots by one of bios and efi",
      },
    ],
  },
);

export const firmwareSchema = object(
  {
    uuid: Type.Optional(
      Type.String({
        maxLength: 36,
        pattern: "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
        description:
          "SMBIOS UUID of the guest. Default: made from the VM's UID, so stable over restarts and new when the VM is made anew.",
      }),
    ),
    serial: Type.Optional(
      Type.String({
        maxLength: 256,
        pattern: "^[A-Za-z0-9_.+-]*$",
        description: "SMBIOS system serial number. Default: none.",
      }),
    ),
    bootloader: Type.Optional(bootloaderSchema),
    kernelBoot: Type.Optional(kernelBootSchema),
  },
  {
    description: "What the guest boots with, and what it reads of its hardware.",
    refused: { acpi: later("object") },
  },
);
